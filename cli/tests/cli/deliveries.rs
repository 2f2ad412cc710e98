//! `endpoints`, `deliveries`, with something to see.

use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::Receiver;

use crate::at_every_place;
use crate::inbox::{Inbox, Place, schema_to};

at_every_place!(sends_one_again, counts_what_a_replay_would_send);

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

/// The delivery of a decision, which waits: there is no key.
fn waiting(inbox: &Inbox) -> Value {
    inbox.install(&schema_to("https://8.8.8.8/hook")).ok();
    let posted = inbox.json(&["mktask", "s", "t"]);
    inbox.json(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]);
    inbox.json(&["deliveries"])["deliveries"][0].clone()
}

async fn sends_one_again(inbox: Inbox) {
    let first = waiting(&inbox);
    let id = first["id"].as_str().expect("an id");
    let again = inbox.json(&["deliveries", "resend", id])["delivery"].clone();
    assert_eq!((&again["event_id"], &again["is_resend"]), (&first["event_id"], &json!(true)));
    let shown = inbox.run(&["deliveries", again["id"].as_str().expect("an id")]).ok();
    assert!(shown.contains("is resend") && shown.contains("true"), "{shown}");
    assert_eq!(inbox.json(&["deliveries"])["deliveries"].as_array().map(Vec::len), Some(2));
}

async fn counts_what_a_replay_would_send(inbox: Inbox) {
    let first = waiting(&inbox);
    let endpoint = first["endpoint_id"].as_str().expect("an id");
    let count = |arguments: &[&str]| {
        let words = [&["deliveries", "replay", endpoint, "--dry-run"], arguments].concat();
        inbox.json(&words)["count"].clone()
    };
    assert_eq!((count(&["--dead"]), count(&["--since", "2h"])), (json!(0), json!(1)));
    assert_eq!(count(&["--since", "2020-01-01T00:00:00Z", "--schema", "s"]), json!(1));
    let said = inbox.run(&["deliveries", "replay", endpoint, "--since", "1d", "--dryrun"]).ok();
    assert!(said.contains("deliveries that would be sent again: 1"), "{said}");
    for wrong in
        [&["--since", "soon"][..], &[], &["--dead", "--since", "2h"], &["--dead", "--dry-run", "--watch"]]
    {
        inbox.run(&[&["deliveries", "replay", endpoint], wrong].concat()).refused(2);
    }
    let missing = inbox.run(&["deliveries", "replay", endpoint]).refused(2);
    assert!(missing.contains("--dead") && missing.contains("--since"), "{missing}");
    let future = inbox.run(&["deliveries", "replay", endpoint, "--since", "2999-01-01T00:00:00Z"]);
    future.says(&["task-inbox: since is a time that has not come yet"]);
    inbox.run(&["deliveries", "replay", endpoint, "--dead", "--schema", "x"]).says(&["no schema \"x\""]);
    assert_eq!(inbox.json(&["deliveries", "replays"])["replays"], json!([]), "a dry run makes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_watched_to_its_end() {
    let inbox = Inbox::at(Place::Remote).await;
    let receiver = Receiver::start().await.expect("a receiver");
    inbox.install(&schema_to(&receiver.url("/hook"))).ok();
    inbox.json(&["webhook_key", "s"]);
    let posted = inbox.json(&["mktask", "s", "t"]);
    inbox.json(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]);
    assert!(receiver.wait_for_count(1, Duration::from_secs(20)).await);
    let endpoint = inbox.json(&["endpoints", "--schema", "s"])["endpoints"][0]["id"].clone();
    let endpoint = endpoint.as_str().expect("an id");
    let job = inbox.json(&["deliveries", "replay", endpoint, "--since", "1h", "--watch"]);
    assert_eq!((&job["status"], &job["resent"]), (&json!("done"), &json!(1)));
    assert!(receiver.wait_for_count(2, Duration::from_secs(20)).await);
    let id = job["id"].as_str().expect("an id");
    assert!(inbox.run(&["deliveries", "replays", id]).ok().contains("done"));
    assert_eq!(inbox.json(&["deliveries", "replays", "--endpoint", endpoint])["replays"][0]["id"], *id);
    inbox.run(&["deliveries", "cancel", id]).says(&["has ended"]);
}

#[test]
fn a_replay_that_nobody_works_on_is_cancelled() {
    let inbox = Inbox::new();
    let first = waiting(&inbox);
    let endpoint = first["endpoint_id"].as_str().expect("an id");
    let job = inbox.json(&["deliveries", "replay", endpoint, "--since", "1h"]);
    let id = job["id"].as_str().expect("an id");
    inbox.run(&["deliveries", "replay", endpoint, "--since", "2h"]).says(&[id, "cancel it"]);
    assert!(inbox.run(&["deliveries", "replays"]).ok().contains("running"));
    let dead = inbox.json(&["deliveries", "replay", endpoint, "--dead"]);
    let page = inbox.json(&["deliveries", "replays", "--limit", "1"]);
    assert_eq!(page["replays"][0]["id"], dead["id"]);
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = inbox.json(&["deliveries", "replays", "--limit", "1", "--cursor", cursor]);
    assert_eq!((&rest["replays"][0]["id"], &rest["next_cursor"]), (&job["id"], &serde_json::Value::Null));
    inbox.run(&["deliveries", "replays", id, "--limit", "1"]).refused(2);
    assert!(inbox.run(&["deliveries", "cancel", id]).ok().contains("is cancelled"));
    assert_eq!(inbox.json(&["deliveries", "replays", id])["status"], "cancelled");
}
