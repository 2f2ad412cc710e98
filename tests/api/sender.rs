//! What a task's sender does about it after posting it: changes what it says, withdraws it.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Request, Server, column};

on_both_engines!(
    a_sender_withdraws_its_task,
    what_is_over_is_not_withdrawn,
    a_withdrawal_ends_the_wait,
    a_sender_changes_what_its_task_says,
    a_decision_about_what_was_changed_is_refused,
    a_change_that_does_not_fit_is_told,
    senders_alone_may,
    a_repeated_move_is_made_once,
    many_changes_at_once_are_all_made,
    what_stands_for_an_external_id_is_what_was_posted,
);

fn cancel(server: &Server, task: &Value) -> Request {
    let id = task["id"].as_str().expect("an id");
    server.request(Method::POST, &format!("/api/v1/tasks/{id}/cancel"))
}

fn amend(server: &Server, task: &Value, meta: &Value) -> Request {
    let id = task["id"].as_str().expect("an id");
    server.request(Method::PATCH, &format!("/api/v1/tasks/{id}")).json(&json!({"meta": meta}))
}

async fn history(server: &Server, task: &Value) -> Value {
    let id = task["id"].as_str().expect("an id");
    server.get(&format!("/api/v1/tasks/{id}/history")).await.ok(200)["history"].clone()
}

async fn a_sender_withdraws_its_task(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let said = json!({"reason": "the order came back", "on_behalf_of": "shop"});
    let answer = cancel(&server, &task).header("if-match", "\"1\"").json(&said).send().await;
    let cancelled = answer.ok(200)["task"].clone();
    assert_eq!(answer.header("etag"), "\"2\"");
    assert_eq!(
        (&cancelled["phase"], &cancelled["state"], &cancelled["resolved"]),
        (&json!("cancelled"), &json!("asked"), &json!(false))
    );
    assert_eq!(cancelled["allowed_transitions"], json!([]));
    // It says so everywhere.
    assert_eq!(
        server.get(&format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id"))).await.ok(200)["task"],
        cancelled
    );
    assert_eq!(server.get("/api/v1/tasks?resolved=un").await.ok(200)["tasks"], json!([]));
    assert_eq!(server.get("/api/v1/tasks?phase=cancelled").await.ok(200)["tasks"][0]["id"], task["id"]);
    let line = history(&server, &task).await[1].clone();
    assert_eq!(
        (&line["reason"], &line["actor"]["on_behalf_of"]),
        (&json!("the order came back"), &json!("shop"))
    );
    let events = server.get("/api/v1/events?type=task.cancelled").await.ok(200)["events"].clone();
    assert_eq!(events[0]["data"]["task"]["phase"], "cancelled");
    // It takes no decision and no change any more; to withdraw it again changes nothing.
    let refused = server.decide(&task, "checked").send().await.problem(409);
    assert_eq!(
        (&refused["current"]["phase"], &refused["allowed_transitions"]),
        (&json!("cancelled"), &json!([]))
    );
    amend(&server, &task, &json!({"order": "18"})).send().await.problem(409);
    assert_eq!(cancel(&server, &task).send().await.ok(200)["task"], cancelled);
    assert_eq!(history(&server, &task).await.as_array().map(Vec::len), Some(2));
}

async fn what_is_over_is_not_withdrawn(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let stale = cancel(&server, &task).header("if-match", "\"7\"").send().await.problem(412);
    assert_eq!(stale["current"]["version"], 1);
    server.decide(&task, "block").send().await.ok(200);
    let refused = cancel(&server, &task).send().await.problem(409);
    assert_eq!(refused["current"]["state"], "block");
    for nonsense in [json!({"reason": 1}), json!({"state": "block"}), json!([])] {
        let status = cancel(&server, &task).json(&nonsense).send().await.status;
        assert!(status == 422 || status == 400, "{nonsense}: {status}");
    }
    let nobody = json!({"id": uuid::Uuid::now_v7()});
    cancel(&server, &nobody).send().await.problem(404);
    amend(&server, &nobody, &json!({})).send().await.problem(404);
}

async fn a_withdrawal_ends_the_wait(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let path = format!("/api/v1/tasks/{}/wait?timeout=50s", task["id"].as_str().expect("an id"));
    let (waited, ()) = tokio::join!(server.get(&path), async {
        while server.app.tail.listeners() == 0 {
            tokio::task::yield_now().await;
        }
        amend(&server, &task, &json!({"note": "not this"})).send().await.ok(200);
        cancel(&server, &task).send().await.ok(200);
    });
    assert_eq!(waited.ok(200)["task"]["phase"], "cancelled");
}

async fn a_sender_changes_what_its_task_says(engine: Engine) {
    let server = Server::start(engine).await;
    let task =
        server.flag(json!({"url": "http://a", "score": 1, "labels": {"spam": 0.5, "rude": 0.1}})).await;
    let patch = json!({"score": 2, "labels": {"rude": null}, "seen": [1]});
    let answer = amend(&server, &task, &patch).send().await;
    let amended = answer.ok(200)["task"].clone();
    assert_eq!(answer.header("etag"), "\"2\"");
    let meta = json!({"url": "http://a", "score": 2, "labels": {"spam": 0.5}, "seen": [1]});
    assert_eq!((&amended["meta"], &amended["phase"]), (&meta, &json!("open")));
    let line = history(&server, &task).await[1].clone();
    assert_eq!((&line["update_meta"], &line["state"]), (&patch, &Value::Null));
    let events = server.get("/api/v1/events?type=task.amended").await.ok(200)["events"].clone();
    assert_eq!((&events[0]["data"]["update_meta"], &events[0]["data"]["task"]["meta"]), (&patch, &meta));
    // What it says already changes nothing.
    assert_eq!(amend(&server, &task, &json!({"score": 2})).send().await.ok(200)["task"]["version"], 2);
    // A decision keeps it.
    server.decide(&task, "level1").send().await.ok(200);
    let again = amend(&server, &task, &json!({"score": 3})).send().await.ok(200);
    assert_eq!((&again["task"]["state"], &again["task"]["version"]), (&json!("level1"), &json!(4)));
    assert_eq!(server.decide(&task, "allow").send().await.ok(200)["task"]["meta"]["score"], 3);
    amend(&server, &task, &json!({"score": 4})).send().await.problem(409);
}

async fn a_decision_about_what_was_changed_is_refused(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({"amount": 5})).await;
    amend(&server, &task, &json!({"amount": 5000})).send().await.ok(200);
    let refused = server.decide(&task, "allow").header("if-match", "\"1\"").send().await.problem(412);
    assert_eq!(refused["current"]["meta"], json!({"amount": 5000}));
    let stale =
        amend(&server, &task, &json!({"amount": 6})).header("if-match", "\"1\"").send().await.problem(412);
    assert_eq!(stale["current"]["version"], 2);
    amend(&server, &task, &json!({"amount": 6})).header("if-match", "\"2\"").send().await.ok(200);
}

async fn a_change_that_does_not_fit_is_told(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    assert_eq!(amend(&server, &task, &json!({"order": "x"})).send().await.pointers(), ["/meta/order"]);
    assert_eq!(amend(&server, &task, &json!({"order": null})).send().await.pointers(), ["/meta"]);
    let large = json!({"more": "x".repeat(262_130)});
    assert_eq!(amend(&server, &task, &large).send().await.pointers(), ["/meta"]);
    let patch = |body: Value| {
        let id = task["id"].as_str().expect("an id");
        server.request(Method::PATCH, &format!("/api/v1/tasks/{id}")).json(&body)
    };
    assert_eq!(patch(json!({})).send().await.pointers(), ["/meta"]);
    assert_eq!(patch(json!({"meta": null})).send().await.pointers(), ["/meta"]);
    assert_eq!(patch(json!({"meta": [1]})).send().await.pointers(), ["/meta"]);
    assert_eq!(patch(json!({"meta": {}, "state": "paid"})).send().await.pointers(), ["/state"]);
    assert_eq!(patch(json!({"meta": {}, "priority": 3})).send().await.pointers(), ["/priority"]);
    assert_eq!(
        server.get(&format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id"))).await.ok(200)["task"]["version"],
        1
    );
}

async fn senders_alone_may(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let id = task["id"].as_str().expect("an id");
    let readers = server.key(None, &[Permission::TasksRead, Permission::TasksResolve]).await;
    let others = server.key(Some(&["shop"]), &Permission::ALL).await;
    for (key, status) in [(&readers, 403), (&others, 404)] {
        let of = |method, path: &str| {
            server.bare(method, &format!("/api/v1/tasks/{id}{path}")).header("api-key", key)
        };
        of(Method::POST, "/cancel").send().await.problem(status);
        of(Method::PATCH, "").json(&json!({"meta": {"a": 1}})).send().await.problem(status);
    }
    let own = server.key(Some(&["ti:sample"]), &[Permission::TasksWrite]).await;
    let of = |method, path: &str| {
        server.bare(method, &format!("/api/v1/tasks/{id}{path}")).header("api-key", &own)
    };
    of(Method::PATCH, "").json(&json!({"meta": {"a": 1}})).send().await.ok(200);
    of(Method::POST, "/cancel").send().await.ok(200);
}

async fn a_repeated_move_is_made_once(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({"n": 1})).await;
    let keyed = |meta: Value| amend(&server, &task, &meta).header("idempotency-key", "k");
    let first = keyed(json!({"n": 2})).send().await.ok(200);
    amend(&server, &task, &json!({"n": 3})).send().await.ok(200);
    assert_eq!(keyed(json!({"n": 2})).send().await.ok(200), first, "what it was answered then");
    keyed(json!({"n": 4})).send().await.problem(409);
    let withdrawn = cancel(&server, &task).header("idempotency-key", "k").send().await.ok(200);
    assert_eq!(cancel(&server, &task).header("idempotency-key", "k").send().await.ok(200), withdrawn);
    assert_eq!(keyed(json!({"n": 2})).send().await.ok(200), first);
    assert_eq!(history(&server, &task).await.as_array().map(Vec::len), Some(4));
}

async fn many_changes_at_once_are_all_made(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let changes = (0..10).map(|n| {
        let meta = json!({ format!("k{n}"): n });
        let request = amend(&server, &task, &meta);
        async move { request.send().await.ok(200) }
    });
    futures_util::future::join_all(changes).await;
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id"));
    let now = server.get(&path).await.ok(200)["task"].clone();
    assert_eq!(now["version"], 11);
    assert_eq!(now["meta"].as_object().map(serde_json::Map::len), Some(10));
    let events = server.get("/api/v1/events?type=task.amended").await.ok(200)["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(10));
}

/// Posting the same again finds the task, however it was changed since.
async fn what_stands_for_an_external_id_is_what_was_posted(engine: Engine) {
    let server = Server::start(engine).await;
    let post =
        json!({"schema_name": "ti:sample", "task": "flag-content", "external_id": "e", "meta": {"n": 1}});
    let task = server.post(&post).await.ok(201)["task"].clone();
    amend(&server, &task, &json!({"n": 2})).send().await.ok(200);
    let again = server.post(&post).await.ok(200)["task"].clone();
    assert_eq!((&again["id"], &again["meta"]["n"]), (&task["id"], &json!(2)));
    let listed = server.get("/api/v1/tasks?external_id=e").await.ok(200)["tasks"].clone();
    assert_eq!(column(&listed, "id"), [task["id"].as_str().expect("an id")]);
}
