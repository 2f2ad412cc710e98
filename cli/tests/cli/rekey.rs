//! `rekey`, while a server serves.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use task_inbox_testkit::Receiver;
use task_inbox_testkit::signature::Secret;

use crate::inbox::{Done, Inbox, Place, schema_to};

const KEY: &str = "whsec_Y2xpdGVzdHMtY2xpdGVzdHMtY2xpdGVzdHM=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_a_new_key_in_the_file_that_dev_made() {
    let inbox = Inbox::new();
    let receiver = Receiver::start().await.expect("a receiver");
    receiver.expect_secret("/hook", Secret::parse(KEY).expect("a key"));
    let run = |arguments: &[&str]| -> Done {
        inbox.command(arguments).env_remove("TASK_INBOX_MASTER_KEY").output().expect("it runs").into()
    };
    run(&["rekey", "--new"]).says(&["no master key in", "inbox.db.master-key"]);
    let file = inbox.write("schema.yml", &schema_to(&receiver.url("/hook")));
    run(&["taskschema", &file, "--dev"]).ok();
    run(&["webhook_key", "s", "--dev", "--key", KEY]).ok();
    let path = inbox.path().join("inbox.db.master-key");
    let ring = || std::fs::read_to_string(&path).expect("there").trim().to_owned();
    let old = ring();
    let server =
        inbox.installation().with("TASK_INBOX_MASTER_KEY", "").serve("server").await.expect("it serves");

    let json: serde_json::Value =
        serde_json::from_str(&run(&["rekey", "--new", "--json"]).ok()).expect("JSON");
    assert_eq!(json, json!({"moved": 1, "remaining": 0, "master_key_id": "2", "removable": ["1"]}));
    assert!(ring().starts_with("2:") && ring().ends_with(&format!(",1:{old}")), "the old one stays");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let said = run(&["rekey"]).ok();
    assert!(
        said.contains("master key 2, 0 of them") && said.contains("The master key 1 may be removed"),
        "{said}"
    );

    // The server still signs, with the same webhook key.
    let posted = run(&["mktask", "s", "t", "--json"]).json();
    run(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]).ok();
    assert!(receiver.wait_for_count(1, Duration::from_secs(20)).await, "see {}", server.log().display());
    assert_eq!(receiver.journal()[0].is_authentic, Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ring_of_a_variable_or_of_a_server_is_not_ours_to_change() {
    let local = Inbox::with_sample();
    local.run(&["rekey", "--new"]).says(&["TASK_INBOX_MASTER_KEY is set", "in front of it"]);
    // A ring that was turned around by hand.
    local.json(&["webhook_key", "ti:sample"]);
    let both = local.json(&["generate-keys"])["TASK_INBOX_MASTER_KEY"].as_str().expect("a key").to_owned();
    let both = format!("2:{both},1:Y2xpdGVzdHMtY2xpdGVzdHMtY2xpdGVzdHMtY2xpdGU=");
    let run = |ring: &str| -> Done {
        local
            .command(&["rekey", "--json"])
            .env("TASK_INBOX_MASTER_KEY", ring)
            .output()
            .expect("it runs")
            .into()
    };
    assert_eq!(run(&both).json()["moved"], 1);
    run("3:Y2xpdGVzdHMtY2xpdGVzdHMtY2xpdGVzdHMtY2xpdGU=").says(&["\"2\""]);

    let remote = Inbox::at(Place::Remote).await;
    assert!(remote.run(&["rekey", "--new"]).refused(2).contains("on the server's machine"));
    assert_eq!(remote.json(&["rekey"])["remaining"], 0);
}

/// Of several at once, one may be told to wait; none loses a key that secrets are under.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_at_once_lose_no_key() {
    let inbox = Inbox::new();
    let command = |arguments: &[&str]| {
        let mut command = inbox.command(arguments);
        command.env_remove("TASK_INBOX_MASTER_KEY");
        command
    };
    let run = |arguments: &[&str]| -> Done { command(arguments).output().expect("it runs").into() };
    let file = inbox.write("schema.yml", &schema_to("http://127.0.0.1:9/hook"));
    run(&["taskschema", &file, "--dev"]).ok();
    run(&["webhook_key", "s", "--dev", "--key", KEY]).ok();
    for _ in 0..5 {
        let begun: Vec<_> = (0..4)
            .map(|_| {
                let mut command = command(&["rekey", "--new"]);
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
            })
            .collect();
        let ended = begun.into_iter().map(|mut child| child.wait().expect("it ends").success());
        assert!(ended.filter(|success| *success).count() >= 1);
        assert_eq!(run(&["rekey", "--json"]).json()["remaining"], 0);
    }
}
