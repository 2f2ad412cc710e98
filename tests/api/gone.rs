//! What is gone is not sent again: tasks with their schema, events that the log holds no more.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::{Principal, schemas};
use task_inbox::store::Engine;
use task_inbox::store::deliveries::Fate;

use crate::deliveries::{claim, settle};
use crate::on_both_engines;
use crate::replays::{endpoint, give_up, read, replay, statuses, work};
use crate::server::{SHOP, Server, column};

on_both_engines!(
    what_tells_of_a_removed_schema_is_not_sent_again,
    what_the_log_holds_no_more_is_not_sent_again,
);

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

async fn what_tells_of_a_removed_schema_is_not_sent_again(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, Value::Null).await;
    server.refund().await;
    server.refund().await;
    let leased = claim(&server, &endpoint).await;
    settle(&server, &leased[0], 500, Fate::Dead("exhausted"), false).await;
    settle(&server, &leased[1], 503, Fate::Retry(Duration::ZERO), false).await;
    server.flag(json!({})).await;
    server.request(Method::DELETE, "/api/v1/schemas/shop").send().await.ok(200);
    let of_endpoint = format!("/api/v1/deliveries?status=dead&endpoint={}", text(&endpoint["id"]));
    let dead = server.get(&of_endpoint).await.ok(200)["deliveries"].clone();
    let mut reasons = column(&dead, "reason");
    reasons.sort_unstable();
    assert_eq!(reasons, ["exhausted", "schema_removed"]);
    for again in [false, true] {
        if again {
            // The next schema of its name makes no difference.
            let who = Principal::cli();
            schemas::install(&server.app, &who, SHOP, false, false).await.expect("installs");
        }
        let body = |what: Value| {
            let mut body = json!({"endpoint": endpoint["id"], "dry_run": true});
            body.as_object_mut().expect("an object").extend(what.as_object().expect("an object").clone());
            body
        };
        let count = async |what: Value| replay(&server, body(what)).await.ok(200)["count"].clone();
        assert_eq!(count(json!({"what": "dead"})).await, 0);
        assert_eq!(count(json!({"what": "since", "since": "2020-01-01T00:00:00Z"})).await, 1, "of ti:sample");
        for id in column(&dead, "id") {
            let path = format!("/api/v1/deliveries/{id}/resend");
            let said = server.request(Method::POST, &path).send().await.problem(409);
            assert!(text(&said["detail"]).contains("the schema shop was removed"), "{said}");
        }
        let job = replay(&server, json!({"endpoint": endpoint["id"], "what": "dead"})).await.ok(201);
        work(&server, &job).await;
        let done = read(&server, &job).await;
        assert_eq!((&done["status"], &done["resent"]), (&json!("done"), &json!(0)));
    }
}

async fn what_the_log_holds_no_more_is_not_sent_again(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, json!(["shop"])).await;
    server.refund().await;
    server.refund().await;
    assert_eq!(give_up(&server, &endpoint).await, 2);
    server
        .sql("DELETE FROM events WHERE seq = (SELECT min(seq) FROM events WHERE kind = 'task.created')")
        .await;
    let dry = json!({"endpoint": endpoint["id"], "what": "dead", "dry_run": true});
    assert_eq!(replay(&server, dry).await.ok(200)["count"], 1);
    let job = replay(&server, json!({"endpoint": endpoint["id"], "what": "dead"})).await.ok(201);
    work(&server, &job).await;
    assert_eq!(read(&server, &job).await["resent"], 1);
    let expected = [("dead", false), ("pending", true), ("resent", false)];
    assert_eq!(statuses(&server, &endpoint).await, expected.map(|(s, r)| (s.to_owned(), r)));
}
