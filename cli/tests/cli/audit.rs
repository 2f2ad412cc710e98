//! `audit verify`, `audit checkpoint`.

use serde_json::json;
use task_inbox_testkit::Database;

use crate::at_every_place;
use crate::inbox::{Done, Inbox, SAMPLE};
use crate::peer::{Peer, say};

at_every_place!(proves_with_a_checkpoint_that_was_kept);

async fn proves_with_a_checkpoint_that_was_kept(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    inbox.json(&["mktask", "ti:sample", "delete-acct"]);
    let printed = inbox.run(&["audit", "checkpoint"]).ok();
    let kept = inbox.write("checkpoint.json", &printed);
    let without = inbox.json(&["audit", "verify"]);
    assert_eq!(
        (&without["ok"], &without["events"], &without["proved_from"]),
        (&json!(true), &json!(2), &json!(null))
    );
    for from in [kept.as_str(), printed.trim()] {
        assert_eq!(inbox.json(&["audit", "verify", "--from", from])["proved_from"], 2);
    }
    assert!(inbox.run(&["audit", "verify"]).ok().contains("the log is whole"));
    let forged = printed.replace("\"seq\":2", "\"seq\":1");
    inbox.run(&["audit", "verify", "--from", &forged]).says(&["not signed"]);
    inbox.run(&["audit", "verify", "--from", "{}"]).says(&["not a checkpoint"]);
    inbox.run(&["audit", "verify", "--from", "nowhere"]).says(&["nowhere"]);
}

#[test]
fn a_long_log_is_verified_step_by_step() {
    let step = |events: u64, proved: serde_json::Value, next: serde_json::Value| {
        let body = json!({
            "ok": true, "events": events, "erased": 1, "first_bad": null, "detail": null, "proved_from": proved,
            "next": next, "head": 50,
        });
        say(200, "application/json", "", &body.to_string())
    };
    let at = |seq: u64| json!({"seq": seq, "hash": "ab".repeat(32)});
    let inbox = Inbox::with_sample();
    let checkpoint = inbox.run(&["audit", "checkpoint"]).ok();
    let run = |peer: &Peer| {
        let mut command = inbox.bare(&["audit", "verify", "--json", "--from", checkpoint.trim()]);
        Done::from(
            command
                .env("TASK_INBOX_SERVER", peer.url())
                .env("TASK_INBOX_API_KEY", "k")
                .output()
                .expect("it runs"),
        )
    };
    let peer = Peer::new([
        step(20, json!(null), at(20)),
        step(20, json!(30), at(40)),
        step(10, json!(null), json!(null)),
    ]);
    let found = run(&peer).json();
    assert_eq!(
        (&found["events"], &found["erased"], &found["proved_from"]),
        (&json!(50), &json!(3), &json!(30))
    );
    let seen: Vec<serde_json::Value> = peer
        .seen()
        .iter()
        .map(|request| serde_json::from_str(request.split_once("\r\n\r\n").expect("a body").1).expect("JSON"))
        .collect();
    assert_eq!((seen[0].get("after"), &seen[1]["after"], &seen[2]["after"]), (None, &at(20), &at(40)));
    assert!(seen.iter().all(|body| body["from"]["seq"] == 1), "{seen:?}");
    // A server that turns in circles proves nothing.
    let peer = Peer::new([step(20, json!(null), at(20)), step(20, json!(null), at(20))]);
    run(&peer).says(&["does not get on"]);
}

#[tokio::test]
async fn finds_an_edit() {
    let inbox = Inbox::with_sample();
    inbox.json(&["mktask", "ti:sample", "delete-acct"]);
    let database = Database::Sqlite(inbox.path().join("inbox.db"));
    database.execute("UPDATE events SET body = '{}' WHERE seq = 2").await.expect("edited");
    let done = inbox.run(&["audit", "verify", "--json"]);
    assert_eq!(done.code, Some(1));
    let found: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((&found["ok"], &found["first_bad"]), (&json!(false), &json!(2)));
    assert!(inbox.run(&["audit", "verify"]).stdout.contains("NOT"));
}
