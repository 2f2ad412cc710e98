//! `endpoints` and the commands below it.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::Receiver;

use crate::at_every_place;
use crate::inbox::{Done, Inbox, SAMPLE};

at_every_place!(registers_and_changes, takes_back_what_was_said, a_test_shows_the_answer, rotates_its_key);

/// Never contacted: nothing that it asks for happens.
const URL: &str = "https://8.8.8.8/hook";

/// Runs a command that may reach loopback, wherever it works.
fn run(inbox: &Inbox, arguments: &[&str]) -> Done {
    let mut command = inbox.command(arguments);
    command.env("TASK_INBOX_ALLOW_NETS", "127.0.0.0/8").output().expect("it runs").into()
}

fn id(json: &Value) -> &str {
    json["id"].as_str().expect("an id")
}

async fn registers_and_changes(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    let said = [
        "endpoints",
        "add",
        URL,
        "--schema",
        "ti:sample",
        "--type",
        "flag-content",
        "--event",
        "task.commented",
        "--event",
        "delivery.dead",
        "--state",
        "block",
        "--state",
        "unset",
        "--header",
        "X-Tenant: a: b",
        "--rate",
        "100/s",
        "--concurrency",
        "3",
        "--attempt-timeout",
        "5s",
        "--description",
        "the warehouse",
        "--format",
        "slack",
        "--key",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ];
    let made = inbox.json(&said);
    assert_eq!(made["key"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    for (field, expected) in [
        ("schemas", json!(["ti:sample"])),
        ("task_types", json!(["flag-content"])),
        ("event_types", json!(["task.commented", "delivery.dead"])),
        ("states", json!(["block", "unset"])),
        ("headers", json!({"X-Tenant": "***"})),
        ("rate", json!("100/s")),
        ("concurrency", json!(3)),
        ("timeout", json!("5s")),
        ("description", json!("the warehouse")),
        ("format", json!("slack")),
    ] {
        assert_eq!(made[field], expected, "{field}");
    }
    let changed =
        inbox.json(&["endpoints", "update", id(&made), "--rate", "5/m", "--url", "https://8.8.8.8/2"]);
    assert_eq!((&changed["rate"], &changed["url"]), (&json!("5/m"), &json!("https://8.8.8.8/2")));
    assert_eq!((&changed["states"], &changed["headers"]), (&made["states"], &made["headers"]));
    let shown = inbox.run(&["endpoints", "--origin", "registered"]).ok();
    assert!(shown.contains("https://8.8.8.8/2") && !shown.contains("localhost"), "{shown}");
    let nothing = inbox.run(&["endpoints", "update", id(&made)]).refused(2);
    assert!(nothing.contains("what to change"), "{nothing}");
    for filter in [["--schema", "ti:sample"], ["--status", "active"], ["--origin", "registered"]] {
        inbox.run(&["endpoints", id(&made), filter[0], filter[1]]).refused(2);
    }
    inbox.run(&["endpoints", "add", URL, "--event", "task.creatd"]).refused(2);
    inbox.run(&["endpoints", "add", URL, "--header", "x"]).refused(2);
    inbox.run(&["endpoints", "add", URL, "--rate", "fast"]).refused(2);
    inbox.run(&["endpoints", "add", "http://10.0.0.1/"]).says(&["TASK_INBOX_ALLOW_NETS"]);
    inbox.run(&["endpoints", "add", URL, "--schema", "ti:sampl"]).says(&["ti:sample"]);
    let declared = inbox.json(&["endpoints", "--origin", "schema"])["endpoints"][0].clone();
    inbox
        .run(&["endpoints", "update", id(&declared), "--rate", "1/s"])
        .says(&["declared by the schema ti:sample"]);
    inbox.run(&["endpoints", "rm", id(&made)]).says(&["https://8.8.8.8/2", "--yes"]);
    inbox.json(&["endpoints", "remove", id(&made), "--yes"]);
    assert_eq!(inbox.json(&["endpoints", "--origin", "registered"])["endpoints"], json!([]));
    // The list's own arguments are not those of the commands below it.
    inbox.run(&["endpoints", "--schema", "ti:sample", "add", URL]).refused(2);
}

async fn takes_back_what_was_said(inbox: Inbox) {
    let made =
        inbox.json(&["endpoints", "add", URL, "--event", "task.commented", "--state", "x", "--rate", "1/s"]);
    let changed = inbox.json(&["endpoints", "update", id(&made), "--unset", "states", "--unset", "rate"]);
    assert_eq!((&changed["states"], &changed["rate"]), (&Value::Null, &Value::Null));
    assert_eq!(changed["event_types"], json!(["task.commented"]));
    inbox.run(&["endpoints", "update", id(&made), "--unset", "url"]).refused(2);
    let both = inbox.run(&["endpoints", "update", id(&made), "--unset", "rate", "--rate", "1/s"]).refused(2);
    assert!(both.contains("said and taken back"), "{both}");
    let paused = inbox.json(&["endpoints", "pause", id(&made), "--message", "a deployment"]);
    assert_eq!((&paused["held"], &paused["status_reason"]), (&json!("paused"), &json!("a deployment")));
    inbox.run(&["endpoints", "pause", id(&made)]).says(&["paused already"]);
    inbox.json(&["endpoints", "resume", id(&made)]);
    inbox.run(&["endpoints", "resume", id(&made)]).says(&["neither paused nor disabled"]);
}

async fn a_test_shows_the_answer(inbox: Inbox) {
    let receiver = Receiver::start().await.expect("a receiver");
    let made =
        run(&inbox, &["endpoints", "add", &receiver.url("/hook"), "--event", "task.commented", "--json"])
            .json();
    // Also while it is paused.
    inbox.json(&["endpoints", "pause", id(&made)]);
    let said = run(&inbox, &["endpoints", "test", id(&made)]).ok();
    assert!(said.starts_with("delivered: it answered 2"), "{said}");
    let found = run(&inbox, &["endpoints", "test", id(&made), "--json"]).json();
    assert_eq!((&found["delivered"], &found["outcome"]), (&json!(true), &json!("delivered")));
    assert!(receiver.wait_for_count(2, Duration::from_secs(20)).await);

    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}/", free.local_addr().expect("bound"));
    drop(free);
    let made = run(&inbox, &["endpoints", "add", &nobody, "--event", "task.commented", "--json"]).json();
    let said = run(&inbox, &["endpoints", "test", id(&made)]);
    assert!(said.code == Some(1) && said.stdout.starts_with("not delivered (connect, after "), "{said:?}");
}

async fn rotates_its_key(inbox: Inbox) {
    let made = inbox.json(&["endpoints", "add", URL, "--event", "task.commented"]);
    inbox.run(&["webhook_key", "--endpoint", id(&made)]).says(&["--rotate"]);
    let rotated = inbox.json(&["webhook_key", "--endpoint", id(&made), "--rotate"]);
    assert_eq!(rotated["endpoint_id"], made["id"]);
    assert!(rotated["key"] != made["key"]);
    assert!(inbox.run(&["webhook_keys"]).ok().contains(URL));
    inbox.run(&["webhook_key"]).refused(2);
    inbox.run(&["webhook_key", "s", "--endpoint", id(&made)]).refused(2);
    inbox.run(&["webhook_key", "--type", "t", "--endpoint", id(&made)]).refused(2);
}
