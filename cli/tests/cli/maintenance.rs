//! `maintenance`, beside a running server and over HTTP.

use std::time::{Duration, Instant};

use serde_json::json;
use task_inbox_testkit::http::{Client, Request};

use crate::at_every_place;
use crate::inbox::{Inbox, SAMPLE};

at_every_place!(a_command_that_meets_it_is_told_when_to_come_back);

async fn a_command_that_meets_it_is_told_when_to_come_back(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    let on = ["maintenance", "on", "--message", "Back at noon.", "--retry-after", "15m", "--hold-deliveries"];
    let said = inbox.run(&on).ok();
    assert!(said.contains("the whole inbox is in maintenance; webhooks wait"), "{said}");
    inbox.run(&["mktask", "ti:sample", "flag-content"]).says(&["Back at noon; try again in 15m"]);
    assert!(inbox.run(&["tasks"]).code == Some(0), "reads go on");
    // The operator has the database; a key has not.
    let made = inbox.run(&["api_key", "--name", "x"]);
    if inbox.is_remote() {
        made.says(&["Back at noon; try again in 15m"]);
    } else {
        drop(made.ok());
    }
    let status = inbox.run(&["maintenance", "status"]).ok();
    assert!(status.contains("the whole inbox") && status.contains("held"), "{status}");
    let said = inbox.run(&["maintenance", "off"]).ok();
    assert!(said.contains("the maintenance of the whole inbox has ended"), "{said}");
    inbox.run(&["mktask", "ti:sample", "flag-content"]).ok();
    inbox.run(&["maintenance", "off"]).says(&["the whole inbox is not in maintenance"]);
    assert_eq!(inbox.json(&["maintenance", "status"]), json!({"maintenance": []}));
    for wrong in [["--retry-after", "25h"], ["--retry-after", "soon"], ["--message", " "]] {
        inbox.run(&[&["maintenance", "on"][..], &wrong].concat()).refused(2);
    }
}

#[tokio::test]
async fn a_server_holds_to_what_a_command_beside_it_says() {
    let inbox = Inbox::empty();
    let there = inbox.installation();
    let server = there.serve("server").await.expect("it serves");
    there.cli(&["taskschema", &inbox.write("schema.yml", SAMPLE)]).await.expect("installed");
    let made =
        there.cli(&["api_key", "--name", "ci", "--permission", "tasks:write", "--permission", "keys:write"]);
    let made = made.await.expect("made");
    let key = [("api-key", made["key"].as_str().expect("a key"))];
    let task = json!({"schema_name": "ti:sample", "task": "flag-content"}).to_string();
    let post = Request::json("POST", "/api/v1/tasks", &key, &task);
    let new_key = Request::json("POST", "/api/v1/api-keys", &key, r#"{"name":"x"}"#);
    let mut client = Client::new(server.address()).with_timeout(Duration::from_secs(10));
    assert_eq!(client.send(&post).await.expect("an answer").status, 201);

    there.cli(&["maintenance", "on", "--message", "Back at noon."]).await.expect("begun");
    let begun = Instant::now();
    // At once, though nobody told the server.
    let refused = client.send(&post).await.expect("an answer");
    assert_eq!((refused.status, &refused.json()["detail"]), (503, &json!("Back at noon.")));
    while client.send(&new_key).await.expect("an answer").status != 503 {}
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(server.terminate(Duration::from_secs(20)).await.expect("it ends").code(), Some(0));

    // It stands in the database, not in a server's memory.
    let server = there.serve("again").await.expect("it serves");
    let mut client = Client::new(server.address()).with_timeout(Duration::from_secs(10));
    assert_eq!(client.send(&new_key).await.expect("an answer").status, 503);
    let ready = Request::new("GET", "/health/ready", &[]);
    assert_eq!(client.send(&ready).await.expect("an answer").status, 200);
    there.cli(&["maintenance", "off"]).await.expect("ended");
    let ended = Instant::now();
    while client.send(&post).await.expect("an answer").status != 201 {}
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
}
