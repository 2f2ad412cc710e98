//! Merge keys: a newer version of a task takes the place of the one that waits.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::{Permission, Principal, schemas};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Answer, Server};

on_both_engines!(
    a_newer_version_takes_the_place_of_the_one_that_waits,
    a_key_that_is_given_counts_before_what_meta_says,
    what_cannot_be_a_key_is_told,
    a_task_keeps_its_key,
    a_repeated_post_is_answered_as_the_first_time,
);

const SCHEMA: &str = "
name: limits
semver: '1'
tasktypes:
- name: raise
  pending_states: [asked]
  resolved_states: [granted, refused]
  merge_key: /customer
- name: block
  resolved_states: [done]
  merge_key: [/customer, /card/number]
";

async fn server(engine: Engine) -> Server {
    let server = Server::start(engine).await;
    schemas::install(&server.app, &Principal::cli(), SCHEMA, false, false).await.expect("installs");
    server
}

async fn post(server: &Server, task: &str, meta: Value) -> Answer {
    server.post(&json!({"schema_name": "limits", "task": task, "meta": meta})).await
}

fn id(task: &Value) -> &str {
    task["id"].as_str().expect("an id")
}

async fn a_newer_version_takes_the_place_of_the_one_that_waits(engine: Engine) {
    let server = server(engine).await;
    let first = post(&server, "raise", json!({"customer": "c1", "to": 100})).await.ok(201)["task"].clone();
    assert_eq!(first["merge_key"], "c1");
    assert!(first.get("supersedes").is_none() && first.get("superseded_by").is_none());
    let second = post(&server, "raise", json!({"customer": "c1", "to": 200})).await.ok(201)["task"].clone();
    assert_eq!(second["supersedes"], first["id"]);
    let over = server.get(&format!("/api/v1/tasks/{}", id(&first))).await.ok(200)["task"].clone();
    assert_eq!(
        (&over["phase"], &over["superseded_by"], &over["allowed_transitions"]),
        (&json!("superseded"), &second["id"], &json!([]))
    );
    // One card, not two.
    let waiting = server.get("/api/v1/tasks?schema=limits&resolved=un").await.ok(200)["tasks"].clone();
    assert_eq!(waiting.as_array().map(Vec::len), Some(1));
    assert_eq!(waiting[0]["id"], second["id"]);
    // Whoever waited for the first one is answered.
    server.get(&format!("/api/v1/tasks/{}/wait?timeout=10s", id(&first))).await.ok(200);
    // Who decides on the old screen is told what has changed, and what took its place.
    let stale = server.decide(&first, "granted").header("if-match", "\"1\"").send().await.problem(412);
    assert_eq!(
        stale["changes"],
        json!([
            {"pointer": "/phase", "from": "open", "to": "superseded"},
            {"pointer": "/superseded_by", "to": second["id"]},
        ])
    );
    server.decide(&first, "granted").send().await.problem(409);
    let events = server.get("/api/v1/events?schema=limits").await.ok(200)["events"].clone();
    let told: Vec<_> = events.as_array().expect("events").iter().map(|e| e["type"].as_str()).collect();
    let expected = ["schema.version_created", "task.created", "task.created", "task.superseded"];
    assert_eq!(told, expected.map(Some));
    assert_eq!(events[2]["data"]["task"]["supersedes"], first["id"]);
    assert_eq!(events[3]["data"]["task"]["superseded_by"], second["id"]);
    // What says the same is the same.
    let again = post(&server, "raise", json!({"to": 200, "customer": "c1"})).await.ok(200)["task"].clone();
    assert_eq!(again["id"], second["id"]);
    // Another customer's, or another type's, is another task.
    let other = post(&server, "raise", json!({"customer": "c2", "to": 200})).await.ok(201)["task"].clone();
    assert!(other.get("supersedes").is_none());
    let card = json!({"customer": "c1", "card": {"number": 7}});
    let block = post(&server, "block", card).await.ok(201)["task"].clone();
    assert_eq!(block["merge_key"], r#"["c1",7]"#);
    let keyless = post(&server, "block", json!({"customer": "c1"})).await.ok(201)["task"].clone();
    assert_eq!(keyless["merge_key"], Value::Null);
}

async fn a_key_that_is_given_counts_before_what_meta_says(engine: Engine) {
    let server = server(engine).await;
    let body = |key: &str, to: i64| json!({"schema_name": "limits", "task": "raise", "merge_key": key, "meta": {"customer": "c1", "to": to}});
    let first = server.post(&body("mine", 1)).await.ok(201)["task"].clone();
    assert_eq!(first["merge_key"], "mine");
    let found = post(&server, "raise", json!({"customer": "c1", "to": 2})).await.ok(201)["task"].clone();
    assert!(found.get("supersedes").is_none());
    assert_eq!(server.post(&body("mine", 3)).await.ok(201)["task"]["supersedes"], first["id"]);
    // Types that declare none take one, too.
    let flag = |n: i64| json!({"schema_name": "ti:sample", "task": "flag-content", "merge_key": "page-1", "meta": {"n": n}});
    let first = server.post(&flag(1)).await.ok(201)["task"].clone();
    assert_eq!(server.post(&flag(2)).await.ok(201)["task"]["supersedes"], first["id"]);
}

async fn what_cannot_be_a_key_is_told(engine: Engine) {
    let server = server(engine).await;
    for meta in [json!({"customer": ["c"]}), json!({"customer": {}}), json!({"customer": "x".repeat(257)})] {
        assert_eq!(post(&server, "raise", meta).await.pointers(), ["/meta/customer"]);
    }
    for key in [json!(""), json!("a\nb"), json!("x".repeat(257)), json!(7)] {
        let body = json!({"schema_name": "limits", "task": "raise", "merge_key": key});
        assert_eq!(server.post(&body).await.pointers(), ["/merge_key"]);
    }
    assert_eq!(server.get("/api/v1/tasks?schema=limits").await.ok(200)["tasks"], json!([]));
}

async fn a_task_keeps_its_key(engine: Engine) {
    let server = server(engine).await;
    let task = post(&server, "raise", json!({"customer": "c1", "to": 1})).await.ok(201)["task"].clone();
    let amend = |meta: Value| {
        server.request(Method::PATCH, &format!("/api/v1/tasks/{}", id(&task))).json(&json!({"meta": meta}))
    };
    assert_eq!(amend(json!({"customer": "c2"})).send().await.pointers(), ["/meta"]);
    let amended = amend(json!({"to": 5})).send().await.ok(200)["task"].clone();
    assert_eq!((&amended["merge_key"], &amended["meta"]["to"]), (&json!("c1"), &json!(5)));
    // What the sender has amended is what a repetition is compared with.
    assert_eq!(
        post(&server, "raise", json!({"customer": "c1", "to": 5})).await.ok(200)["task"]["id"],
        task["id"]
    );
}

async fn a_repeated_post_is_answered_as_the_first_time(engine: Engine) {
    let server = server(engine).await;
    let post = |n: i64, key: &str| {
        let body = json!({"schema_name": "limits", "task": "raise", "meta": {"customer": "c1", "to": n}});
        server.request(Method::POST, "/api/v1/tasks").json(&body).header("idempotency-key", key).send()
    };
    let first = post(1, "one").await.ok(201);
    let second = post(2, "two").await.ok(201);
    assert_eq!(second["task"]["supersedes"], first["task"]["id"]);
    // It replaces nothing a second time, and says what it said.
    assert_eq!(post(2, "two").await.ok(201), second);
    assert_eq!(post(1, "one").await.ok(201), first);
    let key = server.key(None, &[Permission::TasksRead]).await;
    let waiting = server.bare(Method::GET, "/api/v1/tasks?schema=limits&resolved=un").header("api-key", &key);
    assert_eq!(waiting.send().await.ok(200)["tasks"][0]["id"], second["task"]["id"]);
}
