//! The log: numbers without gaps, in the order of commits, whoever writes.

use std::sync::Arc;

use task_inbox::store::commit::NoHooks;
use task_inbox::store::log::{self, EventFilter};
use task_inbox::store::{Engine, RegistryCache};
use task_inbox_domain::EventType;

use crate::fixture::{Fixture, SCHEMA, install, start};
use crate::on_both_engines;

on_both_engines!(
    a_reader_sees_every_event_once_while_two_write,
    filters_move_the_cursor_past_what_they_leave_out,
    a_schema_with_few_events_is_found_behind_many_of_another,
);

async fn a_reader_sees_every_event_once_while_two_write(engine: Engine) {
    const EACH: usize = 400;
    let f = Fixture::new(engine).await;
    let before = log::head(&f.db).await.expect("read").seq;
    let db = f.database.connect().await;
    let registry = RegistryCache::load(&db).await.expect("read");
    let second = start(&db, &registry, Arc::new(NoHooks)).await;
    let mut writers = Vec::new();
    for commit in [f.commit.clone(), second] {
        for _ in 0..8 {
            let members: Vec<_> = (0..EACH / 8).map(|_| f.post(None, "x")).collect();
            let commit = commit.clone();
            writers.push(tokio::spawn(async move {
                for member in members {
                    commit.submit(member).await.expect("kept");
                }
            }));
        }
    }
    let reader = tokio::spawn(async move {
        let mut seen = before;
        while seen < before + 2 * EACH as i64 {
            let page = log::read(&db, seen, &EventFilter::default(), 37).await.expect("read");
            for logged in &page.events {
                assert_eq!(logged.seq, seen + 1, "no gap, no repeat, in order");
                seen = logged.seq;
            }
            assert_eq!(page.seen, seen);
            tokio::task::yield_now().await;
        }
    });
    for writer in writers {
        writer.await.expect("writes");
    }
    reader.await.expect("reads");
    assert_eq!(log::head(&f.db).await.expect("read").seq, before + 2 * EACH as i64);
}

async fn filters_move_the_cursor_past_what_they_leave_out(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (a, _b) = (f.posted().await, f.posted().await);
    f.submit(f.decide(a, Some("paid"), None)).await.expect("decided");
    let head = log::head(&f.db).await.expect("read").seq;
    let read = async |filter: EventFilter| log::read(&f.db, 0, &filter, 100).await.expect("read");
    let page = read(EventFilter { kind: Some(EventType::TaskStateChanged), ..EventFilter::default() }).await;
    assert_eq!((page.events.len(), page.seen), (1, head));
    let page = read(EventFilter { task: Some(a), ..EventFilter::default() }).await;
    assert_eq!((page.events.len(), page.seen), (2, head));
    let page = read(EventFilter { schema: Some("none".into()), ..EventFilter::default() }).await;
    assert_eq!((page.events.len(), page.seen), (0, head));
    let page = read(EventFilter { schemas: Some(vec![]), ..EventFilter::default() }).await;
    assert_eq!((page.events.len(), page.seen), (0, head));
    let ahead = log::read(&f.db, head + 50, &EventFilter::default(), 10).await;
    assert!(matches!(ahead, Err(log::ReadError::AheadOfLog { head: at }) if at == head));
}

async fn a_schema_with_few_events_is_found_behind_many_of_another(engine: Engine) {
    let f = Fixture::new(engine).await;
    // More than a page looks at without an index.
    f.submit_all((0..4_500).map(|_| f.post(None, "x")).collect()).await;
    install(&f.db, &f.registry, &SCHEMA.replacen("shop", "garden", 1)).await;
    let head = log::head(&f.db).await.expect("read").seq;
    let read = async |filter: EventFilter| log::read(&f.db, 0, &filter, 100).await.expect("read");
    let garden = || vec!["garden".to_owned()];

    let asked_for = read(EventFilter { schema: Some("garden".to_owned()), ..EventFilter::default() }).await;
    let all_it_sees = read(EventFilter { schemas: Some(garden()), ..EventFilter::default() }).await;
    for page in [asked_for, all_it_sees] {
        assert_eq!((page.events.len(), page.seen), (1, head));
        assert_eq!(page.events[0].event.kind, EventType::SchemaVersionCreated);
    }
    // Without one, the page says how far it has looked, and the next goes on from there.
    let kind = EventType::SchemaVersionCreated;
    let first = read(EventFilter { kind: Some(kind), ..EventFilter::default() }).await;
    assert_eq!((first.events.len(), first.seen), (1, 4_000));
    // Who asks for another's sees nothing of it.
    let filter =
        EventFilter { schema: Some("shop".to_owned()), schemas: Some(garden()), ..EventFilter::default() };
    assert_eq!(read(filter).await.events.len(), 0);
}
