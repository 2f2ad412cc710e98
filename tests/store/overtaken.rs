//! Decisions on tasks that moved after their requests had read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, TransactionTrait};
use task_inbox::store::commit::{CommitError, Hooks, Operation, Reply, What};
use task_inbox::store::deliveries::Leased;
use task_inbox::store::registry::Endpoint;
use task_inbox::store::{Engine, RegistryCache, log, tasks};
use task_inbox_domain::event::guard::Passed;
use task_inbox_domain::transition::{Consent, Refusal};
use uuid::Uuid;

use crate::fixture::{Fixture, SCHEMA, install, start, with_key};
use crate::on_both_engines;

on_both_engines!(
    what_was_seen_too_early_is_read_again,
    one_overtaken_decision_takes_nothing_from_its_batch,
    an_overtaken_decision_gives_its_place_back,
    the_newest_sight_of_a_task_counts,
    consent_is_to_one_version,
);

/// Counts the places that were taken and not given back, and those that became leases.
#[derive(Default)]
struct Places {
    taken: AtomicI64,
    leased: AtomicI64,
}

impl Hooks for Places {
    fn reserve(&self, _: &Endpoint) -> bool {
        self.taken.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn release(&self, _: Uuid) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }

    fn committed(&self, leased: Vec<Leased>, _: bool, _: bool) {
        self.leased.fetch_add(leased.len() as i64, Ordering::SeqCst);
    }
}

async fn versions(f: &Fixture, id: Uuid) -> Vec<i64> {
    let history = log::history(&f.db, id, |logged| logged).await.expect("read");
    history.iter().filter_map(|l| l.event.version).collect()
}

async fn what_was_seen_too_early_is_read_again(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    let any = f.decide(id, Some("refused"), None);
    let only_on_this = f.decide(id, Some("refused"), Some(1));
    f.submit(f.decide(id, Some("asked"), None)).await.expect("decided");
    let stale = f.submit(only_on_this).await.expect_err("overtaken");
    let CommitError::Refused { refusal: Refusal::Stale { .. }, current } = stale else { panic!("{stale:?}") };
    assert_eq!((current.version, current.state.as_deref()), (2, Some("asked")));
    let decided = f.submit(any).await.expect("decided on what is there");
    assert_eq!(decided.task().version, 3);
    assert_eq!(versions(&f, id).await, [1, 2, 3]);
    let kept = tasks::get(&f.db, id).await.expect("read").expect("there");
    assert_eq!(&kept, decided.task());
}

async fn one_overtaken_decision_takes_nothing_from_its_batch(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (moved, still) = (f.posted().await, f.posted().await);
    let late = f.decide(moved, Some("refused"), None);
    f.submit(f.decide(moved, Some("asked"), None)).await.expect("decided");
    let answers = f
        .submit_all(vec![f.post(None, "x"), late, f.decide(still, Some("paid"), None), f.post(None, "y")])
        .await;
    let versions: Vec<_> = answers.iter().map(|a| a.as_ref().expect("done").task().version).collect();
    assert_eq!(versions, [1, 3, 2, 1]);
}

async fn an_overtaken_decision_gives_its_place_back(engine: Engine) {
    let places = Arc::new(Places::default());
    let f = Fixture::with_hooks(engine, places.clone()).await;
    let id = f.posted().await;
    let late = f.decide(id, Some("refused"), None);
    f.submit(f.decide(id, Some("asked"), None)).await.expect("decided");
    f.submit(late).await.expect("decided");
    // The post's delivery is alive, so that none of the others may be leased before it has ended.
    assert_eq!(places.leased.load(Ordering::SeqCst), 1);
    assert_eq!(places.taken.load(Ordering::SeqCst), 1, "places of deliveries that aren't leased are free");
}

async fn the_newest_sight_of_a_task_counts(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    let early = f.decide(id, Some("asked"), Some(1));
    f.submit(f.decide(id, Some("asked"), None)).await.expect("decided");
    // Both in one batch, if they meet: one saw version 1, the other version 2.
    let answers = f.submit_all(vec![early, f.decide(id, Some("paid"), Some(2))]).await;
    assert!(matches!(answers[0], Err(CommitError::Refused { refusal: Refusal::Stale { .. }, .. })));
    assert_eq!(answers[1].as_ref().expect("decided").task().version, 3);
    assert_eq!(versions(&f, id).await, [1, 2, 3]);
}

async fn consent_is_to_one_version(engine: Engine) {
    let f = Fixture::new(engine).await;
    let guarded = SCHEMA.replace("semver: '1'", "semver: '2'")
        + "  guard: {url: 'https://shop.example/may', states: [paid]}\n";
    install(&f.db, &f.registry, &guarded).await;
    let pay = |id, consent: Option<i64>| {
        let mut member = f.decide(id, Some("paid"), None);
        let Operation::Change(change) = &mut member.operation else { panic!("a decision") };
        let What::Decided { consent: given, .. } = &mut change.what else { panic!("a decision") };
        *given = consent.map(|version| Consent { version, passed: Passed::Allowed });
        member
    };
    let unasked = |answer: &Result<Reply, CommitError>| match answer {
        Err(CommitError::Refused { refusal: Refusal::Unasked { current }, current: task }) => {
            assert_eq!(*current, task.version);
            *current
        }
        other => panic!("{other:?}"),
    };
    // Without an idempotency key, and with one, which takes another way through the database.
    for key in [None, Some("k")] {
        let keyed = |member| {
            key.into_iter().fold(member, |m, key| with_key(m, &format!("{key}{:?}", Uuid::now_v7()), "b"))
        };
        let (before, within) = (f.posted().await, f.posted().await);
        let late = keyed(pay(before, Some(1)));
        f.submit(f.decide(before, Some("asked"), None)).await.expect("nobody guards this");
        assert_eq!(unasked(&f.submit(late).await), 2);
        // Two who were both allowed on the same version: one is first, in its batch or before it.
        let both = f.submit_all(vec![keyed(pay(within, Some(1))), keyed(pay(within, Some(1)))]).await;
        let (made, refused): (Vec<_>, Vec<_>) = both.iter().partition(|answer| answer.is_ok());
        assert_eq!((made.len(), unasked(refused[0])), (1, 2));
        f.submit(f.decide(within, None, None)).await.expect("nobody guards this");
        // No way around the guard: without consent nothing is paid, and with it to this version it is.
        assert_eq!(unasked(&f.submit(keyed(pay(within, None))).await), 3);
        assert_eq!(f.submit(keyed(pay(within, Some(3)))).await.expect("consented").task().version, 4);
        assert_eq!((versions(&f, before).await, versions(&f, within).await), (vec![1, 2], vec![1, 2, 3, 4]));
    }
}

/// Waits until so many of the database's connections wait for a row that another holds.
async fn until_waiting(connection: &DatabaseConnection, count: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let asked = async {
        loop {
            let row =
                connection.query_one_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql));
            let row = row.await.expect("runs").expect("a row");
            if row.try_get_by_index::<i64>(0).expect("a number") == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("they wait for the row");
}

/// Two replicas decide a task on the same sight of it, and both their statements have begun before
/// either can take it.
#[tokio::test]
async fn two_replicas_that_saw_the_same_decide_one_after_the_other() {
    for (expected, successes) in [(None, 2), (Some(1), 1)] {
        let places = Arc::new(Places::default());
        let f = Fixture::with_hooks(Engine::Postgres, places.clone()).await;
        let id = f.posted().await;
        let second_db = f.database.connect().await;
        let second_registry = RegistryCache::load(&second_db).await.expect("read");
        let second = start(&second_db, &second_registry, places.clone()).await;
        let control = Database::connect(&f.database.url).await.expect("connects");
        let holder = control.begin().await.expect("begins");
        holder.execute_unprepared("SELECT id FROM tasks FOR UPDATE").await.expect("holds it");
        let mut deciding = Vec::new();
        for (commit, state) in [(f.commit.clone(), "asked"), (second, "paid")] {
            let member = f.decide(id, Some(state), expected);
            deciding.push(tokio::spawn(async move { commit.submit(member).await }));
            // Who waits first is first: from paid nothing leads to asked.
            until_waiting(&control, deciding.len() as i64).await;
        }
        holder.rollback().await.expect("lets go");
        let mut done = Vec::new();
        for decision in deciding {
            match decision.await.expect("no panic") {
                Ok(Reply::Changed(task)) => done.push(task.version),
                Err(CommitError::Refused { refusal: Refusal::Stale { .. }, current }) => {
                    assert_eq!(current.version, 2, "what overtook it is shown");
                }
                other => panic!("{other:?}"),
            }
        }
        done.sort_unstable();
        assert_eq!(done, (2..2 + successes).collect::<Vec<_>>());
        assert_eq!(versions(&f, id).await, (1..2 + successes).collect::<Vec<_>>());
        assert_eq!(places.leased.load(Ordering::SeqCst), 1, "the post's alone");
        assert_eq!(places.taken.load(Ordering::SeqCst), 1);
    }
}
