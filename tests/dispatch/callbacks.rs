//! Tasks that are called back at a host which their schema allows.

use std::time::Duration;

use serde_json::json;
use task_inbox::app::sender::{self, Said};
use task_inbox::app::{PostTask, Principal, schemas, tasks};
use task_inbox::store::Engine;
use task_inbox_domain::Document;
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::on_both_engines;
use crate::receiver::{Answer, Received, Receiver};

on_both_engines!(
    a_callback_is_signed_with_its_schemas_key,
    a_callback_hears_of_every_end,
    a_schema_that_has_callbacks_alone_has_a_key_all_the_same,
    a_callback_that_fails_delays_the_schemas_own_endpoint_not,
    a_callback_that_is_gone_or_fails_stops_no_other,
);

/// Installs a schema whose tasks may be called back at loopback.
async fn install(f: &Fixture, own: &str) {
    let source = format!(
        "name: s\nsemver: 1\n{own}callback_hosts: [127.0.0.1]\ntasktypes:\n\
         - name: t\n  pending_states: [p, q]\n  resolved_states: [done]\n"
    );
    schemas::install(f.app(), &Principal::cli(), &source, false, false).await.expect("installs");
}

async fn post(f: &Fixture, callback: Option<&str>) -> Uuid {
    let post = PostTask {
        schema_name: "s".to_owned(),
        task: "t".to_owned(),
        callback_url: callback.map(str::to_owned),
        ..PostTask::default()
    };
    tasks::create(f.app(), &Principal::cli(), post, None).await.expect("posted").0.task.id
}

/// The official library of the standard, which shares no code with ours, takes it.
fn verifies(webhook: &Received, key: &str) {
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, webhook.headers[name].clone());
    }
    let verifier = standardwebhooks::Webhook::new(key).expect("a key");
    verifier.verify(&webhook.body, &headers).expect("it verifies");
}

async fn a_callback_is_signed_with_its_schemas_key(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut own = Receiver::start([Answer::Status(200)]).await;
    let mut called = Receiver::start([Answer::Status(200)]).await;
    install(&f, &format!("default_hook_url: {}\n", own.url)).await;
    let key = f.key("s").await;
    let id = post(&f, Some(&format!("{}?order=1", called.url))).await;
    f.decide(id, Some("p")).await;
    for receiver in [&mut own, &mut called] {
        let webhook = receiver.next().await;
        verifies(&webhook, &key);
        assert_eq!(webhook.json()["data"]["task"]["id"], id.to_string());
    }
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered'", 2).await;
    // Who did not ask to be called back is not.
    let other = post(&f, None).await;
    f.decide(other, Some("p")).await;
    own.next().await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered'", 3).await;
    assert!(called.try_next().is_none());
}

/// Whoever waits there would wait for ever.
async fn a_callback_hears_of_every_end(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut called = Receiver::start([Answer::Status(200)]).await;
    install(&f, "").await;
    f.key("s").await;
    let cli = Principal::cli();
    let merged = || PostTask {
        schema_name: "s".to_owned(),
        task: "t".to_owned(),
        callback_url: Some(called.url.clone()),
        merge_key: Some("k".to_owned()),
        meta: Some(Document::parse_object(&format!(r#"{{"n":"{}"}}"#, Uuid::new_v4())).expect("an object")),
        ..PostTask::default()
    };
    let (one, two) = (merged(), merged());
    let first = tasks::create(f.app(), &cli, one, None).await.expect("posted").0.task.id;
    let second = tasks::create(f.app(), &cli, two, None).await.expect("posted").0.task.id;
    let webhook = called.next().await.json();
    assert_eq!(
        (&webhook["type"], &webhook["data"]["task"]["id"]),
        (&json!("task.superseded"), &json!(first))
    );
    sender::cancel(f.app(), &cli, second, Said::default(), None).await.expect("withdrawn");
    let webhook = called.next().await.json();
    assert_eq!(
        (&webhook["type"], &webhook["data"]["task"]["phase"]),
        (&json!("task.cancelled"), &json!("cancelled"))
    );
}

async fn a_schema_that_has_callbacks_alone_has_a_key_all_the_same(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut called = Receiver::start([Answer::Status(200)]).await;
    install(&f, "").await;
    let id = post(&f, Some(&called.url)).await;
    f.decide(id, Some("p")).await;
    assert_eq!(
        f.count("SELECT count(*) FROM deliveries WHERE lease_token IS NULL").await,
        1,
        "it waits for a key"
    );
    let key = f.key("s").await;
    verifies(&called.next().await, &key);
    let rotated = f.rotate("s", Duration::from_hours(1)).await;
    f.app().registry.refresh(&f.app().db).await.expect("read");
    f.decide(id, Some("q")).await;
    let webhook = called.next().await;
    for key in [&key, &rotated.key] {
        verifies(&webhook, key);
    }
}

async fn a_callback_that_fails_delays_the_schemas_own_endpoint_not(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut own = Receiver::start([Answer::Status(200)]).await;
    let mut called = Receiver::start([Answer::Status(500)]).await;
    install(&f, &format!("default_hook_url: {}\n", own.url)).await;
    f.key("s").await;
    let id = post(&f, Some(&called.url)).await;
    for state in ["p", "q"] {
        f.decide(id, Some(state)).await;
        assert_eq!(own.next().await.json()["data"]["task"]["state"], state);
    }
    assert_eq!(called.next().await.json()["data"]["task"]["state"], "p");
    f.until("SELECT count(*) FROM attempts WHERE status = 500", 1).await;
    called.answer(Answer::Status(200));
    f.hurry().await;
    // In its order, all the same.
    for state in ["p", "q"] {
        assert_eq!(called.next().await.json()["data"]["task"]["state"], state);
    }
}

async fn a_callback_that_is_gone_or_fails_stops_no_other(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut gone = Receiver::start([Answer::Status(410)]).await;
    let mut failing = Receiver::start([Answer::Status(500)]).await;
    let mut called = Receiver::start([Answer::Status(200)]).await;
    // One host, and so one endpoint, with many paths.
    install(&f, "").await;
    f.key("s").await;
    let ended = post(&f, Some(&gone.url)).await;
    f.decide(ended, Some("p")).await;
    gone.next().await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'dead' AND reason = 'gone'", 1).await;
    for _ in 0..12 {
        let id = post(&f, Some(&failing.url)).await;
        f.decide(id, Some("p")).await;
        failing.next().await;
    }
    f.until("SELECT count(*) FROM attempts WHERE status = 500", 12).await;
    assert_eq!(
        f.count("SELECT count(*) FROM endpoints WHERE status = 'active' AND open_until IS NULL").await,
        1
    );
    let id = post(&f, Some(&called.url)).await;
    f.decide(id, Some("p")).await;
    assert_eq!(called.next().await.json()["data"]["task"]["id"], id.to_string());
}
