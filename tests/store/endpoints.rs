//! What becomes of endpoints, and of what waits for them, beside what is under way.

use std::time::Duration;

use task_inbox::store::deliveries::{self, Fate, Leased, Settled};
use task_inbox::store::registry::{Endpoint, EndpointStatus, Held};
use task_inbox::store::secrets::NewSecret;
use task_inbox::store::{Engine, endpoints};
use task_inbox_domain::{Actor, EventType, Rate};
use uuid::Uuid;

use crate::deliveries::settled;
use crate::fixture::{Fixture, SCHEMA, install, now};
use crate::on_both_engines;
use crate::upkeep::{count, sql};

on_both_engines!(
    a_stale_lease_says_nothing_of_its_endpoint,
    what_the_former_receiver_did_is_not_held_against_the_next,
    what_is_removed_is_sent_nothing_and_goes_once_nothing_is_under_way,
    deliveries_without_an_endpoint_are_ended,
    a_pause_outlives_the_version_that_named_it,
    one_that_was_disabled_stays_so_where_nothing_of_it_changes,
    resuming_makes_what_was_tried_due,
    of_two_changes_at_once_both_are_made,
    what_waits_for_a_disabled_one_is_given_up_in_the_end,
);

const LEASE: Duration = Duration::from_mins(1);

async fn claim(f: &Fixture, lease: Duration) -> Vec<Leased> {
    deliveries::claim(&f.db, f.endpoint(), 100, lease, &Held::default()).await.expect("claims")
}

async fn settle(f: &Fixture, attempts: &[Settled]) -> deliveries::Settlement {
    let registry = f.registry.refresh(&f.db).await.expect("read");
    deliveries::settle(&f.db, &registry, &attempts.iter().collect::<Vec<_>>()).await.expect("settles")
}

fn failed(leased: &Leased) -> Settled {
    settled(leased, Fate::Retry(Duration::from_hours(1)))
}

/// Registers an endpoint for everything.
async fn register(f: &Fixture) -> Endpoint {
    let id = Uuid::now_v7();
    let model = (**f.registry.current().endpoint_of("shop", None).expect("declared")).clone();
    let endpoint = Endpoint {
        id,
        origin: task_inbox::store::registry::Origin::Registered,
        schema: String::new(),
        keys_of: id,
        ..model
    };
    let secret = NewSecret {
        id: Uuid::now_v7(),
        endpoint_id: id,
        auth_kind: "hmac",
        master_key_id: "test".to_owned(),
        ciphertext: vec![1],
        created: now(),
        replaces: None,
    };
    endpoints::create(&f.db, &endpoint, &secret, None).await.expect("made");
    f.registry.refresh(&f.db).await.expect("read");
    endpoint
}

async fn a_stale_lease_says_nothing_of_its_endpoint(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.submit_all((0..12).map(|_| f.post(None, "x")).collect()).await;
    let stale = claim(&f, Duration::ZERO).await;
    let fresh = claim(&f, LEASE).await;
    assert_eq!((stale.len(), fresh.len()), (12, 12));
    let delivered: Vec<_> = fresh.iter().map(|l| settled(l, Fate::Delivered)).collect();
    assert_eq!(settle(&f, &delivered).await.held.len(), 12);
    // It was frozen, and what it saw then is no longer so.
    let attempts: Vec<_> = stale.iter().map(failed).collect();
    let told = settle(&f, &attempts).await;
    assert!(told.held.is_empty() && told.stopped.is_empty() && !told.events, "{told:?}");
    let gone: Vec<_> =
        attempts.into_iter().map(|a| Settled { disables: true, fate: Fate::Dead("gone"), ..a }).collect();
    assert!(!settle(&f, &gone).await.disabled);
    assert_eq!(count(&f, "SELECT count(*) FROM endpoints WHERE failing_since IS NOT NULL").await, 0);
    assert_eq!(count(&f, "SELECT count(*) FROM events WHERE kind LIKE 'endpoint.%'").await, 0);
}

async fn what_the_former_receiver_did_is_not_held_against_the_next(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.submit_all((0..12).map(|_| f.post(None, "x")).collect()).await;
    let claimed = claim(&f, LEASE).await;
    let mut attempts: Vec<_> = claimed.iter().map(failed).collect();
    attempts[11].disables = true;
    install(&f.db, &f.registry, &SCHEMA.replace("'1'", "'2'").replace("shop.example", "new.example")).await;
    let told = settle(&f, &attempts).await;
    assert_eq!(told.held.len(), 12, "the deliveries are settled");
    assert!(told.stopped.is_empty() && !told.disabled, "{told:?}");
    assert_eq!(count(&f, "SELECT count(*) FROM endpoints WHERE failing_since IS NOT NULL").await, 0);
}

async fn what_is_removed_is_sent_nothing_and_goes_once_nothing_is_under_way(engine: Engine) {
    let f = Fixture::new(engine).await;
    let endpoint = register(&f).await;
    f.submit_all((0..3).map(|_| f.post(None, "x")).collect()).await;
    let under_way = deliveries::claim(&f.db, endpoint.id, 1, LEASE, &Held::default()).await.expect("claims");
    assert_eq!(endpoints::remove(&f.db, endpoint.id).await.expect("runs"), Some(2), "what waits");
    assert_eq!(endpoints::remove(&f.db, endpoint.id).await.expect("runs"), None, "once");
    let registry = f.registry.refresh(&f.db).await.expect("read");
    let kept = registry.endpoint(endpoint.id).expect("until what is under way is settled");
    assert!(!kept.is_sendable() && !kept.is_named());
    f.submit(f.post(None, "y")).await.expect("posted");
    assert_eq!(count(&f, "SELECT count(*) FROM deliveries").await, 4 + 1, "nothing new is made for it");
    assert_eq!(endpoints::sweep(&f.db).await.expect("runs"), 0);
    settle(&f, &[settled(&under_way[0], Fate::Delivered)]).await;
    assert_eq!(endpoints::sweep(&f.db).await.expect("runs"), 0);
    assert!(f.registry.refresh(&f.db).await.expect("read").endpoint(endpoint.id).is_none());
    let outcomes = "SELECT count(*) FROM finished_deliveries WHERE outcome = ";
    assert_eq!(count(&f, &format!("{outcomes}'delivered'")).await, 1, "as it was");
    assert_eq!(count(&f, &format!("{outcomes}'cancelled' AND reason = 'endpoint_removed'")).await, 2);
}

async fn deliveries_without_an_endpoint_are_ended(engine: Engine) {
    let f = Fixture::new(engine).await;
    let endpoint = register(&f).await;
    f.submit_all((0..3).map(|_| f.post(None, "x")).collect()).await;
    // A process that has not heard of a removal makes deliveries at the very end of it.
    sql(&f, "DELETE FROM endpoints WHERE origin = 'registered'").await;
    assert_eq!(endpoints::sweep(&f.db).await.expect("runs"), 3);
    assert_eq!(count(&f, "SELECT count(*) FROM deliveries").await, 3, "the schema's own stay");
    let ended = format!(
        "SELECT count(*) FROM finished_deliveries WHERE outcome = 'cancelled' AND endpoint_id = {}",
        match engine {
            Engine::Postgres => format!("'{}'", endpoint.id),
            Engine::Sqlite => format!("x'{}'", endpoint.id.simple()),
        }
    );
    assert_eq!(count(&f, &ended).await, 3);
}

async fn a_pause_outlives_the_version_that_named_it(engine: Engine) {
    let f = Fixture::new(engine).await;
    let own = format!("{SCHEMA}  hook_url: https://own.example/\n");
    let version = |number: &str, source: &str| source.replace("'1'", &format!("'{number}'"));
    install(&f.db, &f.registry, &version("2", &own)).await;
    let of_type = || f.registry.current().endpoint_of("shop", Some("refund")).expect("kept").clone();
    let (registry, of_it, actor) = (f.registry.current(), of_type(), Actor::cli());
    let paused = endpoints::pause(&f.db, &registry, &of_it, Some("moving"), &actor, now());
    assert!(paused.await.expect("runs"));
    f.registry.refresh(&f.db).await.expect("read");
    install(&f.db, &f.registry, &version("3", SCHEMA)).await;
    let dropped = of_type();
    assert_eq!((dropped.is_named(), dropped.held_reason()), (false, Some("paused")));
    install(&f.db, &f.registry, &version("4", &own)).await;
    let named = of_type();
    assert_eq!((named.is_named(), named.status), (true, EndpointStatus::Paused));
    assert_eq!(named.status_reason.as_deref(), Some("moving"));
}

async fn one_that_was_disabled_stays_so_where_nothing_of_it_changes(engine: Engine) {
    let f = Fixture::new(engine).await;
    sql(&f, "UPDATE endpoints SET status = 'disabled', status_reason = 'it answered 410 Gone'").await;
    install(&f.db, &f.registry, &SCHEMA.replace("'1'", "'2'")).await;
    let status = || f.registry.current().endpoint_of("shop", None).expect("kept").status;
    assert_eq!(status(), EndpointStatus::Disabled);
    install(&f.db, &f.registry, &SCHEMA.replace("'1'", "'3'").replace("shop.example", "new.example")).await;
    assert_eq!(status(), EndpointStatus::Active, "another receiver");
}

async fn resuming_makes_what_was_tried_due(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.submit_all((0..3).map(|_| f.post(None, "x")).collect()).await;
    let claimed = claim(&f, LEASE).await;
    let attempts: Vec<_> = claimed.iter().map(failed).collect();
    settle(&f, &attempts).await;
    let resume = async || {
        let registry = f.registry.refresh(&f.db).await.expect("read");
        let endpoint = registry.endpoint(f.endpoint()).expect("there").clone();
        endpoints::resume(&f.db, &registry, &endpoint, &Actor::cli(), now()).await.expect("runs")
    };
    assert!(!resume().await, "it was neither paused nor disabled, and its breaker is closed");
    assert!(claim(&f, LEASE).await.is_empty(), "in an hour");
    sql(&f, "UPDATE endpoints SET open_until = 99999999999999999, failing_since = 1, failures = 12").await;
    assert!(resume().await, "its breaker was open");
    assert_eq!(claim(&f, LEASE).await.len(), 3);
    assert_eq!(count(&f, "SELECT count(*) FROM endpoints WHERE failing_since IS NOT NULL").await, 0);
}

async fn of_two_changes_at_once_both_are_made(engine: Engine) {
    let f = Fixture::new(engine).await;
    let endpoint = register(&f).await;
    sql(&f, "UPDATE endpoints SET rate_due = 99999999999999999").await;
    let mut described = endpoint.clone();
    described.description = Some("the warehouse".to_owned());
    let mut paced = endpoint.clone();
    paced.treatment.rate = Some(Rate::parse("100/s").expect("a rate"));
    // Each was read before the other was written.
    assert!(endpoints::update(&f.db, &described, &["description"], None).await.expect("runs"));
    assert!(endpoints::update(&f.db, &paced, &["rate_limit"], None).await.expect("runs"));
    let kept = f.registry.refresh(&f.db).await.expect("read").endpoint(endpoint.id).expect("there").clone();
    assert_eq!(kept.description.as_deref(), Some("the warehouse"));
    assert_eq!(kept.treatment.rate, paced.treatment.rate);
    let due = "SELECT count(*) FROM endpoints WHERE origin = 'registered' AND rate_due = 0";
    assert_eq!(count(&f, due).await, 1, "what the former rate took is not owed");
    assert!(kept.interest.names(EventType::TaskCreated));
}

async fn what_waits_for_a_disabled_one_is_given_up_in_the_end(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.submit_all((0..3).map(|_| f.post(None, "x")).collect()).await;
    let keep = Duration::from_hours(24);
    sql(&f, "UPDATE deliveries SET created_at = 1 WHERE version = 1").await;
    sql(&f, "UPDATE endpoints SET updated_at = 1").await;
    let registry = f.registry.current();
    assert_eq!(endpoints::give_up(&f.db, &registry, keep).await.expect("runs"), 0, "it is active");
    sql(&f, "UPDATE endpoints SET status = 'disabled'").await;
    f.submit(f.post(None, "young")).await.expect("posted");
    assert_eq!(endpoints::give_up(&f.db, &registry, keep).await.expect("runs"), 3);
    assert_eq!(endpoints::give_up(&f.db, &registry, keep).await.expect("runs"), 0);
    let told = "SELECT count(*) FROM events WHERE kind = 'endpoint.disabled'";
    assert_eq!(count(&f, told).await, 1, "operators hear of it once");
    // Whoever resumes it changes it: what waits is as good as new.
    sql(&f, "UPDATE deliveries SET created_at = 1").await;
    let endpoint = registry.endpoint(f.endpoint()).expect("there").clone();
    assert!(endpoints::resume(&f.db, &registry, &endpoint, &Actor::cli(), now()).await.expect("runs"));
    assert_eq!(endpoints::give_up(&f.db, &registry, keep).await.expect("runs"), 0);
    assert_eq!(count(&f, "SELECT count(*) FROM deliveries").await, 1, "what is young waits");
    let dead =
        "SELECT count(*) FROM finished_deliveries WHERE outcome = 'dead' AND reason = 'endpoint_disabled'";
    assert_eq!(count(&f, dead).await, 3);
}
