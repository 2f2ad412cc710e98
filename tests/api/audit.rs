//! The log as a whole: its head, its verification in steps, its checkpoints.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, time};

on_both_engines!(
    the_head_moves_and_checkpoints_count,
    a_log_is_verified_in_steps,
    tampering_shows_in_its_step,
    a_checkpoint_counts_in_the_step_that_reaches_it,
    a_forged_position_proves_nothing,
    what_is_odd_is_refused,
    a_key_for_some_schemas_audits_nothing,
);

async fn start(engine: Engine) -> Server {
    let server = Server::start(engine).await;
    for _ in 0..10 {
        server.flag(json!({})).await;
    }
    server
}

async fn step(server: &Server, body: &Value) -> Value {
    server.request(Method::POST, "/api/v1/log/verify").json(body).send().await.ok(200)
}

/// All steps, each begun where the one before ended.
async fn run(server: &Server, from: &Value, limit: i64) -> Vec<Value> {
    let mut steps = vec![step(server, &json!({"from": from, "limit": limit})).await];
    loop {
        let next = steps.last().expect("a step")["next"].clone();
        if next.is_null() {
            return steps;
        }
        steps.push(step(server, &json!({"from": from, "after": next, "limit": limit})).await);
    }
}

async fn checkpoint(server: &Server) -> Value {
    server.request(Method::POST, "/api/v1/checkpoints").send().await.ok(201)
}

async fn the_head_moves_and_checkpoints_count(engine: Engine) {
    let server = start(engine).await;
    let head = server.get("/api/v1/log").await.ok(200);
    assert_eq!((&head["seq"], &head["floor"], &head["checkpoints"]), (&json!(12), &json!(0), &json!(0)));
    let made = checkpoint(&server).await;
    assert_eq!((&made["seq"], &made["hash"]), (&head["seq"], &head["hash"]));
    server.flag(json!({})).await;
    let body = server.request(Method::POST, "/api/v1/checkpoints/").json(&json!({})).send().await.ok(201);
    assert!(time(&body["created"]) >= time(&made["created"]));
    let list = server.get("/api/v1/checkpoints").await.ok(200);
    assert_eq!(list, json!({ "checkpoints": [made, body] }));
    let head = server.get("/api/v1/log").await.ok(200);
    assert_eq!((&head["seq"], &head["checkpoints"]), (&json!(13), &json!(2)));
}

async fn a_log_is_verified_in_steps(engine: Engine) {
    let server = start(engine).await;
    let whole = server.request(Method::POST, "/api/v1/log/verify").send().await.ok(200);
    let expected = json!({
        "ok": true, "events": 12, "first_bad": null, "proved_from": null, "erased": 0, "detail": null, "next": null,
        "head": 12,
    });
    assert_eq!(whole, expected);
    let steps = run(&server, &Value::Null, 5).await;
    assert_eq!(steps.iter().map(|s| s["events"].as_i64().expect("a number")).collect::<Vec<_>>(), [5, 5, 2]);
    assert!(steps.iter().all(|s| s["ok"] == true));
    // A log that grows meanwhile is followed to its end.
    let first = step(&server, &json!({"limit": 12})).await;
    assert_eq!(first["next"], Value::Null);
    let first = step(&server, &json!({"limit": 11})).await;
    server.flag(json!({})).await;
    let second = step(&server, &json!({"after": first["next"]})).await;
    assert_eq!((&second["ok"], &second["events"], &second["head"]), (&json!(true), &json!(2), &json!(13)));
}

async fn tampering_shows_in_its_step(engine: Engine) {
    let server = start(engine).await;
    server.sql("UPDATE events SET body = replace(body, 'flag', 'flat') WHERE seq = 7").await;
    let steps = run(&server, &Value::Null, 5).await;
    assert_eq!((steps.len(), &steps[0]["ok"], &steps[1]["ok"]), (2, &json!(true), &json!(false)));
    assert_eq!((&steps[1]["first_bad"], &steps[1]["next"]), (&json!(7), &Value::Null));
    // What was verified already and is changed before the next step shows where that one begins.
    let first = step(&server, &json!({"limit": 5})).await;
    server.sql("UPDATE events SET head_hash = digest WHERE seq = 5").await;
    let second = step(&server, &json!({"after": first["next"], "limit": 1})).await;
    assert_eq!((&second["ok"], &second["first_bad"]), (&json!(false), &json!(5)));
}

async fn a_checkpoint_counts_in_the_step_that_reaches_it(engine: Engine) {
    let server = start(engine).await;
    let kept = checkpoint(&server).await;
    for _ in 0..5 {
        server.flag(json!({})).await;
    }
    let proved = |steps: &[Value]| steps.iter().map(|s| s["proved_from"].clone()).collect::<Vec<_>>();
    assert_eq!(proved(&run(&server, &kept, 5).await), [json!(null), json!(null), json!(12), json!(null)]);
    assert_eq!(proved(&run(&server, &kept, 6).await), [json!(null), json!(12), json!(null)]);
    assert_eq!(proved(&run(&server, &kept, 100).await), [json!(12)]);
    let mut forged = kept.clone();
    forged["seq"] = json!(11);
    let answer =
        server.request(Method::POST, "/api/v1/log/verify").json(&json!({ "from": forged })).send().await;
    assert_eq!(answer.pointers(), ["/from"]);
    // The tail is cut, and the head put back: whole in itself, but for the checkpoint.
    server.sql("UPDATE log_head SET seq = 8, hash = (SELECT head_hash FROM events WHERE seq = 8)").await;
    server.sql("DELETE FROM events WHERE seq > 8").await;
    assert_eq!(step(&server, &json!({})).await["ok"], json!(true));
    let cut = run(&server, &kept, 5).await;
    assert_eq!((&cut[1]["ok"], &cut[1]["first_bad"]), (&json!(false), &json!(9)));
}

async fn a_forged_position_proves_nothing(engine: Engine) {
    let server = start(engine).await;
    // Where the log never stood.
    let after = json!({"seq": 5, "hash": "00".repeat(32)});
    let found = step(&server, &json!({ "after": after })).await;
    assert_eq!((&found["ok"], &found["first_bad"]), (&json!(false), &json!(5)));
    // What is altered before a position that is believed stays unseen: only the whole run proves.
    let first = step(&server, &json!({"limit": 5})).await;
    server.sql("UPDATE events SET body = replace(body, 'flag', 'flat') WHERE seq = 3").await;
    assert_eq!(step(&server, &json!({"after": first["next"]})).await["ok"], json!(true));
    assert_eq!(step(&server, &json!({})).await["first_bad"], json!(3));
}

async fn what_is_odd_is_refused(engine: Engine) {
    let server = start(engine).await;
    let send = |body: Value| server.request(Method::POST, "/api/v1/log/verify").json(&body).send();
    let hash = "00".repeat(32);
    for (body, pointer) in [
        (json!({"limit": 0}), "/limit"),
        (json!({"limit": 100_001}), "/limit"),
        (json!({"from": "x"}), "/from"),
        (json!({"from": {"seq": 1}}), "/from"),
        (json!({"after": {"seq": 1}}), "/after"),
        (json!({"after": {"seq": 1, "hash": hash, "x": 1}}), "/after"),
        (json!({"after": {"seq": -1, "hash": hash}}), "/after/seq"),
        (json!({"after": {"seq": 1, "hash": "00"}}), "/after/hash"),
        (json!({"after": {"seq": 13, "hash": hash}}), "/after/seq"),
        (json!({"to": 3}), "/to"),
    ] {
        assert_eq!(send(body.clone()).await.pointers(), [pointer], "{body}");
    }
    // Below what was trimmed there is nothing to go on from.
    checkpoint(&server).await;
    server.sql("UPDATE log_head SET floor_seq = 12, floor_hash = hash").await;
    server.sql("DELETE FROM events WHERE seq <= 12").await;
    assert_eq!(step(&server, &json!({})).await["ok"], json!(true));
    let gone = send(json!({"after": {"seq": 5, "hash": hash}})).await.problem(410);
    assert_eq!(gone["floor"], json!(12));
    let answer = server.request(Method::POST, "/api/v1/checkpoints").json(&json!({"seq": 3})).send().await;
    assert_eq!(answer.pointers(), ["/seq"]);
}

async fn a_key_for_some_schemas_audits_nothing(engine: Engine) {
    let server = start(engine).await;
    let key = server.key(Some(&["ti:sample"]), &Permission::ALL).await;
    for (method, path) in [
        (Method::GET, "/api/v1/log"),
        (Method::POST, "/api/v1/log/verify"),
        (Method::GET, "/api/v1/checkpoints"),
        (Method::POST, "/api/v1/checkpoints"),
    ] {
        let problem = server.bare(method, path).header("api-key", &key).send().await.problem(403);
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("every schema")), "{problem}");
    }
}
