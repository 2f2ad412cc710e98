//! Decisions: allowed, repeated, stale, refused.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, time};

on_both_engines!(
    the_same_again_changes_nothing,
    a_stale_version_is_refused_with_what_changed,
    a_transition_that_is_not_allowed_is_refused,
    one_of_many_decisions_at_once_wins,
    checks_state_reason_and_output,
    takes_the_state_from_query_or_body,
    names_no_task,
);

async fn the_same_again_changes_nothing(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let first = server.decide(&task, "block").header("if-match", "\"1\"").send().await.ok(200);
    // The answer was lost: the same request again, stale If-Match and all.
    let again = server.decide(&task, "block").header("if-match", "\"1\"").send().await;
    assert_eq!(again.ok(200), first);
    assert_eq!(again.header("etag"), "\"2\"");
    let history =
        server.get(&format!("/api/v1/tasks/{}/history", task["id"].as_str().expect("an id"))).await.ok(200);
    assert_eq!(history["history"].as_array().map(Vec::len), Some(2));
    // Another caller deciding the same is another decision.
    let other = server.key(None, &Permission::ALL).await;
    let path = format!("/api/v1/tasks/{}/state?state=block", task["id"].as_str().expect("an id"));
    server.bare(Method::PATCH, &path).header("api-key", &other).send().await.problem(409);
}

async fn a_stale_version_is_refused_with_what_changed(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({"a": 1})).await;
    server.decide(&task, "level1").send().await.ok(200);
    let answer = server.decide(&task, "allow").header("if-match", "\"1\"").send().await;
    let problem = answer.problem(412);
    assert_eq!(problem["type"], "/problems/stale");
    assert_eq!(problem["current"]["state"], "level1");
    assert_eq!(problem["current"]["version"], 2);
    assert_eq!(problem["current"]["meta"], json!({"a": 1}));
    assert_eq!(problem["decided_by"]["kind"], "key");
    assert_eq!(time(&problem["decided_at"]), time(&problem["current"]["updated"]));
    assert_eq!(problem["allowed_transitions"], json!([null, "level2", "block", "allow"]));
    for fresh in ["W/\"2\"", "*"] {
        let state = if fresh == "*" { "allow" } else { "level2" };
        server.decide(&task, state).header("if-match", fresh).send().await.ok(200);
    }
    for bad in ["2", "\"x\"", "\"1\", \"2\""] {
        server.decide(&task, "").header("if-match", bad).send().await.problem(400);
    }
}

async fn a_transition_that_is_not_allowed_is_refused(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    server.decide(&task, "allow").send().await.ok(200);
    let problem = server.decide(&task, "block").send().await.problem(409);
    assert_eq!(problem["type"], "/problems/conflict");
    assert_eq!(problem["current"]["state"], "allow");
    assert_eq!(problem["allowed_transitions"], json!([null]));
    server.decide(&task, "").send().await.ok(200);
    server.decide(&task, "block").send().await.ok(200);
    // Where transitions are declared, they alone count.
    let refund = server.refund().await;
    let problem = server.decide(&refund, "").send().await.problem(409);
    assert_eq!(problem["allowed_transitions"], json!(["checked", "paid", "refused"]));
    assert_eq!(problem["decided_by"], Value::Null);
    assert_eq!(problem["decided_at"], Value::Null);
}

async fn one_of_many_decisions_at_once_wins(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let mut keys = Vec::new();
    for _ in 0..8 {
        keys.push(server.key(None, &Permission::ALL).await);
    }
    let id = task["id"].as_str().expect("an id");
    let decisions = keys.iter().enumerate().map(|(i, key)| {
        let state = if i % 2 == 0 { "block" } else { "allow" };
        let request = server.bare(Method::PATCH, &format!("/api/v1/tasks/{id}/state?state={state}"));
        request.header("api-key", key).header("if-match", "\"1\"").send()
    });
    let answers = futures_util::future::join_all(decisions).await;
    let won: Vec<_> = answers.iter().filter(|a| a.status == 200).collect();
    assert_eq!(won.len(), 1);
    for lost in answers.iter().filter(|a| a.status != 200) {
        assert_eq!(lost.problem(412)["current"], won[0].body()["task"]);
    }
}

async fn checks_state_reason_and_output(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.refund().await;
    assert_eq!(server.decide(&task, "gone").send().await.pointers(), ["/state"]);
    assert_eq!(server.decide(&task, "refused").send().await.pointers(), ["/reason"]);
    assert_eq!(server.decide(&task, "paid").send().await.pointers(), ["/output"]);
    let wrong = json!({"state": "paid", "output": {"amount": "much"}});
    assert_eq!(server.decide_with(&task, &wrong).send().await.pointers(), ["/output/amount"]);
    let early = json!({"state": "checked", "output": 1});
    assert_eq!(server.decide_with(&task, &early).send().await.pointers(), ["/output"]);
    let odd = json!({"state": 1, "reason": [], "on_behalf_of": "", "version": 1});
    let mut pointers = server.decide_with(&task, &odd).send().await.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/on_behalf_of", "/reason", "/state", "/version"]);
    let long = json!({"state": "refused", "reason": "é".repeat(4097)});
    assert_eq!(server.decide_with(&task, &long).send().await.pointers(), ["/reason"]);
    let body =
        json!({"state": "paid", "output": {"amount": 12.5}, "reason": "kaputt", "on_behalf_of": "mia"});
    let decided = server.decide_with(&task, &body).send().await.ok(200);
    assert_eq!(decided["task"]["output"], json!({"amount": 12.5}));
    let history =
        server.get(&format!("/api/v1/tasks/{}/history", task["id"].as_str().expect("an id"))).await.ok(200);
    let last = &history["history"][1];
    assert_eq!(last["reason"], "kaputt");
    assert_eq!(last["output"], json!({"amount": 12.5}));
    assert_eq!(last["actor"]["on_behalf_of"], "mia");
}

async fn takes_the_state_from_query_or_body(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let path = format!("/api/v1/tasks/{}/state", task["id"].as_str().expect("an id"));
    server.request(Method::PATCH, &path).send().await.problem(400);
    assert_eq!(server.decide_with(&task, &json!({})).send().await.pointers(), ["/state"]);
    assert_eq!(server.decide_with(&task, &json!({"reason": "x"})).send().await.pointers(), ["/state"]);
    assert_eq!(
        server.decide_with(&task, &json!({"state": "level1"})).send().await.ok(200)["task"]["state"],
        "level1"
    );
    let unset = server.decide_with(&task, &json!({"state": null})).send().await.ok(200);
    assert_eq!(unset["task"]["state"], Value::Null);
    let differ = server.decide(&task, "level1").json(&json!({"state": "level2"})).send().await;
    assert_eq!(differ.pointers(), ["/state"]);
    server.decide(&task, "level1").json(&json!({"state": "level1"})).send().await.ok(200);
    let reasoned = server.decide(&task, "level2").json(&json!({"reason": "hm"})).send().await.ok(200);
    assert_eq!(reasoned["task"]["state"], "level2");
    server.request(Method::PATCH, &format!("{path}?state=level1&state=level2")).send().await.problem(400);
    server.request(Method::PATCH, &format!("{path}?status=level1")).send().await.problem(400);
    server.request(Method::PATCH, &format!("{path}?state=%00")).send().await.problem(400);
    assert_eq!(server.decide(&task, &"x".repeat(200)).send().await.pointers(), ["/state"]);
}

async fn names_no_task(engine: Engine) {
    let server = Server::start(engine).await;
    for id in ["0190a0a0-0000-7000-8000-000000000000", "17", "%00", "%C3%A9"] {
        server.get(&format!("/api/v1/tasks/{id}")).await.problem(404);
        server.get(&format!("/api/v1/tasks/{id}/history")).await.problem(404);
        server
            .request(Method::PATCH, &format!("/api/v1/tasks/{id}/state?state=allow"))
            .send()
            .await
            .problem(404);
    }
    server.get("/api/v1/tasks/%ff").await.problem(400);
}
