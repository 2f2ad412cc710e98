//! Stopping: what is under way is finished, what can't be costs no attempt.

use std::time::{Duration, Instant};

use task_inbox::store::Engine;
use task_inbox::store::registry::Held;

use crate::fixture::{Fixture, SETTINGS};
use crate::on_both_engines;
use crate::receiver::{Answer, Receiver};

on_both_engines!(
    a_drained_process_has_settled_everything,
    an_interrupted_attempt_is_given_back,
    what_waits_in_line_is_given_back,
    what_a_dead_process_had_leased_is_taken_over,
);

async fn a_drained_process_has_settled_everything(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    for _ in 0..10 {
        f.post("s").await;
    }
    f.process.stop(Duration::from_secs(10)).await;
    let mut sent = 0;
    while receiver.try_next().is_some() {
        sent += 1;
    }
    assert_eq!(f.count("SELECT count(*) FROM finished_deliveries").await, sent);
    assert_eq!(f.count("SELECT count(*) FROM deliveries").await, 10 - sent);
    assert_eq!(f.count("SELECT count(*) FROM deliveries WHERE lease_token IS NOT NULL").await, 0);
}

async fn an_interrupted_attempt_is_given_back(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Hang]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    f.post("s").await;
    receiver.next().await;
    let begun = Instant::now();
    f.process.stop(Duration::ZERO).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    let given_back = "SELECT count(*) FROM deliveries WHERE attempts = 0 AND lease_token IS NULL";
    assert_eq!(f.count(given_back).await, 1);
    assert_eq!(f.count("SELECT count(*) FROM attempts").await, 0);
    receiver.answer(Answer::Status(200));
    let _other = f.another().await;
    receiver.next().await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE attempts = 1", 1).await;
}

async fn what_waits_in_line_is_given_back(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Hang]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    let all = SETTINGS.per_endpoint + SETTINGS.line;
    futures_util::future::join_all((0..all).map(|_| f.post("s"))).await;
    receiver.next().await;
    let leased = "SELECT count(*) FROM deliveries WHERE lease_token IS NOT NULL";
    assert!(f.count(leased).await > SETTINGS.per_endpoint as i64, "some wait in the line");
    f.process.stop(Duration::ZERO).await;
    assert_eq!(f.count(leased).await, 0);
    assert_eq!(f.count("SELECT count(*) FROM deliveries").await, all as i64);
    assert_eq!(f.count("SELECT count(*) FROM deliveries WHERE due_at = created_at").await, all as i64);
}

async fn what_a_dead_process_had_leased_is_taken_over(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Hang]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    // Leased to somebody who will never settle it.
    let endpoint = f.app().registry.current().endpoint_of("s", None).expect("declared").id;
    f.process.dispatcher.stop_leasing();
    f.post("s").await;
    let lease = Duration::from_millis(700);
    let leased = task_inbox::store::deliveries::claim(&f.app().db, endpoint, 1, lease, &Held::default())
        .await
        .expect("claims");
    assert_eq!(leased.len(), 1);
    receiver.answer(Answer::Status(200));
    let _other = f.another().await;
    let webhook = receiver.next().await;
    assert_eq!(webhook.header("webhook-id"), format!("evt_{}", leased[0].event.id));
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered'", 1).await;
}
