//! The group commit: what is acknowledged is kept once, whoever else is in the batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::{ConnectionTrait, Database};

use task_inbox::store::commit::{Commit, CommitError, Hooks, NoHooks, Operation, Reply, Settings};
use task_inbox::store::deliveries::Leased;
use task_inbox::store::registry::Endpoint;
use task_inbox::store::task_list::{self, TaskFilter};
use task_inbox::store::tasks;
use task_inbox::store::{Engine, RegistryCache, log};
use task_inbox_domain::transition::Refusal;
use uuid::Uuid;

use crate::fixture::{Fixture, install, start, with_key};
use crate::on_both_engines;

on_both_engines!(
    keeps_a_task_with_its_event,
    lists_in_order_and_by_filter,
    external_id_names_one_task,
    idempotency_key_gives_one_answer,
    a_refused_request_leaves_its_key_free,
    a_key_survives_in_other_processes,
    decisions_about_one_task_see_each_other,
    only_one_of_many_deciders_wins,
    a_moved_registry_sends_members_back,
    one_members_bad_data_hurts_nobody_else,
    two_processes_share_keys_names_and_tasks,
    close_commits_what_waits,
    a_commit_that_fails_is_no_success,
    more_than_may_wait_is_refused_as_overload,
    a_batch_that_panics_takes_no_other_with_it,
);

/// How many tasks there are.
async fn kept_tasks(f: &Fixture) -> usize {
    let listed = task_list::list(&f.db, &f.registry.current(), &TaskFilter::default(), None, 500).await;
    listed.expect("read").0.len()
}

async fn keeps_a_task_with_its_event(engine: Engine) {
    let f = Fixture::new(engine).await;
    let reply = f.submit(f.post(None, "x")).await.expect("kept");
    let Reply::Created(task) = reply else { panic!("{reply:?}") };
    assert_eq!(tasks::get(&f.db, task.id).await.expect("read"), Some(task.clone()));
    let history = log::history(&f.db, task.id, |logged| logged).await.expect("read");
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].event.version, Some(1));
    assert!(history[0].event.body.contains(&task.id.to_string()));
}

async fn lists_in_order_and_by_filter(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(f.posted().await);
    }
    f.submit(f.decide(ids[1], Some("paid"), None)).await.expect("decided");
    let all =
        task_list::list(&f.db, &f.registry.current(), &TaskFilter::default(), None, 10).await.expect("read");
    assert_eq!(all.0.iter().map(|t| t.id).collect::<Vec<_>>(), ids);
    let page = task_list::list(&f.db, &f.registry.current(), &TaskFilter::default(), Some(ids[1]), 2)
        .await
        .expect("read");
    assert_eq!(page.0.iter().map(|t| t.id).collect::<Vec<_>>(), ids[2..4]);
    let count = async |filter: TaskFilter| {
        task_list::list(&f.db, &f.registry.current(), &filter, None, 10).await.expect("read").0.len()
    };
    assert_eq!(count(TaskFilter { unresolved: true, ..TaskFilter::default() }).await, 4);
    assert_eq!(count(TaskFilter { state: Some(Some("paid".into())), ..TaskFilter::default() }).await, 1);
    assert_eq!(count(TaskFilter { state: Some(None), ..TaskFilter::default() }).await, 4);
    assert_eq!(count(TaskFilter { schema: Some("other".into()), ..TaskFilter::default() }).await, 0);
    assert_eq!(count(TaskFilter { schemas: Some(vec![]), ..TaskFilter::default() }).await, 0);
    assert_eq!(
        count(TaskFilter {
            schemas: Some(vec!["a".into(), "shop".into(), "b".into()]),
            ..TaskFilter::default()
        })
        .await,
        5
    );
}

async fn external_id_names_one_task(engine: Engine) {
    let f = Fixture::new(engine).await;
    let first = f.submit(f.post(Some("order-1"), "a")).await.expect("kept");
    assert!(matches!(first, Reply::Created(_)));
    let again = f.submit(f.post(Some("order-1"), "a")).await.expect("the same content");
    assert!(matches!(&again, Reply::Existing(task) if task.id == first.task().id));
    let other = f.submit(f.post(Some("order-1"), "b")).await.expect_err("other content");
    assert!(matches!(other, CommitError::ExternalIdTaken(task) if task.id == first.task().id));
    // Many at once: one is made, the others find it.
    let answers = f.submit_all((0..20).map(|_| f.post(Some("order-2"), "c")).collect()).await;
    let created = answers.iter().filter(|a| matches!(a, Ok(Reply::Created(_)))).count();
    let existing = answers.iter().filter(|a| matches!(a, Ok(Reply::Existing(_)))).count();
    assert_eq!((created, existing), (1, 19));
    let named = TaskFilter { external_id: Some("order-2".into()), ..TaskFilter::default() };
    assert_eq!(
        task_list::list(&f.db, &f.registry.current(), &named, None, 10).await.expect("read").0.len(),
        1
    );
}

async fn idempotency_key_gives_one_answer(engine: Engine) {
    let f = Fixture::new(engine).await;
    let first = f.submit(with_key(f.post(None, "a"), "k", "body")).await.expect("kept");
    let again = f.submit(with_key(f.post(None, "a"), "k", "body")).await.expect("answered again");
    assert_eq!(first, again);
    let other = f.submit(with_key(f.post(None, "a"), "k", "other body")).await;
    assert!(matches!(other, Err(CommitError::IdempotencyMismatch)));
    let answers = f.submit_all((0..20).map(|_| with_key(f.post(None, "a"), "k2", "body")).collect()).await;
    let ids: std::collections::HashSet<_> =
        answers.iter().map(|a| a.as_ref().expect("answered").task().id).collect();
    assert_eq!(ids.len(), 1);
    let decided =
        f.submit(with_key(f.decide(first.task().id, Some("paid"), None), "k3", "b")).await.expect("decided");
    let again =
        f.submit(with_key(f.decide(first.task().id, Some("paid"), None), "k3", "b")).await.expect("again");
    assert_eq!(decided.task().version, 2);
    assert_eq!(again.task().version, 2);
    assert!(matches!(again, Reply::Changed(_)));
    assert_eq!(kept_tasks(&f).await, 2);
}

async fn a_refused_request_leaves_its_key_free(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    // In one batch with something that is kept, and alone.
    let refused = with_key(f.decide(id, Some("paid"), Some(7)), "k", "b");
    let answers = f.submit_all(vec![f.post(None, "x"), refused]).await;
    assert!(answers[0].is_ok());
    assert!(matches!(answers[1], Err(CommitError::Refused { refusal: Refusal::Stale { .. }, .. })));
    let alone = f.submit(with_key(f.decide(id, Some("paid"), Some(8)), "k", "b")).await;
    assert!(alone.is_err());
    f.submit(with_key(f.decide(id, Some("paid"), Some(1)), "k", "c")).await.expect("the key was free");
    // A name whose post was answered from its key is not left bound to a task that isn't there.
    f.submit(with_key(f.post(None, "a"), "p", "b")).await.expect("kept");
    let answers = f.submit_all(vec![with_key(f.post(Some("n"), "a"), "p", "b"), f.post(None, "y")]).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(matches!(f.submit(f.post(Some("n"), "z")).await.expect("the name was free"), Reply::Created(_)));
}

async fn a_key_survives_in_other_processes(engine: Engine) {
    let f = Fixture::new(engine).await;
    let first = f.submit(with_key(f.post(Some("e"), "a"), "k", "body")).await.expect("kept");
    f.commit.close().await;
    let db = f.database.connect().await;
    let registry = RegistryCache::load(&db).await.expect("read");
    let commit = start(&db, &registry, Arc::new(NoHooks)).await;
    let again = commit.submit(with_key(f.post(Some("e"), "a"), "k", "body")).await.expect("kept");
    assert_eq!(first, again);
}

async fn decisions_about_one_task_see_each_other(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    let answers = f
        .submit_all(vec![
            f.decide(id, Some("asked"), Some(1)),
            f.decide(id, Some("paid"), Some(2)),
            f.decide(id, Some("refused"), Some(2)),
        ])
        .await;
    // Whatever the order of arrival, what was decided is a chain of versions.
    let done: Vec<i64> = answers.iter().flatten().map(|r| r.task().version).collect();
    let history = log::history(&f.db, id, |logged| logged).await.expect("read");
    let versions: Vec<i64> = history.iter().filter_map(|l| l.event.version).collect();
    assert_eq!(versions, (1..=1 + done.len() as i64).collect::<Vec<_>>());
    assert!(done.contains(&2));
    let stored = tasks::get(&f.db, id).await.expect("read").expect("there");
    assert_eq!(stored.version, versions[versions.len() - 1]);
}

async fn only_one_of_many_deciders_wins(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    let deciders = (0..30).map(|i| f.decide(id, Some(if i % 2 == 0 { "paid" } else { "refused" }), Some(1)));
    let answers = f.submit_all(deciders.collect()).await;
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
    assert_eq!(log::history(&f.db, id, |logged| logged).await.expect("read").len(), 2);
}

async fn a_moved_registry_sends_members_back(engine: Engine) {
    let f = Fixture::new(engine).await;
    let old = f.post(None, "x");
    let other = RegistryCache::load(&f.db).await.expect("read");
    install(&f.db, &other, "name: more\nsemver: 1\ntasktypes: [{name: t, resolved_states: [done]}]").await;
    assert!(matches!(f.submit(old).await, Err(CommitError::RegistryMoved)));
    assert!(f.registry.current().latest("more").is_some(), "the cache was read again");
    f.submit(f.post(None, "x")).await.expect("prepared anew");
    assert_eq!(kept_tasks(&f).await, 1);
}

async fn one_members_bad_data_hurts_nobody_else(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    let mut members: Vec<_> = (0..9).map(|_| f.post(None, "x")).collect();
    if let Operation::Create(create) = &mut members[4].operation {
        create.task.id = id;
    }
    let answers = f.submit_all(members).await;
    assert!(matches!(answers[4], Err(CommitError::Data(_))), "{:?}", answers[4]);
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 8);
    assert_eq!(kept_tasks(&f).await, 9);
}

async fn two_processes_share_keys_names_and_tasks(engine: Engine) {
    let f = Fixture::new(engine).await;
    let db = f.database.connect().await;
    let registry = RegistryCache::load(&db).await.expect("read");
    let second = start(&db, &registry, Arc::new(NoHooks)).await;
    let tasks: Vec<_> = futures_util::future::join_all((0..4).map(|_| f.posted())).await;
    let mut work = Vec::new();
    for i in 0..200usize {
        let member = match i % 4 {
            0 => with_key(f.post(None, "a"), &format!("key-{}", i % 3), "b"),
            1 => f.post(Some(&format!("name-{}", i % 5)), "a"),
            2 => f.decide(tasks[i % tasks.len()], [Some("asked"), Some("paid"), None][i % 3], None),
            _ => with_key(f.post(Some(&format!("both-{}", i % 3)), "a"), &format!("both-{}", i % 3), "b"),
        };
        let commit = if i % 2 == 0 { f.commit.clone() } else { second.clone() };
        work.push(tokio::spawn(async move { commit.submit(member).await }));
    }
    for answer in work {
        match answer.await.expect("no panic") {
            Ok(_) | Err(CommitError::Refused { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let all =
        task_list::list(&f.db, &f.registry.current(), &TaskFilter::default(), None, 500).await.expect("read");
    assert_eq!(all.0.len(), 4 + 3 + 5 + 3, "one for each key, each name, each pair");
    for task in tasks {
        let versions: Vec<_> = log::history(&f.db, task, |logged| logged)
            .await
            .expect("read")
            .iter()
            .filter_map(|l| l.event.version)
            .collect();
        assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>());
    }
}

async fn close_commits_what_waits(engine: Engine) {
    let f = Fixture::new(engine).await;
    let answers = tokio::join!(f.submit_all((0..50).map(|_| f.post(None, "x")).collect()), async {
        tokio::task::yield_now().await;
        f.commit.close().await;
    })
    .0;
    let kept = answers.iter().filter(|a| a.is_ok()).count();
    assert!(
        answers
            .iter()
            .all(|a| matches!(a, Ok(_) | Err(CommitError::Overloaded | CommitError::Unavailable(_))))
    );
    assert_eq!(kept_tasks(&f).await, kept);
}

/// A constraint that is checked at the very end makes COMMIT itself fail.
async fn a_commit_that_fails_is_no_success(engine: Engine) {
    let f = Fixture::new(engine).await;
    let connection = Database::connect(&f.database.url).await.expect("connects");
    let id = if engine == Engine::Postgres { "uuid" } else { "blob" };
    for statement in [
        "CREATE TABLE allowed (name text PRIMARY KEY)".to_owned(),
        format!(
            "CREATE TABLE checked (id {id}, name text REFERENCES allowed (name) DEFERRABLE INITIALLY DEFERRED)"
        ),
    ] {
        connection.execute_unprepared(&statement).await.expect("runs");
    }
    let trigger = if engine == Engine::Postgres {
        "CREATE FUNCTION check_late() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO checked VALUES (NEW.id, ''nothing''); RETURN NEW; END';
         CREATE TRIGGER late AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION check_late()"
    } else {
        "CREATE TRIGGER late AFTER INSERT ON events BEGIN INSERT INTO checked VALUES (NEW.id, 'nothing'); END"
    };
    connection.execute_unprepared(trigger).await.expect("runs");
    for _ in 0..5 {
        let answer = f.submit(f.post(None, "x")).await;
        assert!(matches!(answer, Err(CommitError::Data(_))), "{answer:?}");
    }
    assert_eq!(kept_tasks(&f).await, 0);
    let drop = if engine == Engine::Postgres { "DROP TRIGGER late ON events" } else { "DROP TRIGGER late" };
    connection.execute_unprepared(drop).await.expect("runs");
    let kept = f.submit(f.post(None, "x")).await.expect("kept").task().id;
    let other = f.database.connect().await;
    assert!(tasks::get(&other, kept).await.expect("read").is_some(), "others see it");
}

async fn more_than_may_wait_is_refused_as_overload(engine: Engine) {
    let f = Fixture::new(engine).await;
    let settings = Settings { queue: 2, max_batch: 1, ..Settings::default() };
    let commit =
        Commit::start(f.db.clone(), f.registry.clone(), Arc::new(NoHooks), settings).await.expect("a thread");
    // Polled in turn on this task, so that all have asked before the first is answered.
    let answers = futures_util::future::join_all((0..50).map(|_| commit.submit(f.post(None, "x")))).await;
    let overloaded = answers.iter().filter(|a| matches!(a, Err(CommitError::Overloaded))).count();
    let kept = answers.iter().filter(|a| a.is_ok()).count();
    assert!(overloaded > 0, "50 asked where 2 may wait");
    assert_eq!(kept + overloaded, 50);
    assert_eq!(kept_tasks(&f).await, kept);
}

/// Panics when it is first asked for a place.
#[derive(Default)]
struct Breaks(AtomicBool);

impl Hooks for Breaks {
    fn reserve(&self, _: &Endpoint) -> bool {
        assert!(self.0.swap(true, Ordering::SeqCst), "the first batch breaks");
        false
    }

    fn release(&self, _: Uuid) {}

    fn committed(&self, _: Vec<Leased>, _: bool, _: bool) {}
}

async fn a_batch_that_panics_takes_no_other_with_it(engine: Engine) {
    let f = Fixture::with_hooks(engine, Arc::new(Breaks::default())).await;
    let broken = f.submit(f.post(None, "x")).await;
    assert!(matches!(broken, Err(CommitError::Unavailable(_))), "{broken:?}");
    f.submit(f.post(None, "y")).await.expect("the next batch is none the worse");
    assert_eq!(kept_tasks(&f).await, 1);
}
