//! `Idempotency-Key`: one request, however often it is sent.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Answer, Server, column};

on_both_engines!(
    a_repeated_post_gets_the_first_answer,
    another_body_is_refused,
    posts_at_once_make_one_task,
    it_survives_a_restart,
    keys_are_scoped,
    only_success_is_kept,
    decisions_have_it_too,
    refuses_odd_keys,
    elsewhere_it_is_refused_and_never_ignored,
);

fn task(meta: &Value) -> Value {
    json!({"schema_name": "ti:sample", "task": "flag-content", "meta": meta})
}

async fn post(server: &Server, key: &str, body: &Value) -> Answer {
    server.request(Method::POST, "/api/v1/tasks").header("idempotency-key", key).json(body).send().await
}

async fn count(server: &Server) -> usize {
    column(&server.get("/api/v1/tasks?limit=500").await.ok(200)["tasks"], "id").len()
}

async fn a_repeated_post_gets_the_first_answer(engine: Engine) {
    let server = Server::start(engine).await;
    let first = post(&server, "k", &task(&json!({}))).await;
    let body = first.ok(201);
    let again = post(&server, "k", &task(&json!({}))).await;
    assert_eq!(again.ok(201), body);
    assert_eq!(again.header("location"), first.header("location"));
    // Whatever became of the task since.
    server.decide(&body["task"], "allow").send().await.ok(200);
    let later = post(&server, "k", &task(&json!({}))).await;
    assert_eq!(later.ok(201), body);
    assert_eq!(later.header("etag"), "\"1\"");
    assert_eq!(count(&server).await, 1);
    // With and without the slash is one path.
    let slash = server.request(Method::POST, "/api/v1/tasks/").header("idempotency-key", "k");
    assert_eq!(slash.json(&task(&json!({}))).send().await.ok(201), body);
}

async fn another_body_is_refused(engine: Engine) {
    let server = Server::start(engine).await;
    post(&server, "k", &task(&json!({}))).await.ok(201);
    let problem = post(&server, "k", &task(&json!({"a": 1}))).await.problem(409);
    assert_eq!(problem.get("current"), None);
    // Raw bytes are compared, not what they mean.
    let spaced = task(&json!({})).to_string() + " ";
    let request = server.request(Method::POST, "/api/v1/tasks").header("idempotency-key", "k");
    request.text("application/json", spaced).send().await.problem(409);
    assert_eq!(count(&server).await, 1);
}

async fn posts_at_once_make_one_task(engine: Engine) {
    let server = Server::start(engine).await;
    let body = task(&json!({"n": 1}));
    let posts = (0..32).map(|i| post(&server, if i % 2 == 0 { "even" } else { "odd" }, &body));
    let answers = futures_util::future::join_all(posts).await;
    let ids: Vec<_> = answers.iter().map(|a| a.ok(201)["task"]["id"].clone()).collect();
    for (i, id) in ids.iter().enumerate() {
        assert_eq!(*id, ids[i % 2]);
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(count(&server).await, 2);
}

async fn it_survives_a_restart(engine: Engine) {
    let server = Server::start(engine).await;
    let first = post(&server, "k", &task(&json!({}))).await.ok(201);
    let server = server.restart().await;
    assert_eq!(post(&server, "k", &task(&json!({}))).await.ok(201), first);
    post(&server, "k", &task(&json!({"a": 1}))).await.problem(409);
    assert_eq!(count(&server).await, 1);
}

async fn keys_are_scoped(engine: Engine) {
    let server = Server::start(engine).await;
    let first = post(&server, "k", &task(&json!({}))).await.ok(201);
    let other = server.key(None, &Permission::ALL).await;
    let request = server.bare(Method::POST, "/api/v1/tasks").header("api-key", &other);
    let second = request.header("idempotency-key", "k").json(&task(&json!({}))).send().await.ok(201);
    assert_ne!(first["task"]["id"], second["task"]["id"]);
    // Another method and path.
    server.decide(&first["task"], "allow").header("idempotency-key", "k").send().await.ok(200);
    server.decide(&second["task"], "allow").header("idempotency-key", "k").send().await.ok(200);
}

async fn only_success_is_kept(engine: Engine) {
    let server = Server::start(engine).await;
    let mut body = task(&json!({}));
    body["task"] = json!("nothing");
    post(&server, "k", &body).await.problem(404);
    post(&server, "k", &task(&json!([]))).await.problem(422);
    post(&server, "k", &task(&json!({}))).await.ok(201);
}

async fn decisions_have_it_too(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let decide = |state: &str| server.decide(&task, state).header("idempotency-key", "k").send();
    let first = decide("level1").await.ok(200);
    server.decide(&task, "level2").send().await.ok(200);
    // The first answer, though the task has moved on.
    assert_eq!(decide("level1").await.ok(200), first);
    assert_eq!(
        server.get(&format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id"))).await.ok(200)["task"]["state"],
        "level2"
    );
    decide("allow").await.problem(409);
    let server = server.restart().await;
    let again = server.decide(&task, "level1").header("idempotency-key", "k").send().await;
    assert_eq!(again.ok(200), first);
}

async fn refuses_odd_keys(engine: Engine) {
    let server = Server::start(engine).await;
    for odd in ["", "a b", &"x".repeat(256)] {
        post(&server, odd, &task(&json!({}))).await.problem(400);
    }
    let two = server.request(Method::POST, "/api/v1/tasks").header("idempotency-key", "a");
    two.header("idempotency-key", "b").json(&task(&json!({}))).send().await.problem(400);
    post(&server, &"~".repeat(255), &task(&json!({}))).await.ok(201);
    assert_eq!(count(&server).await, 1);
}

async fn elsewhere_it_is_refused_and_never_ignored(engine: Engine) {
    let server = Server::start(engine).await;
    let keyed = |method: Method, path: &str| server.request(method, path).header("idempotency-key", "k");
    let body = json!({"url": "https://a.example/hook"});
    let refused = keyed(Method::POST, "/api/v1/endpoints").json(&body).send().await.problem(422);
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(detail.contains("deciding tasks") && detail.contains("GET /api/v1/endpoints"), "{detail}");
    assert_eq!(server.get("/api/v1/endpoints?origin=registered").await.ok(200)["endpoints"], json!([]));
    let id = "0199b8c4-51d1-7a32-9d0f-2f6f1c5b7a10";
    for (method, path) in [
        (Method::POST, "/api/v1/replays".to_owned()),
        (Method::POST, "/api/v1/replays/".to_owned()),
        (Method::POST, "/api/v1/api-keys".to_owned()),
        (Method::POST, "/api/v1/schemas".to_owned()),
        (Method::PATCH, format!("/api/v1/endpoints/{id}")),
        (Method::PUT, "/api/v1/maintenance".to_owned()),
        (Method::DELETE, "/api/v1/maintenance".to_owned()),
        (Method::DELETE, format!("/api/v1/api-keys/{id}")),
        (Method::DELETE, format!("/api/v1/webhook-keys/{id}")),
        (Method::DELETE, format!("/api/v1/endpoints/{id}")),
        (Method::DELETE, "/api/v1/schemas/shop".to_owned()),
    ] {
        keyed(method, &path).send().await.problem(422);
    }
    // What only reads is the same however often it is sent.
    keyed(Method::GET, "/api/v1/tasks").send().await.ok(200);
    keyed(Method::POST, "/api/v1/log/verify").send().await.ok(200);
}
