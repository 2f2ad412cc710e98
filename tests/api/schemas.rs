//! Schemas by the API.

use reqwest::Method;
use serde_json::json;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Answer, SAMPLE, SHOP, Server, column, time};

on_both_engines!(
    installs_and_uses_a_schema,
    installs_versions_in_order,
    refuses_bad_files_with_their_places,
    a_dry_run_changes_nothing,
    lists_and_reads,
    removes_with_its_tasks,
);

const SCHEMAS: &str = "/api/v1/schemas";

async fn install(server: &Server, query: &str, file: &str) -> Answer {
    let request = server.request(Method::POST, &format!("{SCHEMAS}{query}"));
    request.text("application/yaml", file.to_owned()).send().await
}

fn file(name: &str, semver: &str, states: &str) -> String {
    format!("name: {name}\nsemver: '{semver}'\ntasktypes:\n- name: ask\n  resolved_states: [{states}]\n")
}

async fn installs_and_uses_a_schema(engine: Engine) {
    let server = Server::start(engine).await;
    let answer = install(&server, "", &file("new", "1", "yes, no")).await;
    let report = answer.ok(201);
    assert_eq!(answer.header("location"), "/api/v1/schemas/new");
    assert_eq!(report["name"], "new");
    assert_eq!(report["semver"], "1");
    assert_eq!(report["version"], 1);
    assert_eq!(report["breaking"], false);
    server.post(&json!({"schema_name": "new", "task": "ask"})).await.ok(201);
    let hooked = "name: hooked\nsemver: '1'\ndefault_hook_url: https://example.com/hook\ntasktypes:\n- {name: a, resolved_states: [b]}\n";
    let warnings = install(&server, "", hooked).await.ok(201)["warnings"].to_string();
    assert!(warnings.contains("task-inbox webhook_key hooked"), "{warnings}");
}

async fn installs_versions_in_order(engine: Engine) {
    let server = Server::start(engine).await;
    install(&server, "", &file("s", "1", "yes, no")).await.ok(201);
    let old = server.post(&json!({"schema_name": "s", "task": "ask"})).await.ok(201);
    install(&server, "", &file("s", "1.0", "yes, no")).await.problem(409);
    install(&server, "", &file("s", "0.9", "yes, no")).await.problem(409);
    let added = install(&server, "", &file("s", "1.1", "yes, no, maybe")).await.ok(201);
    assert_eq!(added["version"], 2);
    assert!(!added["changes"].as_array().expect("changes").is_empty());
    install(&server, "", &file("s", "1.2", "yes")).await.problem(422);
    assert_eq!(install(&server, "?force=true", &file("s", "1.2", "yes")).await.ok(201)["breaking"], true);
    assert_eq!(install(&server, "", &file("s", "2", "no")).await.ok(201)["breaking"], true);
    // A task stays on its version; new ones are of the latest.
    let path = format!("/api/v1/tasks/{}", old["task"]["id"].as_str().expect("an id"));
    let kept = server.get(&path).await.ok(200);
    assert_eq!(kept["task"]["semver"], "1");
    assert_eq!(kept["task"]["allowed_transitions"], json!(["yes", "no"]));
    let new = server.post(&json!({"schema_name": "s", "task": "ask"})).await.ok(201);
    assert_eq!(new["task"]["semver"], "2");
    assert_eq!(new["task"]["allowed_transitions"], json!(["no"]));
}

async fn refuses_bad_files_with_their_places(engine: Engine) {
    let server = Server::start(engine).await;
    let bad = "name: s\nsemver: one\ncolour: red\ntasktypes: []\n";
    let problem = install(&server, "", bad).await.problem(422);
    let details = problem["errors"].to_string();
    assert!(details.contains("line 2") && details.contains("line 3"), "{details}");
    install(&server, "", "{").await.problem(422);
    install(&server, "", "").await.problem(400);
    install(&server, "?force=perhaps", &file("s", "1", "a")).await.problem(400);
    let request = server.request(Method::POST, SCHEMAS);
    request.text("application/json", "{}").send().await.problem(415);
    let latin = server.request(Method::POST, SCHEMAS).text("application/yaml", &b"name: \xe9"[..]);
    latin.send().await.problem(400);
    let text = server.request(Method::POST, SCHEMAS).text("text/plain; charset=utf-8", file("s", "1", "a"));
    text.send().await.ok(201);
}

async fn a_dry_run_changes_nothing(engine: Engine) {
    let server = Server::start(engine).await;
    let report = install(&server, "?dry_run=true", &file("s", "1", "a")).await.ok(200);
    assert_eq!(report["version"], 1);
    server.get("/api/v1/schemas/s").await.problem(404);
    server.refund().await;
    let removal = server.request(Method::DELETE, "/api/v1/schemas/shop?dry_run=true").send().await.ok(200);
    assert_eq!(removal, json!({"name": "shop", "versions": 1, "tasks": 1, "deleted": false}));
    server.get("/api/v1/schemas/shop").await.ok(200);
}

async fn lists_and_reads(engine: Engine) {
    let server = Server::start(engine).await;
    let list = server.get(SCHEMAS).await.ok(200);
    assert_eq!(column(&list["schemas"], "name"), ["shop", "ti:sample"]);
    let shop = server.get("/api/v1/schemas/shop").await.ok(200);
    assert_eq!(shop["semver"], "1.2");
    assert_eq!(shop["source"], SHOP);
    assert_eq!(shop["types"][0]["name"], "refund");
    assert_eq!(shop["endpoints"], json!([]));
    time(&shop["installed"]);
    let sample = server.get("/api/v1/schemas/ti%3Asample").await.ok(200);
    assert_eq!(sample["source"], SAMPLE);
    assert_eq!(sample["endpoints"][0]["held"], "no_key");
    for nowhere in ["nowhere", "%00", "a%2Fb", "x?"] {
        server.get(&format!("/api/v1/schemas/{nowhere}")).await.problem(404);
    }
    server.get("/api/v1/schemas/%ff").await.problem(400);
    server.get("/api/v1/schemas?name=x").await.problem(400);
}

async fn removes_with_its_tasks(engine: Engine) {
    let server = Server::start(engine).await;
    let (task, kept) = (server.refund().await, server.flag(json!({})).await);
    let removal = server.request(Method::DELETE, "/api/v1/schemas/shop").send().await.ok(200);
    assert_eq!(removal, json!({"name": "shop", "versions": 1, "tasks": 1, "deleted": true}));
    let id = task["id"].as_str().expect("an id");
    server.get(&format!("/api/v1/tasks/{id}")).await.problem(404);
    server.decide(&task, "checked").send().await.problem(404);
    server.post(&json!({"schema_name": "shop", "task": "note"})).await.problem(404);
    let list = server.get("/api/v1/tasks").await.ok(200);
    assert_eq!(column(&list["tasks"], "id"), [kept["id"].as_str().expect("an id")]);
    // The log stays, and says that it went.
    let events = server.get("/api/v1/events?schema=shop").await.ok(200);
    assert_eq!(
        column(&events["events"], "type"),
        ["schema.version_created", "task.created", "schema.removed"]
    );
    server.request(Method::DELETE, "/api/v1/schemas/shop").send().await.problem(404);
    // The name is free again.
    install(&server, "", SHOP).await.ok(201);
    server.refund().await;
}
