//! Waiting for a decision.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::keys::{self, NewKey};
use task_inbox::app::{Permission, Principal};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Request, Server};

on_both_engines!(
    a_decision_ends_the_wait,
    what_is_decided_already_is_answered_at_once,
    what_stays_open_is_answered_when_the_time_is_over,
    who_posts_may_wait,
    many_wait_at_once,
    who_may_not_read_may_not_wait,
    a_key_that_ends_meanwhile_hears_nothing,
    a_key_that_ends_ends_the_wait,
    a_task_that_goes_with_its_schema_ends_the_wait,
    a_server_that_stops_answers_at_once,
    odd_times_are_refused,
);

/// Longer than any of these tests takes.
const LONG: &str = "50s";

fn wait(server: &Server, task: &Value, timeout: &str) -> Request {
    let id = task["id"].as_str().expect("a task");
    server.request(Method::GET, &format!("/api/v1/tasks/{id}/wait?timeout={timeout}"))
}

/// Until somebody listens to so many things.
async fn listened(server: &Server, count: usize) {
    let begun = Instant::now();
    while server.app.tail.listeners() < count {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody listens");
        tokio::task::yield_now().await;
    }
}

async fn a_decision_ends_the_wait(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let begun = Instant::now();
    let (waited, ()) = tokio::join!(wait(&server, &task, LONG).send(), async {
        listened(&server, 1).await;
        // Another step on the way, and another task, end nothing.
        server.decide(&task, "checked").send().await.ok(200);
        let other = server.flag(json!({})).await;
        server.decide(&other, "block").send().await.ok(200);
        server.decide_with(&task, &json!({"state": "paid", "output": {"amount": 5}})).send().await.ok(200);
    });
    let answer = waited.ok(200);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(answer["task"]["state"], "paid");
    assert_eq!(answer["task"]["phase"], "resolved");
    assert_eq!(answer["task"]["output"], json!({"amount": 5}));
    assert_eq!(answer["ttype"], "refund");
    assert_eq!(waited.header("etag"), "\"3\"");
    assert_eq!(server.app.tail.listeners(), 0, "nothing is kept");
}

async fn what_is_decided_already_is_answered_at_once(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    server.decide(&task, "block").send().await.ok(200);
    let begun = Instant::now();
    wait(&server, &task, LONG).send().await.ok(200);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

async fn what_stays_open_is_answered_when_the_time_is_over(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let begun = Instant::now();
    let answer = wait(&server, &task, "300ms").send().await.ok(202);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(answer["task"]["id"], task["id"]);
    assert_eq!(answer["task"]["phase"], "open");
    wait(&server, &task, "0ms").send().await.ok(202);
}

async fn who_posts_may_wait(engine: Engine) {
    let server = Server::start(engine).await;
    let body = json!({"schema_name": "ti:sample", "task": "flag-content", "external_id": "w"});
    let post = |wait: &str| {
        let request = server.request(Method::POST, &format!("/api/v1/tasks?wait={wait}"));
        request.header("idempotency-key", "k").json(&body).send()
    };
    let open = post("100ms").await.ok(201);
    assert_eq!(open["task"]["phase"], "open");
    let (decided, ()) = tokio::join!(post(LONG), async {
        listened(&server, 1).await;
        server.decide(&open["task"], "block").send().await.ok(200);
    });
    let decided = decided.ok(201);
    assert_eq!(decided["task"]["id"], open["task"]["id"], "the key is the same, whatever is waited for");
    assert_eq!(decided["task"]["state"], "block");
    // Who may not read what is decided can't have it this way.
    let key = server.key(None, &[Permission::TasksWrite]).await;
    let blind = server.bare(Method::POST, "/api/v1/tasks?wait=1s").header("api-key", &key);
    blind.json(&json!({"schema_name": "ti:sample", "task": "flag-content"})).send().await.problem(403);
    assert_eq!(server.get("/api/v1/tasks").await.ok(200)["tasks"].as_array().map(Vec::len), Some(1));
}

async fn many_wait_at_once(engine: Engine) {
    let server = Server::start(engine).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(server.flag(json!({})).await);
    }
    // Several for each.
    let waits = tasks.iter().cycle().take(60).map(|task| wait(&server, task, LONG).send());
    let (waited, ()) = tokio::join!(futures_util::future::join_all(waits), async {
        listened(&server, 60).await;
        for task in &tasks {
            server.decide(task, "block").send().await.ok(200);
        }
    });
    for (answer, task) in waited.iter().zip(tasks.iter().cycle()) {
        assert_eq!(answer.ok(200)["task"]["id"], task["id"]);
    }
    assert_eq!(server.app.tail.listeners(), 0);
}

async fn who_may_not_read_may_not_wait(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let id = task["id"].as_str().expect("an id");
    let path = format!("/api/v1/tasks/{id}/wait");
    server.bare(Method::GET, &path).send().await.problem(401);
    let blind = server.key(None, &[Permission::TasksWrite]).await;
    server.bare(Method::GET, &path).header("api-key", &blind).send().await.problem(403);
    let tenant = server.key(Some(&["ti:sample"]), &[Permission::TasksRead]).await;
    server.bare(Method::GET, &path).header("api-key", &tenant).send().await.problem(404);
    server.get("/api/v1/tasks/0190a0a0-0000-7000-8000-000000000000/wait").await.problem(404);
    server.get("/api/v1/tasks/x/wait").await.problem(404);
}

async fn a_key_that_ends_meanwhile_hears_nothing(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let key =
        server.new_key(NewKey { permissions: Some(vec![Permission::TasksRead]), ..NewKey::default() }).await;
    let id = task["id"].as_str().expect("an id");
    let path = format!("/api/v1/tasks/{id}/wait?timeout={LONG}");
    let (waited, ()) =
        tokio::join!(server.bare(Method::GET, &path).header("api-key", &key.key).send(), async {
            listened(&server, 1).await;
            keys::revoke(&server.app, &Principal::cli(), key.info.id).await.expect("revoked");
            server.app.keys.refresh(&server.app.db).await.expect("read");
            server.decide(&task, "checked").send().await.ok(200);
        });
    waited.problem(403);
}

async fn a_key_that_ends_ends_the_wait(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let id = task["id"].as_str().expect("an id");
    let path = format!("/api/v1/tasks/{id}/wait?timeout={LONG}");
    let soon = Duration::from_secs(2);
    for expires in [None, Some(soon)] {
        let permissions = Some(vec![Permission::TasksRead]);
        let key = server.new_key(NewKey { permissions, expires, ..NewKey::default() }).await;
        let begun = Instant::now();
        let waited =
            tokio::join!(server.bare(Method::GET, &path).header("api-key", &key.key).send(), async {
                listened(&server, 1).await;
                if expires.is_none() {
                    keys::revoke(&server.app, &Principal::cli(), key.info.id).await.expect("revoked");
                    server.app.keys.refresh(&server.app.db).await.expect("read");
                }
            });
        waited.0.problem(403);
        assert!(begun.elapsed() < Duration::from_secs(10), "though nothing happens to the task");
    }
}

async fn a_task_that_goes_with_its_schema_ends_the_wait(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let (waited, ()) = tokio::join!(wait(&server, &task, LONG).send(), async {
        listened(&server, 1).await;
        server.request(Method::DELETE, "/api/v1/schemas/shop").send().await.ok(200);
    });
    waited.problem(404);
}

async fn a_server_that_stops_answers_at_once(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    let begun = Instant::now();
    let (waited, ()) = tokio::join!(wait(&server, &task, LONG).send(), async {
        listened(&server, 1).await;
        server.begin_to_stop();
    });
    waited.ok(202);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

async fn odd_times_are_refused(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    for odd in ["", "x", "56s", "-1s", "1", "99999999999999999999s"] {
        let said = wait(&server, &task, odd).send().await.problem(400);
        assert!(said["detail"].as_str().is_some_and(|detail| detail.contains("timeout")), "{said}");
        let post = server.request(Method::POST, &format!("/api/v1/tasks?wait={odd}"));
        post.json(&json!({"schema_name": "ti:sample", "task": "flag-content"})).send().await.problem(400);
    }
    assert_eq!(
        server.get("/api/v1/tasks").await.ok(200)["tasks"].as_array().map(Vec::len),
        Some(1),
        "none was posted"
    );
}
