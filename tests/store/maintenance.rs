//! Maintenance: kept, and exact for what commits.

use std::sync::Arc;
use std::time::Duration;

use task_inbox::store::commit::CommitError;
use task_inbox::store::deliveries::{self, claim, claim_paced, due_endpoints};
use task_inbox::store::maintenance::{begin, end};
use task_inbox::store::registry::{Held, Maintenance};
use task_inbox::store::{Engine, log, schemas};
use task_inbox_domain::{Actor, Rate};

use crate::fixture::{Collector, Fixture, install, now, with_key};
use crate::on_both_engines;

on_both_engines!(
    it_is_kept_replaced_and_ended,
    nothing_commits_that_was_prepared_before,
    nothing_is_acknowledged_once_it_has_begun,
    held_deliveries_are_neither_leased_nor_claimed,
    what_is_held_hides_nothing_else,
);

const LEASE: Duration = Duration::from_mins(1);

fn of(schema: Option<&str>, hold_deliveries: bool) -> Maintenance {
    Maintenance {
        schema: schema.map(str::to_owned),
        message: "we move".to_owned(),
        retry_after: Duration::from_mins(5),
        hold_deliveries,
        since: now(),
        by: "cli".to_owned(),
    }
}

async fn it_is_kept_replaced_and_ended(engine: Engine) {
    let f = Fixture::new(engine).await;
    let registry = f.registry.current();
    assert!(registry.maintenance(None).is_none() && registry.maintenance(Some("shop")).is_none());
    assert_eq!(begin(&f.db, &of(Some("nowhere"), false)).await.expect("looked"), None);
    let first = of(Some("shop"), true);
    assert_eq!(begin(&f.db, &first).await.expect("begun"), Some(first.clone()));
    let again = Maintenance { message: "still".to_owned(), ..of(Some("shop"), false) };
    let kept = begin(&f.db, &again).await.expect("replaced").expect("there");
    assert_eq!(kept, Maintenance { since: first.since, ..again }, "it began when it began");
    let whole = of(None, false);
    begin(&f.db, &whole).await.expect("begun");
    let read = f.registry.refresh(&f.db).await.expect("read");
    assert!(read.number > registry.number);
    assert_eq!(read.maintenance(Some("shop")), Some(&whole), "that of the whole inbox comes first");
    assert_eq!(read.all_maintenance(), [&whole, &kept]);
    assert_eq!(end(&f.db, None).await.expect("ended"), Some(whole));
    assert_eq!(end(&f.db, None).await.expect("looked"), None);
    let read = f.registry.refresh(&f.db).await.expect("read");
    assert_eq!((read.maintenance(None), read.maintenance(Some("shop"))), (None, Some(&kept)));
    // A schema of the same name begins anew.
    schemas::remove(&f.db, "shop", &Actor::cli(), now()).await.expect("removed").expect("there");
    assert!(f.registry.refresh(&f.db).await.expect("read").all_maintenance().is_empty());
}

async fn nothing_commits_that_was_prepared_before(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    let prepared = || {
        vec![
            f.post(None, "a"),
            f.post(Some("b"), "b"),
            with_key(f.post(None, "c"), "key", "body"),
            f.decide(id, Some("paid"), None),
            with_key(f.decide(id, Some("paid"), None), "other", "body"),
        ]
    };
    let before = prepared();
    // As another process does it: nobody tells this one.
    begin(&f.db, &of(None, false)).await.expect("begun");
    let head = log::head(&f.db).await.expect("read").seq;
    for member in before {
        let refused = f.submit(member).await.expect_err("prepared before");
        assert!(matches!(refused, CommitError::RegistryMoved), "{refused:?}");
    }
    assert_eq!(log::head(&f.db).await.expect("read").seq, head);
    // Prepared again, it is on a snapshot that says so.
    let read = f.registry.refresh(&f.db).await.expect("read");
    assert!(read.maintenance(Some("shop")).is_some());
    let during = prepared();
    end(&f.db, None).await.expect("ended");
    for member in during {
        assert!(matches!(f.submit(member).await, Err(CommitError::RegistryMoved)), "its end moves it, too");
    }
    f.registry.refresh(&f.db).await.expect("read");
    let mut answers = f.submit_all(prepared()).await;
    // Of two that pay, one comes too late.
    let paid = answers.split_off(3);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(paid.iter().filter(|answer| answer.is_ok()).count(), 1, "{paid:?}");
}

/// Writers that prepare under what they know, as fast as they can, while it begins.
async fn nothing_is_acknowledged_once_it_has_begun(engine: Engine) {
    let f = Arc::new(Fixture::new(engine).await);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let f = f.clone();
            tokio::spawn(async move {
                let mut kept = 0;
                loop {
                    match f.submit(f.post(None, "x")).await {
                        Ok(_) => kept += 1,
                        Err(CommitError::RegistryMoved) => return kept,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    while log::head(&f.db).await.expect("read").seq < 100 {
        tokio::task::yield_now().await;
    }
    begin(&f.db, &of(Some("shop"), false)).await.expect("begun");
    let head = log::head(&f.db).await.expect("read").seq;
    let mut kept = 0;
    for writer in writers {
        kept += writer.await.expect("no panic");
    }
    assert_eq!(log::head(&f.db).await.expect("read").seq, head, "nothing came after it");
    assert_eq!(head, kept + 1, "the schema's installation, and all that was acknowledged");
}

async fn held_deliveries_are_neither_leased_nor_claimed(engine: Engine) {
    let hooks = Arc::new(Collector::default());
    let f = Fixture::with_hooks(engine, hooks.clone()).await;
    let rate = Rate::parse("1000/s").expect("a rate");
    for scope in [Some("shop"), None] {
        let before = hooks.leased.lock().expect("unpoisoned").len();
        begin(&f.db, &of(scope, true)).await.expect("begun");
        let registry = f.registry.refresh(&f.db).await.expect("read");
        let held = registry.held_schemas();
        assert!(registry.holds_deliveries("shop"));
        assert_eq!(registry.holds_deliveries("other"), scope.is_none());
        assert_eq!(registry.holds_deliveries(""), scope.is_none(), "operational events concern no schema");
        f.posted().await;
        assert_eq!(hooks.leased.lock().expect("unpoisoned").len(), before, "not leased as it was made");
        let endpoint = f.endpoint();
        assert!(due_endpoints(&f.db, &[endpoint], held).await.expect("runs").is_empty());
        assert!(claim(&f.db, endpoint, 10, LEASE, held).await.expect("runs").is_empty());
        let paced = claim_paced(&f.db, endpoint, rate, 10, LEASE, held).await.expect("runs");
        assert!(paced.leased.is_empty());
        assert!(!deliveries::park(&f.db, endpoint, held).await.expect("runs"));
        end(&f.db, scope).await.expect("ended");
        let registry = f.registry.refresh(&f.db).await.expect("read");
        let held = registry.held_schemas();
        assert_eq!(*held, Held::default());
        assert_eq!(due_endpoints(&f.db, &[endpoint], held).await.expect("runs"), [endpoint]);
        assert_eq!(claim(&f.db, endpoint, 10, LEASE, held).await.expect("runs").len(), 1);
    }
    f.posted().await;
    assert_eq!(hooks.leased.lock().expect("unpoisoned").len(), 1);
}

/// An endpoint of two schemas: more of the one wait than a claim looks at.
async fn what_is_held_hides_nothing_else(engine: Engine) {
    let f = Fixture::new(engine).await;
    let other = crate::fixture::SCHEMA.replace("name: shop", "name: other");
    install(&f.db, &f.registry, &other).await;
    f.submit_all((0..1100).map(|_| f.post(None, "x")).collect()).await;
    let connection = sea_orm::Database::connect(&f.database.url).await.expect("connects");
    let last = "UPDATE deliveries SET schema_name = 'other', due_at = due_at + 1 WHERE id = (SELECT max(id) FROM deliveries)";
    let last = match engine {
        Engine::Sqlite => last.to_owned(),
        Engine::Postgres => last
            .replace("SELECT max(id) FROM deliveries", "SELECT id FROM deliveries ORDER BY id DESC LIMIT 1"),
    };
    sea_orm::ConnectionTrait::execute_unprepared(&connection, &last).await.expect("runs");
    connection.close().await.expect("closes");
    let held = Held::Schemas(vec!["shop".to_owned()]);
    assert_eq!(due_endpoints(&f.db, &[f.endpoint()], &held).await.expect("runs"), [f.endpoint()]);
    assert_eq!(claim(&f.db, f.endpoint(), 10, LEASE, &held).await.expect("runs").len(), 1);
    assert!(claim(&f.db, f.endpoint(), 10, LEASE, &held).await.expect("runs").is_empty());
    assert_eq!(claim(&f.db, f.endpoint(), 10, LEASE, &Held::default()).await.expect("runs").len(), 10);
}
