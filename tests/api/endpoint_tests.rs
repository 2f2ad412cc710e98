//! Trying an endpoint: a signed event, and what was answered.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::webhook_keys::{self, NewWebhookKey};
use task_inbox::app::{Principal, schemas};
use task_inbox::store::Engine;
use task_inbox_domain::webhook::signing::{self, HmacKey};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::on_both_engines;
use crate::server::{Answer, Server};

on_both_engines!(
    a_test_is_signed_as_webhooks_are,
    it_goes_out_while_deliveries_wait,
    it_tells_what_was_answered,
    messengers_are_sent_a_message,
    without_a_key_the_command_is_named,
    nothing_is_sent_where_nothing_may,
);

/// A receiver that always answers the same.
struct Receiver {
    url: String,
    requests: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    stop: CancellationToken,
}

impl Receiver {
    async fn answering(status: u16, body: &'static str) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let status = StatusCode::from_u16(status).expect("a status");
        let router = Router::new().fallback(async move |headers: HeaderMap, sent: Bytes| {
            let _ = sender.send((headers, sent));
            (status, body)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let stop = CancellationToken::new();
        tokio::spawn(task_inbox::http::serve(listener, router, stop.clone()));
        Self { url, requests, stop }
    }

    /// What has come; the test that was sent has its answer already.
    fn received(&mut self) -> (HeaderMap, Bytes) {
        self.requests.try_recv().expect("a request came")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn register(server: &Server, body: Value) -> Value {
    server.request(Method::POST, "/api/v1/endpoints").json(&body).send().await.ok(201)
}

async fn test(server: &Server, endpoint: &Value) -> Answer {
    let path = format!("/api/v1/endpoints/{}/test", endpoint["id"].as_str().expect("an id"));
    server.request(Method::POST, &path).send().await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

async fn a_test_is_signed_as_webhooks_are(engine: Engine) {
    let server = Server::open_to_loopback(engine).await;
    let mut receiver = Receiver::answering(200, "thanks").await;
    let made = register(&server, json!({"url": receiver.url, "headers": {"x-tenant": "shop"}})).await;
    let found = test(&server, &made).await.ok(200);
    assert_eq!(
        (&found["delivered"], &found["status"], &found["outcome"], &found["error"], &found["response"]),
        (&json!(true), &json!(200), &json!("delivered"), &Value::Null, &json!("thanks"))
    );
    assert!(found["duration_ms"].as_i64().is_some_and(|ms| (0..5_000).contains(&ms)), "{found}");
    let (headers, body) = receiver.received();
    assert_eq!((text(&headers, "x-tenant"), text(&headers, "content-type")), ("shop", "application/json"));
    let id = text(&headers, "webhook-id");
    assert!(id.starts_with("tst_") && !id.contains('.'), "{id}");
    let key = HmacKey::parse(made["key"].as_str().expect("a key")).expect("a key");
    let timestamp = text(&headers, "webhook-timestamp").parse().expect("seconds");
    assert_eq!(text(&headers, "webhook-signature"), signing::sign(&key, id, timestamp, &body));
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&body["type"], &body["data"]["endpoint_id"]), (&json!("endpoint.test"), &made["id"]));
    crate::server::time(&body["timestamp"]);
    // It is no delivery, and no event.
    assert_eq!(server.get("/api/v1/deliveries").await.ok(200)["deliveries"], json!([]));
    let events = server.get("/api/v1/events").await.ok(200).to_string();
    assert!(!events.contains("endpoint.test"), "{events}");
}

async fn it_goes_out_while_deliveries_wait(engine: Engine) {
    let server = Server::open_to_loopback(engine).await;
    let mut receiver = Receiver::answering(204, "").await;
    let made = register(&server, json!({"url": receiver.url, "rate": "1/h", "concurrency": 1})).await;
    let id = made["id"].as_str().expect("an id");
    server.request(Method::POST, &format!("/api/v1/endpoints/{id}/pause")).send().await.ok(200);
    for _ in 0..3 {
        assert_eq!(test(&server, &made).await.ok(200)["delivered"], true, "and it costs no rate");
        receiver.received();
    }
    for status in ["disabled", "active"] {
        server
            .sql(&format!(
                "UPDATE endpoints SET status = '{status}', failures = 30, open_until = 99999999999999999"
            ))
            .await;
        server.sql("UPDATE log_head SET registry = registry + 1").await;
        assert_eq!(test(&server, &made).await.ok(200)["delivered"], true, "{status}");
        receiver.received();
    }
    // A success closes no breaker: only deliveries do.
    let read = server.get(&format!("/api/v1/endpoints/{id}")).await.ok(200);
    assert_eq!((&read["held"], &read["failures"]), (&json!("failing"), &json!(30)));
    assert!(read["next_probe"].is_string(), "{read}");
}

async fn it_tells_what_was_answered(engine: Engine) {
    let server = Server::open_to_loopback(engine).await;
    let refusing = Receiver::answering(401, "the signature is wrong").await;
    let made = register(&server, json!({"url": refusing.url})).await;
    let found = test(&server, &made).await.ok(200);
    assert_eq!(
        (&found["delivered"], &found["status"], &found["outcome"], &found["error"], &found["response"]),
        (
            &json!(false),
            &json!(401),
            &json!("status"),
            &json!("answered 401"),
            &json!("the signature is wrong")
        )
    );
    let read =
        server.get(&format!("/api/v1/endpoints/{}", made["id"].as_str().expect("an id"))).await.ok(200);
    assert_eq!((&read["failures"], &read["failing_since"]), (&json!(0), &Value::Null));
    // Nobody listens there, and nobody ever answers here.
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("http://{}/", deaf.local_addr().expect("bound"));
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = format!("http://{}/", free.local_addr().expect("bound"));
    drop(free);
    for (url, outcome) in [(closed, "connect"), (silent, "timeout")] {
        let made = register(&server, json!({"url": url, "timeout": "1s"})).await;
        let found = test(&server, &made).await.ok(200);
        assert_eq!((&found["delivered"], &found["outcome"]), (&json!(false), &json!(outcome)), "{found}");
        assert!(
            found["status"].is_null() && found["response"].is_null() && found["error"].is_string(),
            "{found}"
        );
        assert!(found["duration_ms"].as_i64().is_some_and(|ms| ms < 4_000), "its own time-out: {found}");
    }
}

async fn messengers_are_sent_a_message(engine: Engine) {
    let server = Server::open_to_loopback(engine).await;
    let mut receiver = Receiver::answering(200, "").await;
    for (format, field) in [("slack", "text"), ("discord", "content")] {
        let made = register(&server, json!({"url": receiver.url, "format": format})).await;
        assert_eq!(test(&server, &made).await.ok(200)["delivered"], true);
        let body: Value = serde_json::from_slice(&receiver.received().1).expect("JSON");
        let shown = body[field].as_str().expect("a text");
        assert!(shown.contains("Test of task-inbox") && shown.contains("nothing happened"), "{shown}");
    }
    let made = register(&server, json!({"url": receiver.url, "format": "ntfy"})).await;
    test(&server, &made).await.ok(200);
    let (headers, body) = receiver.received();
    assert!(text(&headers, "content-type").starts_with("text/plain"));
    assert!(body.starts_with(b"Test of task-inbox\n"), "{body:?}");
}

async fn without_a_key_the_command_is_named(engine: Engine) {
    let server = Server::open_to_loopback(engine).await;
    let mut receiver = Receiver::answering(200, "").await;
    let source = format!(
        "name: called\nsemver: '1'\ndefault_hook_url: {0}\ncallback_hosts: [hooks.example]\ntasktypes:\n\
         - name: t\n  resolved_states: [done]\n  hook_url: {0}\n  hook_auth: {{kind: head, val: x-key}}\n",
        receiver.url
    );
    schemas::install(&server.app, &Principal::cli(), &source, false, false).await.expect("installs");
    let made = register(&server, json!({"url": receiver.url})).await;
    let keys = server.get("/api/v1/webhook-keys").await.ok(200);
    let key = keys["webhook_keys"][0]["id"].as_str().expect("an id").to_owned();
    server.request(Method::DELETE, &format!("/api/v1/webhook-keys/{key}")).send().await.ok(200);
    let own = server.get("/api/v1/endpoints?schema=called").await.ok(200)["endpoints"].clone();
    let by_origin = |origin: &str| {
        let found = own.as_array().expect("a list").iter().find(|e| e["origin"] == origin);
        found.unwrap_or_else(|| panic!("no {origin}: {own}")).clone()
    };
    for (endpoint, command) in [
        (made.clone(), format!("task-inbox webhook_key --endpoint {}", made["id"].as_str().expect("an id"))),
        (by_origin("schema"), "task-inbox webhook_key called`".to_owned()),
        (by_origin("type"), "task-inbox webhook_key called --type t`".to_owned()),
    ] {
        let refused = test(&server, &endpoint).await.problem(409);
        assert!(refused["detail"].as_str().is_some_and(|d| d.contains(&command)), "{refused}");
    }
    let callback = test(&server, &by_origin("callback")).await.problem(409);
    assert!(callback["detail"].as_str().is_some_and(|d| d.contains("hooks.example")), "{callback}");
    assert!(receiver.requests.try_recv().is_err(), "nothing is sent without proof of where it comes from");

    // With its key, a type's own endpoint gets it in its header.
    let new = NewWebhookKey {
        schema: "called".to_owned(),
        ttype: Some("t".to_owned()),
        key: Some("visible".to_owned()),
        ..NewWebhookKey::default()
    };
    webhook_keys::create(&server.app, &Principal::cli(), new).await.expect("made");
    assert_eq!(test(&server, &by_origin("type")).await.ok(200)["delivered"], true);
    let (headers, _) = receiver.received();
    assert_eq!((text(&headers, "x-key"), text(&headers, "webhook-signature")), ("visible", ""));
    test(&server, &json!({"id": "0190a0a0-0000-7000-8000-000000000000"})).await.problem(404);
}

async fn nothing_is_sent_where_nothing_may(engine: Engine) {
    let server = Server::start(engine).await;
    // Installing a schema only warns of an address; testing its endpoint says what comes of it.
    let new = NewWebhookKey { schema: "ti:sample".to_owned(), ..NewWebhookKey::default() };
    webhook_keys::create(&server.app, &Principal::cli(), new).await.expect("made");
    let declared = server.get("/api/v1/endpoints?schema=ti:sample").await.ok(200)["endpoints"][0].clone();
    let found = test(&server, &declared).await.ok(200);
    assert_eq!(found["delivered"], false);
    assert!(found["outcome"] == "address_refused" || found["outcome"] == "dns", "{found}");
}
