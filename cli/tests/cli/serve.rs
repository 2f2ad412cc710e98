//! `serve`, and commands beside it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::signature::Secret;
use task_inbox_testkit::{Database, Installation, Receiver, Server};

use crate::inbox::{Done, Inbox, schema_to};

async fn send(server: &Server, request: &Request) -> (u16, serde_json::Value) {
    let mut client = Client::new(server.address()).with_timeout(Duration::from_secs(10));
    let answer = client.send(request).await.expect("an answer");
    (answer.status, answer.json())
}

fn post(key: &str, schema: &str, ttype: &str) -> Request {
    let body = json!({"schema_name": schema, "task": ttype}).to_string();
    Request::json("POST", "/api/v1/tasks", &[("api-key", key)], &body)
}

#[tokio::test]
async fn commands_work_at_once_beside_a_server() {
    let inbox = Inbox::empty();
    let there = inbox.installation();
    let server = there.serve("server").await.expect("it serves");
    let get = Request::new("GET", "/api/v1/tasks", &[("api-key", "ti_unknown")]);
    let (status, problem) = send(&server, &get).await;
    assert_eq!(status, 403);
    assert!(problem["detail"].as_str().expect("a text").contains("task-inbox api_key --name"), "{problem}");

    let made = there.cli(&["api_key", "--name", "ci"]).await.expect("made");
    let key = made["key"].as_str().expect("a key");
    assert_eq!(send(&server, &post(key, "ti:sample", "flag-content")).await.0, 404);
    let file = inbox.write("schema.yml", crate::inbox::SAMPLE);
    there.cli(&["taskschema", &file]).await.expect("installed");
    let (status, posted) = send(&server, &post(key, "ti:sample", "flag-content")).await;
    assert_eq!(status, 201, "{posted}");
    let id = posted["task"]["id"].as_str().expect("an id");
    there.cli(&["decide", id, "block"]).await.expect("decided");
    let read = Request::new("GET", &format!("/api/v1/tasks/{id}"), &[("api-key", key)]);
    assert_eq!(send(&server, &read).await.1["task"]["state"], "block");

    there.cli(&["revoke_key", made["id"].as_str().expect("an id")]).await.expect("revoked");
    let refused = async { while send(&server, &read).await.0 != 403 {} };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("noticed");
}

#[tokio::test]
async fn what_a_command_decides_is_delivered_by_the_server() {
    let inbox = Inbox::empty();
    let there = inbox.installation();
    let server = there.serve("server").await.expect("it serves");
    let receiver = Receiver::start().await.expect("a receiver");
    let schema = schema_to(&receiver.url("/hook"));
    there.cli(&["taskschema", &inbox.write("schema.yml", &schema)]).await.expect("installed");
    let posted = there.cli(&["mktask", "s", "t"]).await.expect("posted");
    there.cli(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]).await.expect("decided");
    // It waited for a key; the server hears of the key by itself.
    let key = "whsec_Y2xpdGVzdHMtY2xpdGVzdHMtY2xpdGVzdHM=";
    receiver.expect_secret("/hook", Secret::parse(key).expect("a key"));
    there.cli(&["webhook_key", "s", "--key", key]).await.expect("taken over");
    assert!(receiver.wait_for_count(1, Duration::from_secs(20)).await, "see {}", server.log().display());
    assert_eq!(receiver.journal()[0].is_authentic, Some(true));
}

#[tokio::test]
async fn one_server_a_file_which_ends_in_order() {
    let inbox = Inbox::empty();
    let there = inbox.installation();
    let server = there.serve("first").await.expect("it serves");
    let second: Done = inbox.command(&["serve", "--dev"]).output().expect("it runs").into();
    second.says(&["another `task-inbox serve`", "PostgreSQL"]);
    let status = server.terminate(Duration::from_secs(20)).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    let again = there.serve("again").await.expect("the file is free");
    assert_eq!(again.terminate(Duration::from_secs(20)).await.expect("it ends").code(), Some(0));
}

/// Puts the database on a file system of 6 MiB that only the server sees. `unshare` makes a name space
/// for it, which needs root or a kernel that allows users their own.
const ON_A_SMALL_DISK: &str = r#"#!/bin/bash
set -e
exec unshare --mount $([ "$(id -u)" -eq 0 ] || echo --map-root-user) bash -c '
    set -e
    mount -t tmpfs -o size=6m none "$0/small"
    cp "$0"/inbox.db* "$0/small/"
    export DATABASE_URL="sqlite://$0/small/inbox.db"
    exec "$1" "${@:2}"
' FOLDER BINARY "$@"
"#;

#[tokio::test]
async fn nothing_is_acknowledged_that_a_full_disk_did_not_take() {
    let inbox = Inbox::empty();
    let there = inbox.installation();
    there.cli(&["migrate", "up"]).await.expect("migrated");
    there.cli(&["taskschema", &inbox.write("schema.yml", crate::inbox::SAMPLE)]).await.expect("installed");
    let made = there.cli(&["api_key", "--name", "ci"]).await.expect("made");
    let key = made["key"].as_str().expect("a key");
    std::fs::create_dir(inbox.path().join("small")).expect("a folder");
    let script = ON_A_SMALL_DISK
        .replace("FOLDER", &inbox.path().display().to_string())
        .replace("BINARY", env!("CARGO_BIN_EXE_task-inbox"));
    let script = inbox.write("on-a-small-disk", &script);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let database = Database::Sqlite(inbox.path().join("inbox.db"));
    let server = Installation::of(script.into(), inbox.path(), database).serve("small").await;
    let server = server.expect("it serves; does `unshare --mount` work here?");
    let body =
        json!({"schema_name": "ti:sample", "task": "flag-content", "meta": {"text": "x".repeat(40_000)}});
    let post = Request::json("POST", "/api/v1/tasks", &[("api-key", key)], &body.to_string());
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    while refused < 3 {
        match send(&server, &post).await {
            (201, answer) => acknowledged.push(answer["task"]["id"].as_str().expect("an id").to_owned()),
            (503, _) => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(acknowledged.len() < 200, "the disk is full at some time");
    }
    // Read on connections that see only what was committed.
    for id in &acknowledged {
        let read = Request::new("GET", &format!("/api/v1/tasks/{id}"), &[("api-key", key)]);
        assert_eq!(send(&server, &read).await.0, 200, "{id} of {}", acknowledged.len());
    }
}

#[tokio::test]
async fn starts_only_with_what_it_needs() {
    let inbox = Inbox::new();
    let mut command = inbox.command(&["serve"]);
    let without: Done = command.env_remove("TASK_INBOX_MASTER_KEY").output().expect("it runs").into();
    without.says(&["TASK_INBOX_MASTER_KEY", "task-inbox generate-keys"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let said = inbox.run(&["serve", "--listen", &address]).refused(1);
    assert!(said.contains("can't listen") && said.contains("TASK_INBOX_LISTEN"), "{said}");
    // A key that this master key doesn't open is found at once, not at the first delivery.
    inbox.install(crate::inbox::SAMPLE).ok();
    inbox.json(&["webhook_key", "ti:sample"]);
    let other = inbox.json(&["generate-keys"])["TASK_INBOX_MASTER_KEY"].as_str().expect("a key").to_owned();
    let mut command = inbox.command(&["serve"]);
    let wrong: Done = command.env("TASK_INBOX_MASTER_KEY", other).output().expect("it runs").into();
    wrong.says(&["does not open with the master key"]);
}
