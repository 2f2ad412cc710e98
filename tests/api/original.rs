//! The original service's clients, request by request.

use reqwest::Method;
use serde_json::json;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, column, time};

on_both_engines!(its_clients_run_unmodified, its_paths_end_in_a_slash_or_not);

async fn its_clients_run_unmodified(engine: Engine) {
    let server = Server::start(engine).await;
    let body = r#"{"schema_name": "ti:sample", "task": "flag-content", "state": null, "meta": null}"#;
    let answer = server.request(Method::POST, "/api/v1/tasks/").text("application/json", body).send().await;
    let posted = answer.ok(201);
    let task = &posted["task"];
    let id = task["id"].as_str().expect("an id");
    assert_eq!(posted["ttype"], "flag-content");
    assert_eq!(answer.header("location"), format!("/api/v1/tasks/{id}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(time(&task["created"]), time(&task["updated"]));
    for (field, value) in [
        ("schema", json!("ti:sample")),
        ("semver", json!("1")),
        ("state", json!(null)),
        ("resolved", json!(false)),
        ("phase", json!("open")),
        ("meta", json!(null)),
        ("user_id", json!(null)),
        ("version", json!(1)),
        ("allowed_transitions", json!(["level1", "level2", "block", "allow"])),
    ] {
        assert_eq!(task[field], value, "{field}");
    }

    let list = server.get("/api/v1/tasks/?resolved=un").await.ok(200);
    assert_eq!(column(&list["tasks"], "id"), [id]);
    let ttype = &list["types"][task["ttype_id"].as_str().expect("a type")];
    assert_eq!(ttype["schema_name"], "ti:sample");
    assert_eq!(ttype["name"], "flag-content");
    assert_eq!(ttype["pending_states"], json!(["level1", "level2"]));
    assert_eq!(ttype["resolved_states"], json!(["block", "allow"]));
    assert_eq!(list["next_cursor"], json!(null));

    let level = server.request(Method::PATCH, &format!("/api/v1/tasks/{id}/state?state=level1")).send().await;
    assert_eq!(level.ok(200)["task"]["state"], "level1");
    assert_eq!(level.header("etag"), "\"2\"");
    let unset = server.decide(task, "").send().await.ok(200);
    assert_eq!(unset["task"]["state"], json!(null));
    let resolved = server.decide(task, "block").send().await.ok(200);
    assert_eq!(resolved["task"]["resolved"], true);
    assert_eq!(resolved["task"]["phase"], "resolved");
    assert_eq!(resolved["task"]["allowed_transitions"], json!([null]));
    assert_eq!(server.get("/api/v1/tasks/?resolved=un").await.ok(200)["tasks"], json!([]));
    assert_eq!(column(&server.get("/api/v1/tasks/").await.ok(200)["tasks"], "id"), [id]);

    let history = server.get(&format!("/api/v1/tasks/{id}/history")).await.ok(200);
    let states: Vec<_> =
        history["history"].as_array().expect("lines").iter().map(|l| l["state"].clone()).collect();
    assert_eq!(states, [json!(null), json!("level1"), json!(null), json!("block")]);
    let decided = &history["history"][3];
    assert_eq!(decided["resolved"], true);
    assert_eq!(decided["task_id"], id);
    assert_eq!(decided["actor"]["kind"], "key");
    assert_eq!(decided["editor_id"], decided["actor"]["id"]);
    assert_eq!(decided["assigned_id"], json!(null));
}

async fn its_paths_end_in_a_slash_or_not(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let id = task["id"].as_str().expect("an id");
    for path in ["/api/v1/tasks", "/api/v1/events", "/api/v1/schemas", "/api/v1/schemas/ti:sample", "/health"]
    {
        server.get(path).await.ok(200);
        server.get(&format!("{path}/")).await.ok(200);
    }
    for path in [format!("/api/v1/tasks/{id}"), format!("/api/v1/tasks/{id}/history")] {
        server.get(&path).await.ok(200);
        server.get(&format!("{path}/")).await.ok(200);
    }
    server.request(Method::PATCH, &format!("/api/v1/tasks/{id}/state/?state=allow")).send().await.ok(200);
    server.get("/api/v1/tasks//").await.problem(404);
}
