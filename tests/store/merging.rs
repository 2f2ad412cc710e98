//! Merge keys: of tasks that have the same, one waits at most, however they come.

use task_inbox::store::commit::{CommitError, NoHooks, Reply};
use task_inbox::store::{Engine, log, tasks};
use task_inbox_domain::transition::Refusal;
use task_inbox_domain::{EventType, Phase, Task};
use uuid::Uuid;

use std::sync::Arc;

use crate::fixture::{Fixture, start};
use crate::on_both_engines;

on_both_engines!(
    a_newer_task_takes_the_place_of_one_that_waits,
    what_says_the_same_is_no_newer_task,
    what_is_decided_keeps_its_place_in_history_alone,
    many_in_one_batch_follow_each_other,
    of_many_at_once_by_two_processes_one_waits,
    an_older_task_is_not_opened_again,
    a_post_that_is_refused_leaves_no_row,
);

async fn task(f: &Fixture, id: Uuid) -> Task {
    tasks::get(&f.db, id).await.expect("read").expect("it is kept")
}

async fn kinds(f: &Fixture, id: Uuid) -> Vec<EventType> {
    log::history(&f.db, id, |logged| logged.event.kind).await.expect("read")
}

async fn rows(f: &Fixture) -> i64 {
    use sea_orm::{ConnectionTrait, Database, Statement};
    let connection = Database::connect(&f.database.url).await.expect("connects");
    let select = Statement::from_string(connection.get_database_backend(), "SELECT count(*) FROM merge_keys");
    let row = connection.query_one_raw(select).await.expect("runs").expect("a row");
    connection.close().await.expect("closes");
    row.try_get_by_index(0).expect("a number")
}

/// That one of these waits, and all others hang together: from it back to the one that was first.
async fn hang_together(f: &Fixture, ids: &[Uuid]) {
    let mut kept = Vec::new();
    for id in ids {
        let task = task(f, *id).await;
        assert_eq!(kinds(f, *id).await.len() as i64, task.version);
        kept.push(task);
    }
    let waiting: Vec<&Task> = kept.iter().filter(|task| task.phase == Phase::Open).collect();
    assert_eq!(waiting.len(), 1, "one waits");
    let (mut length, mut at) = (1, waiting[0]);
    while let Some(before) = at.supersedes {
        let older = kept.iter().find(|task| task.id == before).expect("one of them");
        assert_eq!((older.superseded_by, older.phase), (Some(at.id), Phase::Superseded));
        (length, at) = (length + 1, older);
    }
    assert_eq!(length, ids.len());
}

async fn a_newer_task_takes_the_place_of_one_that_waits(engine: Engine) {
    let f = Fixture::new(engine).await;
    let first = f.submit(f.merge("k", None, "a")).await.expect("kept").task().clone();
    assert_eq!((first.phase, first.supersedes), (Phase::Open, None));
    let other = f.submit(f.merge("another", None, "a")).await.expect("kept").task().id;
    let second = f.submit(f.merge("k", None, "b")).await.expect("kept").task().clone();
    assert_eq!((second.phase, second.supersedes, second.version), (Phase::Open, Some(first.id), 1));
    assert_eq!(task(&f, second.id).await, second);
    let over = task(&f, first.id).await;
    assert_eq!((over.phase, over.superseded_by, over.version), (Phase::Superseded, Some(second.id), 2));
    assert_eq!(kinds(&f, first.id).await, [EventType::TaskCreated, EventType::TaskSuperseded]);
    assert_eq!(task(&f, other).await.phase, Phase::Open);
    // Who decides about what they had on the screen is told.
    let refused = f.submit(f.decide(first.id, Some("paid"), Some(1))).await.expect_err("it changed");
    let CommitError::Refused { refusal, current } = refused else { panic!("{refused:?}") };
    assert_eq!(refusal, Refusal::Stale { expected: 1, current: 2 });
    assert_eq!(current.superseded_by, Some(second.id));
    let refused = f.submit(f.decide(first.id, Some("paid"), None)).await.expect_err("it is over");
    assert!(matches!(refused, CommitError::Refused { refusal: Refusal::Ended("superseded"), .. }));
}

async fn what_says_the_same_is_no_newer_task(engine: Engine) {
    let f = Fixture::new(engine).await;
    let first = f.submit(f.merge("k", None, "a")).await.expect("kept").task().clone();
    let again = f.submit(f.merge("k", None, "a")).await.expect("kept");
    assert_eq!(again, Reply::Existing(first.clone()));
    // A person has taken a step meanwhile: it is the same task.
    f.submit(f.decide(first.id, Some("asked"), None)).await.expect("moves");
    let again = f.submit(f.merge("k", None, "a")).await.expect("kept");
    assert_eq!((again.task().id, again.task().state.as_deref()), (first.id, Some("asked")));
    assert!(matches!(again, Reply::Existing(_)));
    // Another name of the sender's is another task.
    let named = f.submit(f.merge("k", Some("order-1"), "a")).await.expect("kept");
    assert_eq!(named.task().supersedes, Some(first.id));
    let known = f.submit(f.merge("k", Some("order-1"), "a")).await.expect("known");
    assert_eq!(known, Reply::Existing(named.task().clone()));
    assert_eq!(kinds(&f, first.id).await.len(), 3);
}

async fn what_is_decided_keeps_its_place_in_history_alone(engine: Engine) {
    let f = Fixture::new(engine).await;
    let first = f.submit(f.merge("k", None, "a")).await.expect("kept").task().id;
    f.submit(f.decide(first, Some("paid"), None)).await.expect("decided");
    let second = f.submit(f.merge("k", None, "a")).await.expect("kept");
    assert!(matches!(&second, Reply::Created(task) if task.supersedes.is_none()), "{second:?}");
    assert_eq!(task(&f, first).await.phase, Phase::Resolved);
}

async fn many_in_one_batch_follow_each_other(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut members: Vec<_> = (0..20).map(|i| f.merge("k", None, &i.to_string())).collect();
    members.extend((0..20).map(|i| f.merge("l", (i == 7).then_some("named"), &i.to_string())));
    let replies = f.submit_all(members).await;
    for key in replies.chunks(20) {
        let posted: Vec<_> = key.iter().map(|reply| reply.as_ref().expect("kept").task().id).collect();
        hang_together(&f, &posted).await;
    }
    assert_eq!(rows(&f).await, 2);
}

/// Two replicas on PostgreSQL; on SQLite two writers of one file.
async fn of_many_at_once_by_two_processes_one_waits(engine: Engine) {
    const POSTS: usize = 60;
    let f = Fixture::new(engine).await;
    let db = f.database.connect().await;
    let other = start(&db, &f.registry, Arc::new(NoHooks)).await;
    let posts = (0..POSTS).map(|i| {
        let (member, commit) =
            (f.merge("k", None, &i.to_string()), if i % 2 == 0 { &f.commit } else { &other });
        async move { commit.submit(member).await.expect("kept").task().clone() }
    });
    let posted = futures_util::future::join_all(posts).await;
    let posted: Vec<_> = posted.iter().map(|task| task.id).collect();
    hang_together(&f, &posted).await;
    assert_eq!(rows(&f).await, 1);
    other.close().await;
    db.close().await.expect("closes");
}

async fn an_older_task_is_not_opened_again(engine: Engine) {
    let f = Fixture::new(engine).await;
    let first = f.submit(f.merge("k", None, "a")).await.expect("kept").task().id;
    f.submit(f.decide(first, Some("paid"), None)).await.expect("decided");
    f.submit(f.decide(first, None, None)).await.expect("nothing newer: it may wait again");
    f.submit(f.decide(first, Some("paid"), None)).await.expect("decided");
    let second = f.submit(f.merge("k", None, "b")).await.expect("kept").task().id;
    let refused = f.submit(f.decide(first, None, None)).await.expect_err("two would wait");
    let CommitError::Refused { refusal, current } = refused else { panic!("{refused:?}") };
    assert_eq!((refusal, current.id), (Refusal::Replaced(second), first));
    // Nor where the newer one is decided, too: what it said is out of date.
    f.submit(f.decide(second, Some("refused"), None)).await.expect("decided");
    let refused = f.submit(f.decide(first, None, None)).await.expect_err("it is an older one");
    assert!(matches!(refused, CommitError::Refused { refusal: Refusal::Replaced(_), .. }), "{refused:?}");
    f.submit(f.decide(second, None, None)).await.expect("the newest may wait again");
}

async fn a_post_that_is_refused_leaves_no_row(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.submit(f.post(Some("order-1"), "a")).await.expect("kept");
    let replies = f
        .submit_all(vec![f.merge("k", Some("order-1"), "b"), f.post(None, "something that is written")])
        .await;
    assert!(matches!(replies[0], Err(CommitError::ExternalIdTaken(_))), "{:?}", replies[0]);
    assert_eq!(rows(&f).await, 0);
    f.submit(f.merge("k", Some("order-2"), "b")).await.expect("kept");
    assert_eq!(rows(&f).await, 1);
}
