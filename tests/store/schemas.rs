//! Installing and removing schemas.

use sea_orm::{ConnectionTrait, Database, Statement};
use task_inbox::store::registry::EndpointStatus;
use task_inbox::store::schemas::{self, InstallError};
use task_inbox::store::{Engine, RegistryCache, deliveries, log, tasks};
use task_inbox_domain::{Actor, EventType, schema};

use crate::fixture::{Fixture, SCHEMA, install, now, with_key};
use crate::on_both_engines;

on_both_engines!(
    a_version_keeps_endpoints_and_keys,
    an_endpoint_that_is_no_longer_named_is_removed,
    of_two_installations_at_once_one_is_sent_back,
    removing_takes_everything_but_the_log,
    removing_goes_on_over_many_pieces_and_leaves_what_is_anothers,
    a_removed_name_is_free_again,
);

async fn a_version_keeps_endpoints_and_keys(engine: Engine) {
    let f = Fixture::new(engine).await;
    let before = f.endpoint();
    let task = f.posted().await;
    let next = SCHEMA.replace("'1'", "'2'").replace("shop.example", "new.example");
    install(&f.db, &f.registry, &next).await;
    let registry = f.registry.current();
    let endpoint = registry.endpoint_of("shop", None).expect("there");
    assert_eq!(endpoint.id, before);
    assert!(endpoint.has_key);
    assert_eq!(endpoint.hook.url, "https://new.example/hook");
    assert_eq!(registry.versions("shop").len(), 2);
    let task = tasks::get(&f.db, task).await.expect("read").expect("there");
    let old = registry.type_by_id(task.ttype_id).expect("old tasks keep their version");
    assert_eq!(old.version.position, 1);
    let page = log::read(&f.db, 0, &log::EventFilter::default(), 100).await.expect("read");
    let installed = page.events.iter().filter(|l| l.event.kind == EventType::SchemaVersionCreated).count();
    assert_eq!(installed, 2);
}

async fn an_endpoint_that_is_no_longer_named_is_removed(engine: Engine) {
    let f = Fixture::new(engine).await;
    let with_own = SCHEMA.replace("'1'", "'2'") + "  hook_url: https://own.example/\n";
    install(&f.db, &f.registry, &with_own).await;
    let registry = f.registry.current();
    let ttype = registry.latest_type("shop", "refund").expect("there");
    let route = registry.route("shop", Some(ttype), EventType::TaskCreated).expect("wanted");
    assert_eq!(route.ttype.as_deref(), Some("refund"));
    install(&f.db, &f.registry, &SCHEMA.replace("'1'", "'3'")).await;
    let registry = f.registry.current();
    let own = registry.endpoint_of("shop", Some("refund")).expect("kept");
    assert_eq!((own.shown_status(), own.is_named()), (EndpointStatus::Removed, false));
    let ttype = registry.latest_type("shop", "refund").expect("there");
    let route = registry.route("shop", Some(ttype), EventType::TaskCreated).expect("wanted");
    assert_eq!(route.ttype, None);
}

async fn of_two_installations_at_once_one_is_sent_back(engine: Engine) {
    let f = Fixture::new(engine).await;
    let registry = f.registry.current();
    let source = SCHEMA.replace("'1'", "'2'");
    let parsed = schema::parse::parse(&source).expect("valid");
    let other = f.database.connect().await;
    let actor = Actor::cli();
    let (a, b) = tokio::join!(
        schemas::install(&f.db, &registry, &parsed, &source, &actor, now()),
        schemas::install(&other, &registry, &parsed, &source, &actor, now()),
    );
    let raced = [&a, &b].into_iter().filter(|r| matches!(r, Err(InstallError::Raced))).count();
    assert_eq!(raced, 1, "{a:?} {b:?}");
    assert_eq!(f.registry.refresh(&f.db).await.expect("read").versions("shop").len(), 2);
}

async fn removing_takes_everything_but_the_log(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    let seq = log::head(&f.db).await.expect("read").seq;
    let counted = schemas::count(&f.db, "shop").await.expect("read").expect("there");
    assert_eq!((counted.versions, counted.tasks, counted.deleted), (1, 1, false));
    let stale = f.post(None, "x");
    let removed = schemas::remove(&f.db, "shop", &Actor::cli(), now()).await.expect("runs").expect("there");
    assert_eq!((removed.versions, removed.tasks, removed.deleted), (1, 1, true));
    assert!(f.submit(stale).await.is_err(), "what was prepared before can't be committed after");
    assert_eq!(tasks::get(&f.db, id).await.expect("read"), None);
    assert_eq!(deliveries::count_live(&f.db).await.expect("counted"), 0);
    assert_eq!(log::history(&f.db, id, |logged| logged).await.expect("read").len(), 1, "the log stays");
    let page = log::read(&f.db, seq, &log::EventFilter::default(), 10).await.expect("read");
    assert_eq!(page.events.last().map(|l| l.event.kind), Some(EventType::SchemaRemoved));
    assert!(schemas::remove(&f.db, "shop", &Actor::cli(), now()).await.expect("runs").is_none());
}

async fn removing_goes_on_over_many_pieces_and_leaves_what_is_anothers(engine: Engine) {
    let f = Fixture::new(engine).await;
    let other = SCHEMA.replace("name: shop", "name: other");
    install(&f.db, &f.registry, &other).await;
    // More than a piece of tasks, and more than a window of deliveries, another schema's among them.
    let posts =
        (0..2_200).map(|i| with_key(f.post(Some(&format!("order-{i}")), "x"), &format!("key-{i}"), "x"));
    assert!(f.submit_all(posts.collect()).await.iter().all(Result::is_ok));
    let connection = Database::connect(&f.database.url).await.expect("connects");
    let id = if engine == Engine::Postgres { "gen_random_uuid()" } else { "randomblob(16)" };
    for (schema, times) in [("shop", 2), ("other", 1)] {
        for _ in 0..times {
            let copy = format!(
                "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, attempts, due_at, created_at)
                 SELECT {id}, endpoint_id, event_id, '{schema}', 0, 0, 0 FROM deliveries WHERE task_id IS NOT NULL"
            );
            connection.execute_unprepared(&copy).await.expect("copied");
        }
    }
    let removed = schemas::remove(&f.db, "shop", &Actor::cli(), now()).await.expect("runs").expect("there");
    assert_eq!((removed.tasks, removed.deleted), (2_200, true));
    for (table, left) in
        [("tasks", 0), ("external_ids", 0), ("merge_keys", 0), ("idempotency_keys", 0), ("deliveries", 2_200)]
    {
        let sql = format!("SELECT count(*) FROM {table}");
        let row =
            connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
        let count: i64 = row.expect("runs").expect("a row").try_get_by_index(0).expect("a number");
        assert_eq!(count, left, "{table}");
    }
}

async fn a_removed_name_is_free_again(engine: Engine) {
    let f = Fixture::new(engine).await;
    schemas::remove(&f.db, "shop", &Actor::cli(), now()).await.expect("runs").expect("there");
    let registry = RegistryCache::load(&f.db).await.expect("read");
    assert!(registry.current().latest("shop").is_none());
    install(&f.db, &registry, SCHEMA).await;
    assert_eq!(registry.current().latest("shop").expect("installed").position, 1);
    assert!(
        !registry.current().endpoint_of("shop", None).expect("declared").has_key,
        "a new endpoint has no key"
    );
}
