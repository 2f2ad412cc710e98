//! `audit verify`, `audit checkpoint`.

use serde_json::json;
use task_inbox_testkit::Database;

use crate::at_every_place;
use crate::inbox::{Inbox, SAMPLE};

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
