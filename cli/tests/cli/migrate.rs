//! `migrate`, and commands on a database that is not there or not up to date.

use crate::inbox::Inbox;

#[test]
fn up_and_down_and_up_again() {
    let inbox = Inbox::empty();
    let before = inbox.json(&["migrate", "status"]);
    let pending = before["pending"].as_array().expect("a list").clone();
    assert!(!pending.is_empty() && before["applied"] == serde_json::json!([]));
    assert_eq!(inbox.json(&["migrate", "up"])["applied"].as_array(), Some(&pending));
    assert_eq!(inbox.json(&["migrate", "up"])["applied"], serde_json::json!([]));
    assert!(inbox.run(&["migrate", "status"]).ok().contains("applied"));
    assert_eq!(inbox.run(&["migrate", "down"]).code, Some(1), "not without --yes");
    let down = inbox.json(&["migrate", "down", "--yes", &pending.len().to_string()]);
    assert_eq!(down["reverted"].as_array().map(Vec::len), Some(pending.len()));
    assert!(inbox.run(&["migrate", "up"]).ok().contains("applied"));
    assert_eq!(inbox.run(&["migrate", "down", "0"]).code, Some(2));
    assert_eq!(inbox.run(&["migrate"]).code, Some(2));
}

#[test]
fn what_is_missing_is_named_with_what_makes_it() {
    let inbox = Inbox::empty();
    inbox.run(&["schemas"]).says(&["no database at", "task-inbox migrate up"]);
    assert!(!inbox.path().join("inbox.db").exists(), "a look makes no database");
    let file = inbox.write("schema.yml", crate::inbox::SAMPLE);
    inbox.run(&["taskschema", &file]).says(&["task-inbox migrate up"]);
    inbox.run(&["migrate", "status"]).ok();
    inbox.run(&["taskschema", &file]).says(&["not up to date", "task-inbox migrate up"]);
    inbox.run(&["serve"]).says(&["not up to date", "task-inbox migrate up"]);
    inbox.run(&["serve", "--migrate"]).says(&["the database is empty", "TASK_INBOX_GENESIS"]);
}
