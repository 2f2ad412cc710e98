//! Who may do what, and who sees what.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use task_inbox::app::keys::{self, NewKey};
use task_inbox::app::rate::Rate;
use task_inbox::app::{Permission, Principal};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, column};

on_both_engines!(
    takes_a_key_from_either_header,
    refuses_keys_that_do_not_work,
    a_server_without_keys_names_the_command,
    every_call_needs_its_permission,
    a_key_sees_its_schemas_only,
    a_key_has_its_rate,
);

const TASKS: &str = "/api/v1/tasks";

async fn takes_a_key_from_either_header(engine: Engine) {
    let server = Server::start(engine).await;
    let key = server.key(None, &Permission::ALL).await;
    let bearer = format!("Bearer {key}");
    server.bare(Method::GET, TASKS).header("api-key", &key).send().await.ok(200);
    server.bare(Method::GET, TASKS).header("authorization", &bearer).send().await.ok(200);
    server
        .bare(Method::GET, TASKS)
        .header("api-key", &key)
        .header("authorization", &bearer)
        .send()
        .await
        .ok(200);
    let two = server.bare(Method::GET, TASKS).header("api-key", "other").header("authorization", &bearer);
    two.send().await.problem(400);
    let none = server.bare(Method::GET, TASKS).send().await;
    assert_eq!(none.problem(401)["type"], "/problems/unauthenticated");
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"task-inbox\"");
    server.bare(Method::GET, TASKS).header("authorization", "Basic eDp5").send().await.problem(401);
    // Nobody learns what a path holds without a key.
    server.bare(Method::GET, "/api/v1/tasks/x").send().await.problem(401);
    server.bare(Method::POST, TASKS).json(&json!({})).send().await.problem(401);
}

async fn refuses_keys_that_do_not_work(engine: Engine) {
    let server = Server::start(engine).await;
    let with = |key: &str| server.bare(Method::GET, TASKS).header("api-key", key);
    with("unknown").send().await.problem(403);
    let expired = NewKey { expires: Some(Duration::from_nanos(1)), ..NewKey::default() };
    let expired = server.new_key(expired).await;
    with(&expired.key).send().await.problem(403);
    let revoked = server.new_key(NewKey::default()).await;
    with(&revoked.key).send().await.ok(200);
    keys::revoke(&server.app, &Principal::cli(), revoked.id()).await.expect("revoked");
    server.app.keys.refresh(&server.app.db).await.expect("read");
    let answer = with(&revoked.key).send().await;
    let problem = answer.problem(403);
    assert!(!problem.to_string().contains(&revoked.key), "an answer quotes the key");
}

async fn a_server_without_keys_names_the_command(engine: Engine) {
    let server = Server::empty(engine).await;
    let problem = server.bare(Method::GET, TASKS).header("api-key", "any").send().await.problem(403);
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("task-inbox api_key")), "{problem}");
    // Once there is one, nobody who guesses is told more than that.
    server.new_key(NewKey::default()).await;
    let problem = server.bare(Method::GET, TASKS).header("api-key", "any").send().await.problem(403);
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("unknown")), "{problem}");
}

async fn every_call_needs_its_permission(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let id = task["id"].as_str().expect("an id");
    let calls = [
        (Method::POST, TASKS.to_owned(), Permission::TasksWrite),
        (Method::GET, TASKS.to_owned(), Permission::TasksRead),
        (Method::GET, format!("{TASKS}/{id}"), Permission::TasksRead),
        (Method::GET, format!("{TASKS}/{id}/history"), Permission::TasksRead),
        (Method::GET, "/api/v1/events".to_owned(), Permission::TasksRead),
        (Method::PATCH, format!("{TASKS}/{id}/state?state=allow"), Permission::TasksResolve),
        (Method::POST, "/api/v1/schemas".to_owned(), Permission::SchemasWrite),
        (Method::GET, "/api/v1/schemas".to_owned(), Permission::SchemasRead),
        (Method::GET, "/api/v1/schemas/shop".to_owned(), Permission::SchemasRead),
        (Method::DELETE, "/api/v1/schemas/shop".to_owned(), Permission::SchemasWrite),
        (Method::POST, "/api/v1/api-keys".to_owned(), Permission::KeysWrite),
        (Method::GET, "/api/v1/api-keys".to_owned(), Permission::KeysWrite),
        (Method::GET, format!("/api/v1/api-keys/{id}"), Permission::KeysWrite),
        (Method::DELETE, format!("/api/v1/api-keys/{id}"), Permission::KeysWrite),
        (Method::POST, "/api/v1/webhook-keys".to_owned(), Permission::KeysWrite),
        (Method::GET, "/api/v1/webhook-keys".to_owned(), Permission::KeysWrite),
        (Method::DELETE, format!("/api/v1/webhook-keys/{id}"), Permission::KeysWrite),
        (Method::POST, "/api/v1/webhook-keys/rekey".to_owned(), Permission::KeysWrite),
        (Method::GET, "/api/v1/endpoints".to_owned(), Permission::EndpointsRead),
        (Method::GET, format!("/api/v1/endpoints/{id}"), Permission::EndpointsRead),
        (Method::POST, "/api/v1/endpoints".to_owned(), Permission::EndpointsWrite),
        (Method::PATCH, format!("/api/v1/endpoints/{id}"), Permission::EndpointsWrite),
        (Method::DELETE, format!("/api/v1/endpoints/{id}"), Permission::EndpointsWrite),
        (Method::POST, format!("/api/v1/endpoints/{id}/pause"), Permission::EndpointsWrite),
        (Method::POST, format!("/api/v1/endpoints/{id}/resume"), Permission::EndpointsWrite),
        (Method::POST, format!("/api/v1/endpoints/{id}/test"), Permission::EndpointsWrite),
        (Method::POST, format!("/api/v1/deliveries/{id}/resend"), Permission::EndpointsWrite),
        (Method::POST, "/api/v1/replays".to_owned(), Permission::EndpointsWrite),
        (Method::GET, "/api/v1/replays".to_owned(), Permission::EndpointsRead),
        (Method::GET, format!("/api/v1/replays/{id}"), Permission::EndpointsRead),
        (Method::POST, format!("/api/v1/replays/{id}/cancel"), Permission::EndpointsWrite),
        (Method::GET, "/api/v1/deliveries".to_owned(), Permission::EndpointsRead),
        (Method::GET, format!("/api/v1/deliveries/{id}"), Permission::EndpointsRead),
        (Method::GET, "/api/v1/log".to_owned(), Permission::AuditRead),
        (Method::POST, "/api/v1/log/verify".to_owned(), Permission::AuditRead),
        (Method::GET, "/api/v1/checkpoints".to_owned(), Permission::AuditRead),
        (Method::POST, "/api/v1/checkpoints".to_owned(), Permission::AuditWrite),
        (Method::PUT, "/api/v1/maintenance".to_owned(), Permission::MaintenanceWrite),
        (Method::DELETE, "/api/v1/maintenance".to_owned(), Permission::MaintenanceWrite),
    ];
    for (method, path, needed) in calls {
        let others: Vec<_> = Permission::ALL.into_iter().filter(|p| *p != needed).collect();
        let key = server.key(None, &others).await;
        let request = server.bare(method.clone(), &path).header("api-key", &key);
        let request = match (&method, path.as_str()) {
            (&Method::POST, TASKS) => {
                request.json(&json!({"schema_name": "ti:sample", "task": "flag-content"}))
            }
            (&Method::POST, "/api/v1/schemas") => request.text("application/yaml", "name: x"),
            (&Method::PUT, "/api/v1/maintenance") => request.json(&json!({})),
            (&Method::POST, "/api/v1/api-keys") => request.json(&json!({"name": "x"})),
            (&Method::POST, "/api/v1/webhook-keys") => request.json(&json!({"schema": "shop"})),
            (&Method::POST, "/api/v1/endpoints") => request.json(&json!({"url": "https://a.example/"})),
            (&Method::PATCH, path) if path.starts_with("/api/v1/endpoints") => request.json(&json!({})),
            (&Method::POST, "/api/v1/replays") => request.json(&json!({"endpoint": id, "what": "dead"})),
            _ => request,
        };
        let problem = request.send().await.problem(403);
        assert!(
            problem["detail"].as_str().is_some_and(|d| d.contains(needed.as_str())),
            "{method} {path}: {problem}"
        );
    }
}

async fn a_key_sees_its_schemas_only(engine: Engine) {
    let server = Server::start(engine).await;
    let hidden = server.refund().await;
    let shown = server.flag(json!({})).await;
    let key = server.key(Some(&["ti:sample"]), &Permission::ALL).await;
    let ask = |method: Method, path: String| server.bare(method, &path).header("api-key", &key);
    let id = hidden["id"].as_str().expect("an id");
    // What is hidden answers just as what is not there.
    for path in [format!("{TASKS}/{id}"), format!("{TASKS}/{id}/history"), "/api/v1/schemas/shop".to_owned()]
    {
        let hidden = ask(Method::GET, path.clone()).send().await.problem(404)["detail"].to_string();
        let nowhere = path.replace(id, "0190a0a0-0000-7000-8000-000000000000").replace("shop", "none");
        let absent = ask(Method::GET, nowhere).send().await.problem(404)["detail"].to_string();
        let same = hidden.replace(id, "").replace("shop", "");
        assert_eq!(same, absent.replace("0190a0a0-0000-7000-8000-000000000000", "").replace("none", ""));
    }
    ask(Method::PATCH, format!("{TASKS}/{id}/state?state=paid")).send().await.problem(404);
    ask(Method::DELETE, "/api/v1/schemas/shop".to_owned()).send().await.problem(404);
    let post = json!({"schema_name": "shop", "task": "note"});
    let problem = ask(Method::POST, TASKS.to_owned()).json(&post).send().await.problem(404);
    assert!(!problem["detail"].to_string().contains("refund"), "{problem}");

    let list = ask(Method::GET, TASKS.to_owned()).send().await.ok(200);
    assert_eq!(column(&list["tasks"], "id"), [shown["id"].as_str().expect("an id")]);
    assert_eq!(list["types"].as_object().expect("types").len(), 1);
    let narrowed = ask(Method::GET, format!("{TASKS}?schema=shop")).send().await.ok(200);
    assert_eq!(narrowed["tasks"], json!([]));
    let events = ask(Method::GET, "/api/v1/events".to_owned()).send().await.ok(200);
    assert!(!events.to_string().contains("shop"), "{events}");
    let schemas = ask(Method::GET, "/api/v1/schemas".to_owned()).send().await.ok(200);
    assert_eq!(column(&schemas["schemas"], "name"), ["ti:sample"]);
    ask(Method::GET, format!("{TASKS}/{}", shown["id"].as_str().expect("an id"))).send().await.ok(200);
    // Nor can it install one that it wouldn't see.
    let install = ask(Method::POST, "/api/v1/schemas".to_owned());
    install
        .text("application/yaml", "name: mine\nsemver: '1'\ntasktypes:\n- {name: a, resolved_states: [b]}\n")
        .send()
        .await
        .problem(403);
}

async fn a_key_has_its_rate(engine: Engine) {
    let server = Server::start(engine).await;
    let rate = Rate::parse("1/m").expect("a rate");
    let slow = server.new_key(NewKey { rate: Some(rate), ..NewKey::default() }).await;
    let ask = || server.bare(Method::GET, TASKS).header("api-key", &slow.key).send();
    ask().await.ok(200);
    let answer = ask().await;
    answer.problem(429);
    let after: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&after), "{after}");
}
