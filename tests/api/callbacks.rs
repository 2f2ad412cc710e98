//! `callback_url`: where else a task's events go.

use serde_json::{Value, json};
use task_inbox::app::webhook_keys::{self, NewWebhookKey};
use task_inbox::app::{Principal, schemas};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, column};

on_both_engines!(
    a_task_is_called_back_at_an_allowed_host,
    other_hosts_are_refused_and_told,
    it_is_part_of_what_was_posted,
    what_is_not_a_url_is_refused,
);

const CALLED: &str = "
name: called
semver: '1'
callback_hosts: [hooks.example, '*.shop.example', 10.0.0.1]
tasktypes:
- name: t
  resolved_states: [done]
";

async fn start(engine: Engine) -> Server {
    let server = Server::start(engine).await;
    schemas::install(&server.app, &Principal::cli(), CALLED, false, false).await.expect("installs");
    server
}

fn posted(url: &Value) -> Value {
    json!({"schema_name": "called", "task": "t", "callback_url": url})
}

async fn a_task_is_called_back_at_an_allowed_host(engine: Engine) {
    let server = start(engine).await;
    for (url, host) in [
        ("https://hooks.example/order/1?x=2", "hooks.example"),
        ("https://HOOKS.example:8443/", "hooks.example"),
        ("https://eu.shop.example/hook", "*.shop.example"),
    ] {
        let task = server.post(&posted(&json!(url))).await.ok(201)["task"].clone();
        assert_eq!(task["callback_url"], url);
        server.decide(&task, "done").send().await.ok(200);
        let path = format!("/api/v1/deliveries?task={}", task["id"].as_str().expect("an id"));
        let found = server.get(&path).await.ok(200)["deliveries"].clone();
        assert_eq!(
            (column(&found, "url"), column(&found, "reason")),
            (vec![host], vec!["no_key"]),
            "{found}"
        );
    }
    let listed =
        server.get("/api/v1/endpoints?origin=callback&schema=called").await.ok(200)["endpoints"].clone();
    let mut hosts = column(&listed, "url");
    hosts.sort_unstable();
    assert_eq!(hosts, ["*.shop.example", "10.0.0.1", "hooks.example"]);
    // All of them are signed with the key of their schema.
    let new = NewWebhookKey { schema: "called".to_owned(), ..NewWebhookKey::default() };
    webhook_keys::create(&server.app, &Principal::cli(), new).await.expect("made");
    let listed = server.get("/api/v1/endpoints?origin=callback").await.ok(200)["endpoints"].clone();
    assert!(listed.as_array().expect("a list").iter().all(|e| e["held"].is_null()), "{listed}");
}

async fn other_hosts_are_refused_and_told(engine: Engine) {
    let server = start(engine).await;
    for url in [
        "https://elsewhere.example/",
        "https://shop.example/",
        "https://a.b.shop.example/",
        "https://hooks.example.evil.example/",
    ] {
        let answer = server.post(&posted(&json!(url))).await;
        assert_eq!(answer.pointers(), ["/callback_url"], "{url}");
        let said = answer.body()["errors"][0]["detail"].as_str().expect("text").to_owned();
        assert!(said.contains("hooks.example, *.shop.example, 10.0.0.1"), "{said}");
    }
    let private = server.post(&posted(&json!("http://10.0.0.1/"))).await;
    assert_eq!(private.pointers(), ["/callback_url"]);
    assert!(private.body().to_string().contains("private"), "{}", private.body());
    let none =
        json!({"schema_name": "ti:sample", "task": "flag-content", "callback_url": "https://hooks.example/"});
    let none = server.post(&none).await;
    assert_eq!(none.pointers(), ["/callback_url"]);
    assert!(none.body().to_string().contains("lists no callback_hosts"), "{}", none.body());
    assert_eq!(server.get("/api/v1/tasks").await.ok(200)["tasks"], json!([]));
}

async fn it_is_part_of_what_was_posted(engine: Engine) {
    let server = start(engine).await;
    let named = |url: Value| {
        let mut body = posted(&url);
        body["external_id"] = json!("order-1");
        body
    };
    let first = server.post(&named(json!("https://hooks.example/1"))).await.ok(201);
    assert_eq!(server.post(&named(json!("https://hooks.example/1"))).await.ok(200), first);
    for other in [json!("https://hooks.example/2"), Value::Null] {
        assert_eq!(server.post(&named(other)).await.problem(409)["current"], first["task"]);
    }
}

async fn what_is_not_a_url_is_refused(engine: Engine) {
    let server = start(engine).await;
    let long = format!("https://hooks.example/{}", "x".repeat(2048));
    for url in [
        json!(1),
        json!(""),
        json!("hooks.example"),
        json!("ftp://hooks.example/"),
        json!("https://user:pw@hooks.example/"),
        json!("https://hooks.example/#x"),
        json!("https://hooks.example/a b"),
        json!(long),
    ] {
        assert_eq!(server.post(&posted(&url)).await.pointers(), ["/callback_url"], "{url}");
    }
}
