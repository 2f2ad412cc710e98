//! Decisions that hold for what was seen, and for nothing else.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::{Principal, schemas};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(
    a_decision_is_bound_to_what_was_seen,
    a_decision_that_does_not_say_what_was_seen_is_refused,
    a_decision_about_what_it_was_is_told_what_changed,
    what_is_bound_stays_so_in_the_log,
    reading_decides_nothing,
);

const SCHEMA: &str = "
name: pay
semver: '1'
tasktypes:
- name: transfer
  pending_states: [hold]
  resolved_states: [approve, reject]
  binds: [/meta/to, /meta/amount]
";

async fn server(engine: Engine) -> Server {
    let server = Server::start(engine).await;
    schemas::install(&server.app, &Principal::cli(), SCHEMA, false, false).await.expect("installs");
    server
}

async fn transfer(server: &Server) -> Value {
    let meta = json!({"to": "é", "amount": 12.5, "note": "rent"});
    server.post(&json!({"schema_name": "pay", "task": "transfer", "meta": meta})).await.ok(201)["task"]
        .clone()
}

async fn amend(server: &Server, task: &Value, meta: Value) -> Value {
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id"));
    server.request(Method::PATCH, &path).json(&json!({"meta": meta})).send().await.ok(200)["task"].clone()
}

/// By `printf '%s' '{"/meta/amount":12.5,"/meta/to":"é"}' | sha256sum`.
const HASH: &str = "sha256:271a303ea9f48b1f0d3860b9b03041092cd29040c444151b66d7b9ac2d913074";

async fn a_decision_is_bound_to_what_was_seen(engine: Engine) {
    let server = server(engine).await;
    let task = transfer(&server).await;
    assert_eq!(task["binding"], json!({"hash": HASH, "paths": ["/meta/to", "/meta/amount"]}));
    let listed = server.get("/api/v1/tasks?schema=pay").await.ok(200)["tasks"][0].clone();
    assert_eq!(listed["binding"], task["binding"]);
    // What is not bound may change and leaves the hash as it was; the version is another all the same.
    let noted = amend(&server, &task, json!({"note": "rent for May"})).await;
    assert_eq!(noted["binding"]["hash"], HASH);
    let decided = server.decide(&task, "approve").header("if-match", "\"2\"").send().await.ok(200);
    assert_eq!(decided["task"]["state"], "approve");
    let events =
        server.get("/api/v1/events?schema=pay&type=task.state_changed").await.ok(200)["events"].clone();
    assert_eq!(
        events[0]["data"]["bound"],
        json!({"version": 2, "hash": HASH, "paths": ["/meta/to", "/meta/amount"]})
    );
    // Tasks of other types say nothing of it.
    let flag = server.flag(json!({})).await;
    assert!(flag.get("binding").is_none());
    server.decide(&flag, "block").send().await.ok(200);
}

async fn a_decision_that_does_not_say_what_was_seen_is_refused(engine: Engine) {
    let server = server(engine).await;
    let task = transfer(&server).await;
    for request in [server.decide(&task, "approve"), server.decide(&task, "approve").header("if-match", "*")]
    {
        let problem = request.send().await.problem(428);
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("If-Match")), "{problem}");
    }
    let id = task["id"].as_str().expect("an id");
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}")).await.ok(200)["task"]["version"], 1);
}

async fn a_decision_about_what_it_was_is_told_what_changed(engine: Engine) {
    let server = server(engine).await;
    let task = transfer(&server).await;
    amend(&server, &task, json!({"amount": 1250, "note": null, "by": {"name": "x"}})).await;
    let path = format!("/api/v1/tasks/{}/state?state=hold", task["id"].as_str().expect("an id"));
    server.request(Method::PATCH, &path).header("if-match", "\"2\"").send().await.ok(200);
    let stale = server.decide(&task, "approve").header("if-match", "\"1\"").send().await.problem(412);
    assert_eq!(
        stale["changes"],
        json!([
            {"pointer": "/meta/amount", "from": 12.5, "to": 1250},
            {"pointer": "/meta/note", "from": "rent"},
            {"pointer": "/meta/by", "to": {"name": "x"}},
            {"pointer": "/state", "from": null, "to": "hold"},
        ])
    );
    assert_ne!(stale["current"]["binding"]["hash"], HASH);
    // Of a version that never was, nothing can be told.
    let never = server.decide(&task, "approve").header("if-match", "\"9\"").send().await.problem(412);
    assert!(never.get("changes").is_none(), "{never}");
}

async fn what_is_bound_stays_so_in_the_log(engine: Engine) {
    let server = server(engine).await;
    let task = transfer(&server).await;
    let decision = || server.decide(&task, "reject").header("if-match", "\"1\"").send();
    let decided = decision().await.ok(200);
    // To say it again changes nothing.
    assert_eq!(decision().await.ok(200), decided);
    // What is decided can't be changed under the decision.
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id"));
    server.request(Method::PATCH, &path).json(&json!({"meta": {"amount": 1}})).send().await.problem(409);
}

/// Mail scanners and previews follow links.
async fn reading_decides_nothing(engine: Engine) {
    let server = server(engine).await;
    let task = server.flag(json!({})).await;
    let id = task["id"].as_str().expect("an id");
    for path in ["state?state=block", "cancel", "?state=block"] {
        let path = format!("/api/v1/tasks/{id}/{path}");
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            server.request(method, &path).header("if-match", "\"1\"").open().await;
        }
    }
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}")).await.ok(200)["task"], task);
}
