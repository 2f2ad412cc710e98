//! What is sent.

use std::time::Duration;

use serde_json::{Value, json};
use task_inbox::app::endpoints::{self, EndpointChange};
use task_inbox::app::webhook_keys;
use task_inbox::app::{App, Principal};
use task_inbox::outbound::Policy;
use task_inbox::realtime::Topic;
use task_inbox::realtime::hub::Grant;
use task_inbox::store::Engine;
use task_inbox_domain::webhook::signing::{self, HmacKey};
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::on_both_engines;
use crate::receiver::{Answer, Received, Receiver};

on_both_engines!(
    a_signed_webhook_verifies,
    the_originals_webhook_carries_its_key,
    events_wait_for_a_key,
    a_rotated_key_signs_from_then_on,
    both_keys_sign_until_the_former_ends,
    every_key_signs_until_its_own_end,
    an_endpoint_whose_last_key_ended_is_sent_nothing,
    a_former_key_that_does_not_open_holds_nothing_back,
    a_private_address_is_refused_and_seen,
    every_attempt_sends_the_same_bytes,
    an_attempt_that_fails_is_told_to_who_listens,
    an_endpoint_of_several_schemas_is_told_of_to_who_sees_all,
);

async fn a_signed_webhook_verifies(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    let key = f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    let webhook = receiver.next().await;
    // The official library of the standard, which shares no code with ours.
    let verifier = standardwebhooks::Webhook::new(&key).expect("a key");
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, webhook.headers[name].clone());
    }
    verifier.verify(&webhook.body, &headers).expect("it verifies");
    let body = webhook.json();
    assert_eq!(body["type"], "task.state_changed");
    assert_eq!(body["data"]["task"]["id"], id.to_string());
    assert_eq!(body["data"]["task"]["state"], "p");
    assert_eq!(body["data"]["previous_state"], serde_json::Value::Null);
    assert_eq!(
        webhook.header("webhook-id"),
        format!("evt_{}", body["data"]["event_id"].as_str().expect("text"))
    );
    assert_eq!(webhook.header("content-type"), "application/json");
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered'", 1).await;
    assert_eq!(f.count("SELECT count(*) FROM attempts WHERE status = 200 AND number = 1").await, 1);
    assert!(receiver.try_next().is_none(), "creation is not wanted by default");
}

async fn the_originals_webhook_carries_its_key(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_auth: {kind: head, val: ti-key}").await;
    let key = f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("done")).await;
    let webhook = receiver.next().await;
    assert_eq!(webhook.header("ti-key"), key);
    assert!(!webhook.headers.contains_key("webhook-signature"));
    let body = webhook.json();
    let names: Vec<_> = body.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["task", "ttype"]);
    assert_eq!(body["ttype"], "t");
    assert_eq!(body["task"]["resolved"], true);
}

async fn events_wait_for_a_key(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    f.decide(id, Some("done")).await;
    let registry = f.app().registry.current();
    assert_eq!(registry.endpoint_of("s", None).expect("declared").held_reason(), Some("no_key"));
    assert_eq!(f.count("SELECT count(*) FROM deliveries").await, 2);
    f.key("s").await;
    for state in ["p", "done"] {
        assert_eq!(receiver.next().await.json()["data"]["task"]["state"], state, "in order");
    }
    f.until("SELECT count(*) FROM deliveries", 0).await;
}

/// Whether a webhook is signed with a key.
fn is_signed(webhook: &Received, key: &str) -> bool {
    signing::verify(
        [&HmacKey::parse(key).expect("a key")],
        webhook.header("webhook-id"),
        webhook.header("webhook-timestamp").parse().expect("seconds"),
        &webhook.body,
        webhook.header("webhook-signature"),
    )
}

async fn decided(f: &Fixture, receiver: &mut Receiver) -> Received {
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    receiver.next().await
}

async fn a_rotated_key_signs_from_then_on(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    let old = f.key("s").await;
    let new = f.rotate("s", Duration::ZERO).await.key;
    let webhook = decided(&f, &mut receiver).await;
    assert!(is_signed(&webhook, &new) && !is_signed(&webhook, &old));
}

const LIVE: &str = "SELECT count(*) FROM endpoint_secrets WHERE expires_at IS NULL OR expires_at > ";

/// A condition on the database's clock, which ends secrets.
fn live(engine: Engine) -> String {
    match engine {
        Engine::Postgres => format!("{LIVE} (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"),
        Engine::Sqlite => format!("{LIVE} CAST(unixepoch('subsec') * 1000000 AS INTEGER)"),
    }
}

async fn both_keys_sign_until_the_former_ends(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    let old = f.key("s").await;
    let new = f.rotate("s", Duration::from_secs(3)).await.key;
    let webhook = decided(&f, &mut receiver).await;
    assert!(is_signed(&webhook, &new) && is_signed(&webhook, &old), "a receiver may know either");
    assert_eq!(webhook.header("webhook-signature").split(' ').count(), 2);
    // Time passes; nothing tells the dispatcher, which has both keys in its hands.
    let number = f.app().registry.current().number;
    f.until(&live(engine), 1).await;
    let webhook = decided(&f, &mut receiver).await;
    assert!(is_signed(&webhook, &new) && !is_signed(&webhook, &old));
    assert_eq!(webhook.header("webhook-signature").split(' ').count(), 1);
    assert_eq!(f.app().registry.current().number, number);
}

async fn every_key_signs_until_its_own_end(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    let first = f.key("s").await;
    let second = f.rotate("s", Duration::from_secs(3)).await.key;
    let third = f.rotate("s", Duration::from_hours(1)).await.key;
    let webhook = decided(&f, &mut receiver).await;
    assert!([&first, &second, &third].iter().all(|key| is_signed(&webhook, key)));
    assert_eq!(webhook.header("webhook-signature").split(' ').count(), 3);
    // The first had been promised less time than the second.
    f.until(&live(engine), 2).await;
    let webhook = decided(&f, &mut receiver).await;
    assert!([&second, &third].iter().all(|key| is_signed(&webhook, key)) && !is_signed(&webhook, &first));
}

async fn an_endpoint_whose_last_key_ended_is_sent_nothing(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    let old = f.key("s").await;
    let made = f.rotate("s", Duration::from_secs(2)).await;
    webhook_keys::remove(f.app(), &Principal::cli(), made.info.id).await.expect("ended");
    let webhook = decided(&f, &mut receiver).await;
    assert!(is_signed(&webhook, &old) && !is_signed(&webhook, &made.key));
    f.until("SELECT count(*) FROM deliveries", 0).await;
    f.until(&live(engine), 0).await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    f.until("SELECT count(*) FROM deliveries WHERE lease_token IS NULL AND attempts = 0", 1).await;
    // What a watcher of a server does when a key has ended.
    let registry = f.app().registry.current();
    assert!(registry.key_end().is_some_and(|end| end <= App::now()));
    let registry = f.app().registry.refresh(&f.app().db).await.expect("read");
    let endpoint = registry.endpoint_of("s", None).expect("declared");
    assert_eq!((endpoint.held_reason(), registry.key_end()), (Some("no_key"), None));
    assert!(receiver.try_next().is_none(), "nothing goes out unsigned");
    let new = f.key("s").await;
    assert!(is_signed(&receiver.next().await, &new));
}

async fn a_former_key_that_does_not_open_holds_nothing_back(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    f.key("s").await;
    let new = f.rotate("s", Duration::from_hours(1)).await.key;
    f.execute(
        "UPDATE endpoint_secrets SET ciphertext = (SELECT digest FROM events LIMIT 1) WHERE expires_at IS NOT NULL",
    )
    .await;
    // Something else changes, so that keys are read again.
    f.install("t", &receiver.url, "").await;
    let webhook = decided(&f, &mut receiver).await;
    assert!(is_signed(&webhook, &new));
    assert_eq!(webhook.header("webhook-signature").split(' ').count(), 1);
}

async fn a_private_address_is_refused_and_seen(engine: Engine) {
    let f = Fixture::with_policy(engine, Policy::new([])).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    f.until("SELECT count(*) FROM attempts WHERE outcome = 'address_refused'", 1).await;
    assert_eq!(
        f.count("SELECT count(*) FROM deliveries WHERE attempts = 1 AND lease_token IS NULL").await,
        1
    );
    assert!(receiver.try_next().is_none());
}

async fn every_attempt_sends_the_same_bytes(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500), Answer::Status(503), Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    let first = receiver.next().await;
    for attempts in [1, 2] {
        f.until(&format!("SELECT count(*) FROM deliveries WHERE attempts = {attempts}"), 1).await;
        f.hurry().await;
        let again = receiver.next().await;
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    }
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered' AND attempts = 3", 1).await;
}

async fn an_attempt_that_fails_is_told_to_who_listens(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    let member = f.app().tail.hub().join();
    let topic = Topic::parse("delivery:attempt:fail.s").expect("a topic");
    member.listen([(topic, Grant { holder: Uuid::nil(), schema: Some("s".into()) })]);
    let id = f.post("s").await;
    receiver.next().await;
    let told = loop {
        member.changed().await;
        if let Some(frame) = member.take().frames.pop_front() {
            break serde_json::from_slice::<Value>(&frame).expect("JSON");
        }
    };
    assert_eq!(
        (&told["type"], &told["data"]["topic"]),
        (&json!("MESSAGE"), &json!("delivery:attempt:fail.s"))
    );
    let said: Value = serde_json::from_str(told["data"]["message"].as_str().expect("a text")).expect("JSON");
    assert_eq!(said["task_id"], json!(id));
    assert_eq!(
        (&said["outcome"], &said["status"], &said["attempt"]),
        (&json!("status"), &json!(500), &json!(1))
    );
    assert!(said["next_attempt"].is_string() && said["dead"].is_null(), "{said}");
    // One that is taken is not told.
    receiver.answer(Answer::Status(200));
    f.hurry().await;
    f.until("SELECT count(*) FROM deliveries", 0).await;
    assert!(member.take().frames.is_empty());
}

async fn an_endpoint_of_several_schemas_is_told_of_to_who_sees_all(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", "https://nobody.example/", "hook_events: []").await;
    let change = EndpointChange { url: Some(receiver.url.clone()), ..EndpointChange::default() };
    endpoints::create(f.app(), &Principal::cli(), change, None).await.expect("registered");
    let (all, one) = (f.app().tail.hub().join(), f.app().tail.hub().join());
    for (member, topic) in [(&all, "delivery:attempt:fail"), (&one, "delivery:attempt:fail.s")] {
        let topic = Topic::parse(topic).expect("a topic");
        member.listen([(topic, Grant { holder: Uuid::nil(), schema: None })]);
    }
    f.post("s").await;
    receiver.next().await;
    while all.take().frames.is_empty() {
        all.changed().await;
    }
    assert!(one.take().frames.is_empty(), "who sees one schema may not see what hears of others");
}
