//! `verify`: every way to give it a webhook, and what it says of one that is wrong.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::Receiver;

use crate::inbox::{Done, Inbox, Place, schema_to};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const BODY: &str = r#"{"test": 2432232314}"#;
const PARTS: [&str; 8] = [
    "--id",
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "--timestamp",
    "1614265330",
    "--signature",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "--at",
    "2021-02-25T15:02:10Z",
];

/// The published vector with other arguments in place of some of its own.
fn with<'a>(body: &'a str, other: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["verify", body];
    for pair in PARTS.chunks(2) {
        if !other.contains(&pair[0]) {
            arguments.extend(pair);
        }
    }
    arguments.extend(other);
    arguments
}

fn codes(found: &Value) -> Vec<&str> {
    let problems = found["problems"].as_array().expect("a list");
    problems.iter().map(|p| p["code"].as_str().expect("a code")).collect()
}

/// What it found; its exit code is that of a check.
fn found(inbox: &Inbox, arguments: &[&str]) -> Value {
    let done = inbox.run(&[arguments, &["--json"]].concat());
    let found: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {done:?}"));
    assert_eq!(done.code, Some(i32::from(found["ok"] == false)), "{found}");
    assert_eq!(found["ok"] == true, codes(&found).is_empty());
    found
}

#[test]
fn says_of_each_part_what_is_wrong_with_it() {
    let inbox = Inbox::empty();
    let body = inbox.write("body", BODY);
    let line = inbox.write("line", &format!("{BODY}\n"));
    let secret = ["--secret", SECRET];
    for (body, other, code) in [
        (&body, &["--secret", OTHER][..], "mismatch"),
        (&line, &secret, "body_newline_added"),
        (&body, &["--secret", &SECRET[6..]], "secret_prefix_missing"),
        (&body, &["--secret", "whsec_%"], "secret_malformed"),
        (&body, &[secret[0], secret[1], "--timestamp", "1614265330000"], "timestamp_unit"),
        (&body, &[secret[0], secret[1], "--signature", "v1a,AAAA"], "version"),
        (&body, &[secret[0], secret[1], "--signature", ""], "missing"),
        (&body, &[secret[0], secret[1], "--at", "2021-02-25T15:07:11Z"], "too_old"),
        (&body, &[secret[0], secret[1], "--at", "1614265000"], "from_the_future"),
    ] {
        let found = found(&inbox, &with(body, other));
        assert_eq!(codes(&found), [code], "{found}");
        assert!(!found.to_string().contains(&SECRET[6..]), "no secret is shown");
    }
    let old = with(&body, &["--secret", SECRET, "--at", "2021-02-25T15:08:10Z"]);
    let said = inbox.run(&old);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stdout.starts_with("ok: the signature is right; it was sent 360 s ago\nwrong: it is too old")
    );
    let tolerant = [&old[..], &["--tolerance", "6m"]].concat();
    assert_eq!(found(&inbox, &tolerant)["age_seconds"], 360);
}

#[test]
fn the_secret_need_not_be_typed() {
    let inbox = Inbox::empty();
    let body = inbox.write("body", BODY);
    let file = inbox.write("secrets", &format!("\n{OTHER}\n{SECRET}\n"));
    let answer = found(&inbox, &with(&body, &["--secret-file", &file]));
    assert_eq!((&answer["ok"], &answer["secret"]), (&json!(true), &json!(2)));
    let said = inbox.run(&with(&body, &["--secret-file", &file])).ok();
    assert!(said.contains("secret 2 of 2"), "{said}");
    let mut command = inbox.command(&with(&body, &[]));
    let done: Done = command.env("WEBHOOK_SECRET", SECRET).output().expect("it runs").into();
    done.ok();
    let said = inbox.run(&with(&body, &[])).refused(2);
    assert!(said.contains("WEBHOOK_SECRET") && said.contains("--secret-file"), "{said}");
    let help = inbox.command(&["verify", "--help"]).env("WEBHOOK_SECRET", SECRET).output().expect("it runs");
    assert!(!String::from_utf8_lossy(&help.stdout).contains(SECRET));
}

#[test]
fn the_body_may_come_by_stdin() {
    let inbox = Inbox::empty();
    let mut child = inbox
        .command(&with("-", &["--secret", SECRET]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("piped").write_all(BODY.as_bytes()).expect("written");
    Done::from(child.wait_with_output().expect("it ends")).ok();
    inbox.run(&["verify", "none", "--secret", SECRET]).says(&["none can't be read"]);
    let headers = inbox.write("headers", "");
    inbox.run(&["verify", "-", "--secret", SECRET, "--headers", &headers, "--id", "x"]).refused(2);
    for twice in [["-", "--headers", "-"], ["-", "--secret-file", "-"]] {
        let said = inbox.run(&[&["verify", "--secret", SECRET][..], &twice].concat()).refused(2);
        assert!(said.contains("only one of body, --headers and --secret-file"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_sent_verifies_as_it_was_recorded() {
    let inbox = Inbox::at(Place::Remote).await;
    let receiver = Receiver::start().await.expect("a receiver");
    inbox.install(&schema_to(&receiver.url("/hook"))).ok();
    let key = inbox.json(&["webhook_key", "s"])["key"].as_str().expect("a key").to_owned();
    let posted = inbox.json(&["mktask", "s", "t"]);
    inbox.json(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]);
    assert!(receiver.wait_for_count(1, Duration::from_secs(20)).await);
    let arrival = receiver.journal().remove(0);
    let headers = inbox.write("headers", &arrival.head);
    let body = inbox.file("body");
    std::fs::write(&body, &arrival.body).expect("written");
    let alone = |arguments: &[&str]| -> Value {
        let mut command = inbox.bare(&[&["verify", &body, "--json"], arguments].concat());
        let done: Done = command.env("WEBHOOK_SECRET", &key).output().expect("it runs").into();
        serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {done:?}"))
    };
    assert_eq!(alone(&["--headers", &headers])["ok"], true);
    // An editor's end of line, and the event's id in place of the webhook's.
    std::fs::write(&body, [&arrival.body[..], b"\n"].concat()).expect("written");
    let altered = inbox.write("altered", &arrival.head.replace("evt_", ""));
    assert_eq!(codes(&alone(&["--headers", &altered])), ["id_prefix_missing", "body_newline_added"]);
}
