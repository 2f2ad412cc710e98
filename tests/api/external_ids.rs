//! `external_id`: the sender's own name for a task, unique in its schema.

use serde_json::{Value, json};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(the_same_content_gets_the_task, other_content_conflicts, posts_at_once_make_one_task);

fn named(name: &str, meta: &Value) -> Value {
    json!({"schema_name": "ti:sample", "task": "flag-content", "external_id": name, "meta": meta})
}

async fn the_same_content_gets_the_task(engine: Engine) {
    let server = Server::start(engine).await;
    let first = server.post(&named("a", &json!({"x": 1, "y": 2}))).await.ok(201);
    assert_eq!(first["task"]["external_id"], "a");
    let answer = server.post(&named("a", &json!({"y": 2, "x": 1.0}))).await;
    assert_eq!(answer.ok(200), first);
    assert_eq!(answer.header("etag"), "\"1\"");
    assert!(answer.header("location").ends_with(first["task"]["id"].as_str().expect("an id")));
    // The task as it stands, not as it was.
    server.decide(&first["task"], "allow").send().await.ok(200);
    let now = server.post(&named("a", &json!({"x": 1, "y": 2}))).await.ok(200);
    assert_eq!(now["task"]["state"], "allow");
    let found = server.get("/api/v1/tasks?external_id=a").await.ok(200);
    assert_eq!(found["tasks"], json!([now["task"]]));
    // Another schema, another namespace.
    let other = json!({"schema_name": "shop", "task": "note", "external_id": "a"});
    server.post(&other).await.ok(201);
}

async fn other_content_conflicts(engine: Engine) {
    let server = Server::start(engine).await;
    let first = server.post(&named("a", &json!({"x": 1}))).await.ok(201);
    for other in [named("a", &json!({"x": 2})), named("a", &Value::Null)] {
        let problem = server.post(&other).await.problem(409);
        assert_eq!(problem["current"], first["task"]);
        assert_eq!(problem["allowed_transitions"], first["task"]["allowed_transitions"]);
    }
    let other_type =
        json!({"schema_name": "ti:sample", "task": "delete-acct", "external_id": "a", "meta": {"x": 1}});
    server.post(&other_type).await.problem(409);
}

async fn posts_at_once_make_one_task(engine: Engine) {
    let server = Server::start(engine).await;
    let (same, other) = (named("a", &json!({"x": 1})), named("a", &json!({"x": 2})));
    let posts = (0..24).map(|i| server.post(if i % 3 == 2 { &other } else { &same }));
    let answers = futures_util::future::join_all(posts).await;
    let with = |status: u16| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(with(201), 1);
    assert_eq!(with(200) + with(409), 23);
    let list = server.get("/api/v1/tasks").await.ok(200);
    assert_eq!(list["tasks"].as_array().map(Vec::len), Some(1));
}
