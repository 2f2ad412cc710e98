//! Long queues: what waits is moved out of the claims' way.

use std::time::{Duration, Instant};

use task_inbox::store::Engine;
use task_inbox::store::deliveries::{self, Fate};
use task_inbox::store::registry::Held;
use task_inbox::store::replays::{self, Made, Replay, ReplayStatus, Step, What};
use task_inbox::store::statistics;
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use crate::deliveries::{LEASE, claim, settle, settled};
use crate::fixture::{Fixture, now};
use crate::on_both_engines;

on_both_engines!(
    what_waits_is_moved_out_of_the_way,
    nothing_stays_parked_behind_what_has_ended,
    a_queue_that_has_grown_is_as_quick,
    what_was_counted_while_it_was_short_is_counted_again,
);

/// Decides each of these tasks so often; returns how many decisions were made.
async fn decide_all(f: &Fixture, tasks: &[Uuid], times: usize) -> usize {
    let mut decided = 0;
    for time in 0..times {
        let state = (time % 2 == 0).then_some("asked");
        let members = tasks.iter().map(|id| f.decide(*id, state, None)).collect();
        decided += f.submit_all(members).await.iter().filter(|answer| answer.is_ok()).count();
    }
    decided
}

async fn what_waits_is_moved_out_of_the_way(engine: Engine) {
    let f = Fixture::new(engine).await;
    let tasks = [f.posted().await, f.posted().await, f.posted().await, f.posted().await];
    assert_eq!(decide_all(&f, &tasks, 300).await, 1200);
    let heads = claim(&f).await;
    assert_eq!(heads.len(), 4);
    let other = f.posted().await;
    assert!(claim(&f).await.is_empty(), "too many are in front of it");
    assert!(deliveries::park(&f.db, f.endpoint(), &Held::default()).await.expect("parks"));
    let found = claim(&f).await;
    assert_eq!(found.iter().filter_map(|l| l.event.task_id).collect::<Vec<_>>(), [other]);
    assert!(
        !deliveries::park(&f.db, f.endpoint(), &Held::default()).await.expect("runs"),
        "a claim sees past what is left"
    );

    for (task, head) in tasks.iter().zip(&heads) {
        let mut head = head.clone();
        for version in 2..=5 {
            // The end of one makes the next due, however it ended.
            let fate = if version % 2 == 0 { Fate::Delivered } else { Fate::Dead("exhausted") };
            assert_eq!(settle(&f, &[settled(&head, fate)]).await, 1);
            let claimed = claim(&f).await;
            assert_eq!(claimed.len(), 1);
            head = claimed[0].clone();
            assert_eq!((head.event.task_id, head.event.version), (Some(*task), Some(version)));
        }
        settle(&f, &[settled(&head, Fate::Retry(LEASE))]).await;
    }
    assert!(claim(&f).await.is_empty(), "a retry lets nothing go");
}

async fn nothing_stays_parked_behind_what_has_ended(engine: Engine) {
    let f = Fixture::new(engine).await;
    let posts = f.submit_all((0..300).map(|_| f.post(None, "x")).collect()).await;
    let tasks: Vec<_> = posts.into_iter().map(|post| post.expect("kept").task().id).collect();
    assert_eq!(decide_all(&f, &tasks, 5).await, 1500);
    let mut due =
        deliveries::claim(&f.db, f.endpoint(), 1000, LEASE, &Held::default()).await.expect("claims");
    assert_eq!(due.len(), 300);
    for version in 2..=6 {
        let parker = {
            let (db, endpoint) = (f.db.clone(), f.endpoint());
            tokio::spawn(
                async move { deliveries::park(&db, endpoint, &Held::default()).await.expect("parks") },
            )
        };
        // Half of them end while the others' successors are parked.
        for some in due.chunks(10) {
            let some: Vec<_> = some.iter().map(|leased| settled(leased, Fate::Delivered)).collect();
            assert_eq!(settle(&f, &some).await, 10);
        }
        parker.await.expect("no panic");
        due = deliveries::claim(&f.db, f.endpoint(), 1000, LEASE, &Held::default()).await.expect("claims");
        assert_eq!(due.len(), 300, "version {version}");
    }
}

/// Sends everything of the log again; returns how many deliveries that made.
async fn replay(f: &Fixture) -> u64 {
    let last_seq = task_inbox::store::log::head(&f.db).await.expect("read").seq;
    let job = Replay {
        id: Uuid::now_v7(),
        endpoint_id: f.endpoint(),
        schema: None,
        what: What::Since(Timestamp::from_micros(0)),
        next_seq: 1,
        last_seq,
        status: ReplayStatus::Running,
        resent: 0,
        created: now(),
        created_by: "test".to_owned(),
        finished: None,
    };
    let made = replays::create(&f.db, job.clone()).await.expect("kept");
    assert!(matches!(made, Made::Job(_)), "{made:?}");
    let mut made = 0;
    while let Step::Went(some) = replays::step(&f.db, job.id, |_| true).await.expect("goes on") {
        made += some;
    }
    made
}

async fn a_queue_that_has_grown_is_as_quick(engine: Engine) {
    let f = Fixture::new(engine).await;
    // Plans are made while there is nothing, and kept.
    for _ in 0..20 {
        assert!(claim(&f).await.is_empty());
        deliveries::due_endpoints(&f.db, &[f.endpoint()], &Held::default()).await.expect("runs");
    }
    let posts = f.submit_all((0..300).map(|_| f.post(None, "x")).collect()).await;
    let tasks: Vec<_> = posts.into_iter().map(|post| post.expect("kept").task().id).collect();
    assert_eq!(decide_all(&f, &tasks, 4).await, 1200);
    let park = || async { deliveries::park(&f.db, f.endpoint(), &Held::default()).await.expect("runs") };
    // So often that PostgreSQL settles on a plan for any values, while the queue is short.
    assert!(park().await);
    for _ in 0..10 {
        park().await;
    }
    let mut resends = 0;
    while resends < 12_000 {
        resends += replay(&f).await;
    }
    let begun = Instant::now();
    let mut claimed = 0;
    for _ in 0..5 {
        park().await;
        claimed += claim(&f).await.len();
        let due = deliveries::due_endpoints(&f.db, &[f.endpoint()], &Held::default()).await.expect("runs");
        assert_eq!(due, [f.endpoint()]);
    }
    assert_eq!(claimed, 500, "there is something to send");
    assert_eq!(decide_all(&f, &tasks[..50], 2).await, 100);
    // Less than a second; a plan that compares what is due with what waits takes most of a minute.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Leases two hundred and gives half of them back; settles the others, of which one is tried again.
async fn work(f: &Fixture) -> Duration {
    let leased = deliveries::claim(&f.db, f.endpoint(), 200, LEASE, &Held::default()).await.expect("claims");
    let begun = Instant::now();
    let (back, sent) = leased.split_at(leased.len() / 2);
    let back: Vec<_> = back.iter().map(|leased| (leased.id, leased.token)).collect();
    deliveries::release(&f.db, &back).await.expect("runs");
    let fate = |at: usize| if at == 0 { Fate::Retry(LEASE) } else { Fate::Delivered };
    let sent: Vec<_> = sent.iter().enumerate().map(|(at, leased)| settled(leased, fate(at))).collect();
    assert_eq!(settle(f, &sent).await, sent.len());
    begun.elapsed()
}

async fn what_was_counted_while_it_was_short_is_counted_again(engine: Engine) {
    let f = Fixture::new(engine).await;
    let posts = f.submit_all((0..10).map(|_| f.post(None, "x")).collect()).await;
    assert!(posts.iter().all(Result::is_ok));
    // Three wait while autovacuum comes by, and plans are made and kept.
    let most = deliveries::claim(&f.db, f.endpoint(), 7, LEASE, &Held::default()).await.expect("claims");
    let most: Vec<_> = most.iter().map(|leased| settled(leased, Fate::Delivered)).collect();
    assert_eq!(settle(&f, &most).await, 7);
    f.database.count_tables().await;
    for _ in 0..30 {
        let posts = f.submit_all((0..4).map(|_| f.post(None, "x")).collect()).await;
        assert!(posts.iter().all(Result::is_ok));
        work(&f).await;
    }
    while deliveries::count_live(&f.db).await.expect("counted") < 40_000 {
        let posts = f.submit_all((0..1000).map(|_| f.post(None, "x")).collect()).await;
        assert!(posts.iter().all(Result::is_ok));
        for _ in 0..10 {
            replay(&f).await;
        }
    }
    // Some milliseconds; a plan that compares what ended with what waits takes a second.
    let took = work(&f).await;
    assert!(took < Duration::from_millis(500), "{took:?}");

    let grown = || async { statistics::count_grown(&f.db).await.expect("runs") };
    if engine == Engine::Sqlite {
        assert_eq!(grown().await, Vec::<String>::new(), "it plans without counting");
        return;
    }
    let begun = Instant::now();
    // What a connection has done, others hear of within a second.
    while !grown().await.contains(&"deliveries".to_owned()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody notices");
    }
    assert!(!grown().await.contains(&"deliveries".to_owned()), "once is enough");
}
