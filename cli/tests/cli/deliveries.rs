//! `endpoints`, `deliveries`, with something to see.

use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::Receiver;

use crate::inbox::{Inbox, Place, schema_to};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_where_a_webhook_went_and_what_was_answered() {
    let inbox = Inbox::at(Place::Remote).await;
    let receiver = Receiver::start().await.expect("a receiver");
    inbox.install(&schema_to(&receiver.url("/hook"))).ok();
    let posted = inbox.json(&["mktask", "s", "t"]);
    let task = posted["task"]["id"].as_str().expect("an id");
    inbox.json(&["decide", task, "done"]);
    let endpoint = inbox.json(&["endpoints", "--schema", "s"])["endpoints"][0].clone();
    assert_eq!((&endpoint["held"], &endpoint["waiting"]), (&json!("no_key"), &json!(1)));
    let id = endpoint["id"].as_str().expect("an id");
    assert_eq!(inbox.json(&["endpoints", id])["endpoints"][0]["url"], endpoint["url"]);
    assert!(inbox.run(&["endpoints", "--status", "active"]).ok().contains("no_key"));

    inbox.json(&["webhook_key", "s"]);
    assert!(receiver.wait_for_count(1, Duration::from_secs(20)).await);
    // It was received; that it was settled shows a moment later.
    let delivered = || {
        let found = inbox.json(&["deliveries", "--task", task, "--status", "delivered", "--endpoint", id]);
        found["deliveries"].as_array().expect("a list").first().cloned()
    };
    let delivery: Value = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(delivery) = delivered() {
                return delivery;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("settled");
    let id = delivery["id"].as_str().expect("an id");
    let one = inbox.json(&["deliveries", id]);
    assert_eq!((&one["attempts"][0]["number"], &one["attempts"][0]["status"]), (&json!(1), &json!(200)));
    let shown = inbox.run(&["deliveries", id]).ok();
    assert!(shown.contains("event id") && shown.contains("OUTCOME") && shown.contains(" ms"), "{shown}");
    let event = delivery["event_id"].as_str().expect("an id");
    assert!(inbox.run(&["deliveries", "--event", event, "--limit", "1"]).ok().contains(id));
    assert!(inbox.run(&["deliveries", "--schema", "s", "--status", "dead"]).ok().contains("no deliveries"));

    inbox.json(&["mktask", "s", "t"]);
    let second = inbox.json(&["mktask", "s", "t"])["task"]["id"].as_str().expect("an id").to_owned();
    inbox.json(&["decide", &second, "done"]);
    let page = inbox.json(&["deliveries", "--limit", "1"]);
    let cursor = page["next_cursor"].as_str().expect("there are more");
    assert!(inbox.run(&["deliveries", "--limit", "1"]).ok().contains(&format!("--cursor {cursor}")));
    assert_eq!(inbox.json(&["deliveries", "--limit", "1", "--cursor", cursor])["deliveries"][0]["id"], *id);
    inbox.run(&["deliveries", id, "--status", "dead"]).refused(2);
    inbox.run(&["deliveries", "--status", "lost"]).refused(2);
}
