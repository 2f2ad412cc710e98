//! Leases, order and settlements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use task_inbox::store::Engine;
use task_inbox::store::deliveries::{self, Fate, Leased, Settled, Settlement};
use task_inbox::store::registry::{EndpointStatus, Held};
use uuid::Uuid;

use crate::fixture::{Collector, Fixture, now};
use crate::on_both_engines;

on_both_engines!(
    a_delivery_is_born_leased_where_there_is_a_place,
    a_later_version_waits_for_the_earlier,
    a_task_waits_for_no_other,
    a_stale_lease_settles_nothing,
    a_lease_that_ran_out_is_taken_over,
    a_retry_waits_for_its_time,
    a_dead_delivery_lets_its_successor_go,
    a_410_disables_the_endpoint,
    leases_given_back_cost_no_attempt,
    what_a_killed_server_left_goes_out_at_once,
    two_claimers_never_get_the_same,
);

pub(crate) const LEASE: Duration = Duration::from_mins(1);

pub(crate) fn settled(leased: &Leased, fate: Fate) -> Settled {
    Settled {
        id: leased.id,
        token: leased.token,
        endpoint: leased.endpoint,
        event_id: leased.event.id,
        kind: leased.event.kind,
        schema: leased.event.schema.clone(),
        task_id: leased.event.task_id,
        happened: leased.event.created,
        number: leased.attempts + 1,
        started: now(),
        duration: Duration::from_millis(3),
        outcome: "delivered".into(),
        status: Some(200),
        error: Some("odd \0 text".into()),
        response: b"ok".to_vec(),
        generation: 0,
        shown: task_inbox_domain::webhook::breaker::Shown::of(fate == Fate::Delivered),
        fate,
        disables: false,
        probe: leased.probe,
    }
}

pub(crate) async fn claim(f: &Fixture) -> Vec<Leased> {
    deliveries::claim(&f.db, f.endpoint(), 100, LEASE, &Held::default()).await.expect("claims")
}

async fn settlement(f: &Fixture, attempts: &[Settled]) -> Settlement {
    let attempts: Vec<_> = attempts.iter().collect();
    deliveries::settle(&f.db, &f.registry.current(), &attempts).await.expect("settles")
}

pub(crate) async fn settle(f: &Fixture, attempts: &[Settled]) -> usize {
    settlement(f, attempts).await.held.len()
}

async fn a_delivery_is_born_leased_where_there_is_a_place(engine: Engine) {
    let hooks = Arc::new(Collector::default());
    let f = Fixture::with_hooks(engine, hooks.clone()).await;
    let answers = f.submit_all((0..20).map(|_| f.post(None, "x")).collect()).await;
    assert!(answers.iter().all(Result::is_ok));
    let leased = std::mem::take(&mut *hooks.leased.lock().expect("unpoisoned"));
    assert_eq!(leased.len(), 20);
    assert!(claim(&f).await.is_empty(), "nobody else may take them");
    for delivery in &leased {
        assert!(delivery.seq > 0);
        assert!(delivery.event.envelope(delivery.seq).contains(&format!("\"seq\":{}", delivery.seq)));
    }
    let attempts: Vec<_> = leased.iter().map(|l| settled(l, Fate::Delivered)).collect();
    assert_eq!(settle(&f, &attempts).await, 20);
    assert_eq!(deliveries::count_live(&f.db).await.expect("counted"), 0);
    assert_eq!(settle(&f, &attempts).await, 0, "once");
}

async fn a_later_version_waits_for_the_earlier(engine: Engine) {
    let hooks = Arc::new(Collector::default());
    let f = Fixture::with_hooks(engine, hooks.clone()).await;
    let id = f.posted().await;
    for state in ["asked", "paid"] {
        f.submit(f.decide(id, Some(state), None)).await.expect("decided");
    }
    let born = std::mem::take(&mut *hooks.leased.lock().expect("unpoisoned"));
    assert_eq!(born.len(), 1, "only the first was free to go");
    assert!(claim(&f).await.is_empty());
    let mut next = born;
    for version in 1..=3 {
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].event.version, Some(version));
        assert_eq!(settle(&f, &[settled(&next[0], Fate::Delivered)]).await, 1);
        next = claim(&f).await;
    }
    assert!(next.is_empty());
}

async fn a_task_waits_for_no_other(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (a, b) = (f.posted().await, f.posted().await);
    f.submit(f.decide(a, Some("asked"), None)).await.expect("decided");
    let claimed = claim(&f).await;
    let tasks: Vec<_> = claimed.iter().filter_map(|l| l.event.task_id).collect();
    assert_eq!(tasks, [a, b]);
    settle(&f, &[settled(&claimed[1], Fate::Delivered)]).await;
    assert!(claim(&f).await.is_empty(), "a's second event still waits for its first");
}

async fn a_stale_lease_settles_nothing(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.posted().await;
    let old = deliveries::claim(&f.db, f.endpoint(), 1, Duration::ZERO, &Held::default())
        .await
        .expect("claims")
        .remove(0);
    let new = claim(&f).await.remove(0);
    assert_eq!(old.id, new.id);
    for fate in [Fate::Delivered, Fate::Retry(Duration::ZERO), Fate::Dead("exhausted")] {
        assert_eq!(settle(&f, &[settled(&old, fate)]).await, 0);
    }
    deliveries::release(&f.db, &[(old.id, old.token)]).await.expect("runs");
    assert!(claim(&f).await.is_empty(), "giving a stale lease back frees nothing");
    assert_eq!(deliveries::count_live(&f.db).await.expect("counted"), 1);
    assert_eq!(settle(&f, &[settled(&new, Fate::Delivered)]).await, 1);
}

async fn a_lease_that_ran_out_is_taken_over(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.posted().await;
    let lease = Duration::from_millis(300);
    assert_eq!(
        deliveries::claim(&f.db, f.endpoint(), 1, lease, &Held::default()).await.expect("claims").len(),
        1
    );
    let begun = Instant::now();
    while claim(&f).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it runs out");
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() > Duration::from_millis(200), "not before its time");
}

async fn a_retry_waits_for_its_time(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.posted().await;
    let first = claim(&f).await.remove(0);
    settle(&f, &[settled(&first, Fate::Retry(Duration::from_millis(300)))]).await;
    assert!(claim(&f).await.is_empty());
    let begun = Instant::now();
    let second = loop {
        if let Some(leased) = claim(&f).await.pop() {
            break leased;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it comes back");
    };
    assert_eq!((second.id, second.attempts), (first.id, 1));
    let body = |l: &Leased| l.event.envelope(l.seq);
    assert_eq!(body(&first), body(&second), "the same bytes");
    assert_eq!(
        deliveries::due_endpoints(&f.db, &[f.endpoint(), Uuid::nil()], &Held::default()).await.expect("runs"),
        Vec::<Uuid>::new()
    );
}

async fn a_dead_delivery_lets_its_successor_go(engine: Engine) {
    let f = Fixture::new(engine).await;
    let id = f.posted().await;
    f.submit(f.decide(id, Some("paid"), None)).await.expect("decided");
    let first = claim(&f).await;
    assert_eq!(first.len(), 1);
    settle(&f, &[settled(&first[0], Fate::Dead("exhausted"))]).await;
    let second = claim(&f).await;
    assert_eq!(second[0].event.version, Some(2));
}

async fn a_410_disables_the_endpoint(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.posted().await;
    let leased = claim(&f).await.remove(0);
    let gone = Settled { disables: true, ..settled(&leased, Fate::Dead("gone")) };
    assert_eq!(settle(&f, &[gone]).await, 1);
    let registry = f.registry.refresh(&f.db).await.expect("read");
    let endpoint = registry.endpoint(leased.endpoint).expect("there");
    assert_eq!(endpoint.status, EndpointStatus::Disabled);
    assert!(!endpoint.is_sendable());
    f.posted().await;
    assert_eq!(deliveries::count_live(&f.db).await.expect("counted"), 1, "events wait");
}

async fn leases_given_back_cost_no_attempt(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.posted().await;
    let leased = claim(&f).await.remove(0);
    deliveries::release(&f.db, &[(leased.id, leased.token)]).await.expect("runs");
    let again = claim(&f).await.remove(0);
    assert_eq!((again.id, again.attempts), (leased.id, 0));
}

async fn what_a_killed_server_left_goes_out_at_once(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.posted().await;
    f.posted().await;
    let lost = claim(&f).await;
    assert!(lost.len() == 2 && claim(&f).await.is_empty());
    assert_eq!(deliveries::release_all(&f.db).await.expect("released"), 2);
    let again = claim(&f).await;
    let ids = |leased: &[Leased]| leased.iter().map(|l| l.id).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&lost), "in their order");
    // Should the dead one speak after all, nobody listens.
    assert_eq!(settle(&f, &[settled(&lost[0], Fate::Delivered)]).await, 0);
    assert_eq!(deliveries::release_all(&f.db).await.expect("released"), 2);
}

async fn two_claimers_never_get_the_same(engine: Engine) {
    let f = Fixture::new(engine).await;
    let answers = f.submit_all((0..200).map(|_| f.post(None, "x")).collect()).await;
    assert!(answers.iter().all(Result::is_ok));
    let other = f.database.connect().await;
    let endpoint = f.endpoint();
    let claimer = |db: task_inbox::store::Db| {
        tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let claimed =
                    deliveries::claim(&db, endpoint, 7, LEASE, &Held::default()).await.expect("claims");
                if claimed.is_empty() {
                    return ids;
                }
                ids.extend(claimed.iter().map(|l| l.id));
            }
        })
    };
    let (a, b) = tokio::join!(claimer(f.db.clone()), claimer(other));
    let mut ids = [a.expect("claims"), b.expect("claims")].concat();
    assert_eq!(ids.len(), 200);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}
