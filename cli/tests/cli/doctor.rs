//! `doctor`: what it finds, and what it says to do, beside the database and from elsewhere.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::Receiver;
use task_inbox_testkit::receiver::Behaviour;

use crate::at_every_place;
use crate::inbox::{Done, Inbox, Place, SAMPLE, schema_to};
use crate::peer::{Peer, say};

at_every_place!(what_holds_webhooks_up_is_said);

/// What it found, and that its exit code says the same.
fn found(done: &Done) -> Value {
    let found: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {done:?}"));
    let failures = checks(&found).filter(|check| check["status"] == "failure").count();
    assert_eq!((done.code, found["ok"] == true), (Some(i32::from(failures > 0)), failures == 0), "{found}");
    found
}

fn checks(found: &Value) -> impl Iterator<Item = &Value> {
    found["checks"].as_array().expect("a list").iter()
}

fn examine(inbox: &Inbox, settings: &[(&str, &str)]) -> Value {
    let mut command = inbox.command(&["doctor", "--json"]);
    found(&command.envs(settings.iter().copied()).output().expect("it runs").into())
}

/// The one finding that is of this check and says these words.
#[track_caller]
fn says<'a>(found: &'a Value, check: &str, status: &str, words: &str) -> &'a Value {
    let fits = |c: &&Value| c["check"] == check && c["status"] == status && c.to_string().contains(words);
    checks(found).find(fits).unwrap_or_else(|| panic!("no {status} of {check} with {words:?} in {found:#}"))
}

async fn what_holds_webhooks_up_is_said(inbox: Inbox) {
    says(&examine(&inbox, &[]), "endpoints", "ok", "there are none");
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    says(&examine(&inbox, &[]), "endpoints", "warning", "task-inbox webhook_key s");
    let posted = inbox.json(&["mktask", "s", "t"]);
    inbox.json(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]);
    says(&examine(&inbox, &[]), "endpoints", "failure", "webhooks that wait: 1");
    let without = examine(&inbox, &[]);
    says(&without, "checkpoints", "warning", "audit checkpoint");
    inbox.json(&["webhook_key", "s"]);
    inbox.json(&["audit", "checkpoint"]);
    inbox.json(&["api_key", "--name", "short", "--expires", "2d"]);
    let later = examine(&inbox, &[]);
    says(&later, "endpoints", "ok", "1 of 1 take webhooks");
    says(&later, "checkpoints", "ok", "events since: 0");
    says(&later, "api keys", "warning", "short");
    says(&later, "deliveries", "ok", "none was given up");
    says(&later, "clock", "ok", "agrees");
    // People read the same.
    let shown = inbox.run(&["doctor"]).stdout;
    assert!(
        shown.contains("STATUS") && shown.contains("api keys") && shown.contains("-> make another"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_installation_is_ok() {
    let receiver = Receiver::start().await.expect("a receiver");
    receiver.behave(Behaviour::Answer(405));
    for place in [Place::Sqlite, Place::Postgres] {
        let inbox = Inbox::at(place).await;
        inbox.install(&schema_to(&receiver.url("/hook?token=swordfish"))).ok();
        says(&examine(&inbox, &[]), "api keys", "warning", "task-inbox api_key --name");
        inbox.json(&["webhook_key", "s"]);
        inbox.json(&["api_key", "--name", "shop"]);
        inbox.json(&["audit", "checkpoint"]);
        let found = examine(&inbox, &[("TASK_INBOX_ALLOW_NETS", "127.0.0.1/32")]);
        assert_eq!(found["ok"], true, "{found:#}");
        for check in ["configuration", "master key", "database", "writing", "settings", "clock", "reach"] {
            says(&found, check, "ok", "");
        }
        says(&found, "reach", "ok", "/hook is there");
        assert!(!found.to_string().contains("swordfish"), "what may be secret is not shown");
        if place == Place::Postgres {
            says(&found, "connections", "ok", "a server takes up to");
            says(&found, "version", "ok", "PostgreSQL ");
        } else {
            assert!(checks(&found).any(|check| check["check"] == "disk"), "{found:#}");
        }
    }
    assert!(receiver.journal().iter().all(|arrival| arrival.head.starts_with("HEAD ")), "no webhook is sent");
}

#[test]
fn what_is_wrong_with_an_endpoints_address_is_told_apart() {
    let inbox = Inbox::new();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let plain = Peer::new([say(200, "text/plain", "", "")]);
    let elsewhere = Peer::new([say(308, "text/plain", "location: https://b.example/\r\n", "")]);
    let tasks = [
        ("refused", "http://10.1.2.3/hook".to_owned()),
        ("closed", format!("http://{closed}/hook")),
        ("plain", plain.url().replace("http:", "https:")),
        ("elsewhere", elsewhere.url()),
        ("nobody", "https://nobody.invalid/hook".to_owned()),
    ];
    for (name, url) in &tasks {
        inbox.install(&schema_to(url).replace("name: s\n", &format!("name: {name}\n"))).ok();
    }
    let guarded = "name: g\nsemver: '1'\ntasktypes:\n- name: t\n  resolved_states: [done]\n  guard:\n    url: \
                   http://10.1.2.4/ask?token=swordfish\n";
    inbox.install(guarded).ok();
    let found = examine(&inbox, &[("TASK_INBOX_ALLOW_NETS", "127.0.0.0/8")]);
    let refused = says(&found, "reach", "failure", "10.1.2.3, which is private (RFC 1918)");
    assert!(refused["advice"].as_str().is_some_and(|a| a.contains("TASK_INBOX_ALLOW_NETS=10.1.2.3/32")));
    says(&found, "reach", "failure", "takes no connection");
    says(&found, "reach", "failure", "no secure connection");
    says(&found, "reach", "failure", "can't be resolved");
    says(&found, "reach", "warning", "(308)");
    says(&found, "reach", "failure", "http://10.1.2.4/ask leads to 10.1.2.4");
    assert!(!found.to_string().contains("swordfish"), "what may be secret is not shown: {found}");
    let strict = examine(&inbox, &[]);
    says(&strict, "reach", "failure", "`serve --dev` opens loopback");
}

#[test]
fn settings_keys_and_database_are_looked_at_as_far_as_they_are_there() {
    let inbox = Inbox::empty();
    let found = examine(&inbox, &[]);
    says(&found, "database", "failure", "task-inbox migrate up");
    assert!(checks(&found).all(|check| check["check"] != "writing"), "there is nothing to look at: {found}");
    says(&examine(&inbox, &[("TASK_INBOX_ROLES", "cook")]), "configuration", "failure", "TASK_INBOX_ROLES");
    inbox.run(&["migrate", "up"]).ok();
    inbox.install(SAMPLE).ok();
    inbox.json(&["webhook_key", "ti:sample"]);
    let odd = examine(&inbox, &[("TASK_INBOX_LISTNE", "1"), ("TASK_INBOX_MASTER_KEY", "")]);
    says(&odd, "configuration", "warning", "TASK_INBOX_LISTNE");
    says(&odd, "master key", "failure", "generate-keys");
    let other = inbox.json(&["generate-keys"])["TASK_INBOX_MASTER_KEY"].as_str().expect("a key").to_owned();
    says(&examine(&inbox, &[("TASK_INBOX_MASTER_KEY", &other)]), "master key", "failure", "does not open");
    let nobody = examine(&inbox, &[("DATABASE_URL", "postgres://u:swordfish@127.0.0.1:1/x")]);
    says(&nobody, "database", "failure", "can't be opened");
    assert!(!nobody.to_string().contains("swordfish"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_sends_is_found() {
    let inbox = Inbox::new();
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    inbox.json(&["webhook_key", "s"]);
    let posted = inbox.json(&["mktask", "s", "t"]);
    inbox.json(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]);
    says(&examine(&inbox, &[]), "deliveries", "ok", "none was given up");
    // As if it were some time ago.
    inbox.installation().database().execute("UPDATE deliveries SET due_at = 1").await.expect("runs");
    says(&examine(&inbox, &[]), "deliveries", "warning", "role dispatcher");
    // Nobody is to send it now.
    inbox.json(&["maintenance", "on", "--hold-deliveries", "--message", "Back at noon."]);
    let held = examine(&inbox, &[]);
    let told = says(&held, "maintenance", "warning", "webhooks wait (Back at noon.)");
    assert_eq!(told["advice"], "once it is over: task-inbox maintenance off");
    says(&held, "deliveries", "ok", "none was given up");
    inbox.json(&["maintenance", "off"]);
    let endpoints = inbox.json(&["endpoints"]);
    let id = endpoints["endpoints"][0]["id"].as_str().expect("an id");
    inbox.json(&["endpoints", "pause", id, "--message", "moving"]);
    let paused = examine(&inbox, &[]);
    says(&paused, "maintenance", "ok", "nothing is in maintenance");
    says(&paused, "endpoints", "warning", "is paused (moving)");
    says(&paused, "endpoints", "warning", &format!("task-inbox endpoints resume {id}"));
    says(&paused, "deliveries", "ok", "none was given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_deliveries_and_disabled_endpoints_are_found() {
    let inbox = Inbox::at(Place::Remote).await;
    let receiver = Receiver::start().await.expect("a receiver");
    receiver.behave(Behaviour::Answer(410));
    inbox.install(&schema_to(&receiver.url("/hook?token=swordfish"))).ok();
    inbox.json(&["webhook_key", "s"]);
    let posted = inbox.json(&["mktask", "s", "t"]);
    inbox.json(&["decide", posted["task"]["id"].as_str().expect("an id"), "done"]);
    assert!(receiver.wait_for_count(1, Duration::from_secs(20)).await);
    // It was received; that it was settled shows a moment later.
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let found = examine(&inbox, &[]);
            if found["ok"] == false {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    let found = found.await.expect("settled");
    says(&found, "endpoints", "failure", "task-inbox endpoints resume ");
    says(&found, "deliveries", "warning", "given up: 1, the latest to ");
    says(&found, "deliveries", "warning", " --dead");
    assert!(!found.to_string().contains("swordfish"), "what may be secret is not shown: {found}");
    says(&found, "server", "ok", "is task-inbox");
    says(&found, "ready", "ok", "its database answers");
    says(&found, "key", "ok", "ops");
    assert!(checks(&found).all(|check| check["check"] != "reach"), "that is the server's network: {found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_seen_as_far_as_the_key_may() {
    let inbox = Inbox::at(Place::Remote).await;
    let made = inbox.json(&["api_key", "--name", "posts", "--permission", "tasks:write"]);
    let key = made["key"].as_str().expect("a key");
    let with = |url: &str, key: &str| -> Value {
        let mut command = inbox.bare(&["doctor", "--json", "--server", url, "--api-key", key]);
        found(&command.output().expect("it runs").into())
    };
    let little = with(&inbox.url(), key);
    assert_eq!(little["ok"], true, "not to see is no failure: {little}");
    for check in ["api keys", "endpoints", "deliveries", "checkpoints"] {
        says(&little, check, "warning", "was not looked at");
    }
    says(&with(&inbox.url(), "ti_no_such_key"), "key", "failure", "refused the key");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    says(&with(&format!("http://{nobody}"), key), "server", "failure", "nothing listens at");
    let strange = Peer::new([say(200, "text/html", "", "<html>")]);
    says(&with(&strange.url(), key), "server", "failure", "no answer of task-inbox");
}

#[test]
fn a_server_whose_clock_or_database_is_wrong_is_told() {
    let health =
        json!({"version": env!("CARGO_PKG_VERSION"), "client_ip": "127.0.0.1", "url": "x"}).to_string();
    let away = json!({"type": "/problems/unavailable", "title": "x", "status": 503, "detail": "the database does not answer"});
    let peer = Peer::new([
        say(200, "application/json", "date: Wed, 21 Oct 2015 07:28:00 GMT\r\n", &health),
        say(503, "application/problem+json", "", &away.to_string()),
    ]);
    let inbox = Inbox::empty();
    let mut command = inbox.bare(&["doctor", "--json", "--server", &peer.url(), "--api-key", "ti_any_key"]);
    let found = found(&command.output().expect("it runs").into());
    says(&found, "clock", "failure", "behind this one");
    says(&found, "ready", "failure", "the database does not answer");
    assert!(!peer.seen().iter().take(2).any(|request| request.contains("ti_any_key")), "health needs no key");
}
