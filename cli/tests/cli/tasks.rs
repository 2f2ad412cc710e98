//! `mktask`, `decide`, `tasks`.

use serde_json::json;
use task_inbox_testkit::Receiver;
use task_inbox_testkit::receiver::Behaviour;
use task_inbox_testkit::signature::Secret;

use crate::at_every_place;
use crate::inbox::{Done, Inbox, SAMPLE, schema_to};

at_every_place!(
    posts_decides_and_lists,
    the_same_external_id_makes_one_task,
    refuses_with_what_could_be,
    shows_why_a_guard_refuses,
);

async fn posts_decides_and_lists(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    let made =
        inbox.json(&["mktask", "ti:sample", "flag-content", "--meta", r#"{"url":"x"}"#, "--state", "level1"]);
    assert_eq!((&made["ttype"], &made["task"]["state"]), (&json!("flag-content"), &json!("level1")));
    assert_eq!(made["task"]["meta"], json!({"url": "x"}));
    let id = made["task"]["id"].as_str().expect("an id");
    assert!(inbox.run(&["mktask", "ti:sample", "delete-acct"]).ok().starts_with("posted "));
    let decided = inbox.json(&["decide", id, "block", "--reason", "spam", "--if-version", "1"]);
    assert_eq!((&decided["task"]["phase"], &decided["task"]["version"]), (&json!("resolved"), &json!(2)));
    let count = |arguments: &[&str]| inbox.json(arguments)["tasks"].as_array().map(Vec::len);
    assert_eq!(count(&["tasks"]), Some(2));
    assert_eq!(count(&["tasks", "ti:sample", "flag-content"]), Some(1));
    assert_eq!(count(&["tasks", "ti:sample", "flag-content", "--resolved", "un"]), Some(0));
    assert_eq!(count(&["tasks", "--resolved", "un"]), Some(1));
    let page = inbox.json(&["tasks", "--limit", "1"]);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let last = inbox.json(&["tasks", "--limit", "1", "--cursor", cursor]);
    assert!(last["next_cursor"].is_null() && last["tasks"][0]["id"] != page["tasks"][0]["id"]);
    assert!(inbox.run(&["tasks"]).ok().contains("block"));
    assert_eq!(inbox.json(&["decide", id, "unset"])["task"]["state"], json!(null));
}

async fn the_same_external_id_makes_one_task(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    let post = ["mktask", "ti:sample", "delete-acct", "--external-id", "a"];
    let first = inbox.json(&post);
    assert_eq!(inbox.json(&post)["task"]["id"], first["task"]["id"]);
    assert!(inbox.run(&post).ok().contains("was there already"));
    let other = [&post[..], &["--meta", "{}"]].concat();
    inbox.run(&other).says(&["other content"]);
}

async fn refuses_with_what_could_be(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    inbox.run(&["mktask", "other", "t"]).says(&["other", "ti:sample"]);
    inbox.run(&["mktask", "ti:sample", "t"]).says(&["delete-acct, flag-content"]);
    inbox
        .run(&["mktask", "ti:sample", "flag-content", "--state", "x"])
        .says(&["level1, level2, block, allow"]);
    let made = inbox.json(&["mktask", "ti:sample", "flag-content"]);
    let id = made["task"]["id"].as_str().expect("an id");
    inbox.run(&["decide", id, "x"]).says(&["block, allow"]);
    inbox.run(&["decide", id, "block", "--if-version", "7"]).says(&["version 1"]);
    inbox.json(&["decide", id, "block"]);
    inbox.run(&["decide", id, "allow"]).says(&["block", "allow"]);
    inbox.run(&["decide", "00000000-0000-0000-0000-000000000000", "allow"]).says(&["no task"]);
    inbox.run(&["tasks", "other"]).says(&["ti:sample"]);
    inbox.run(&["tasks", "ti:sample", "x"]).says(&["flag-content"]);
    for usage in [
        &["mktask", "ti:sample", "flag-content", "--meta", "[]"][..],
        &["mktask", "ti:sample"],
        &["decide", "x", "y"],
        &["tasks", "--resolved", "some"],
        &["tasks", "--cursor", "x"],
        &["tasks", "--limit", "501"],
    ] {
        inbox.run(usage).refused(2);
    }
}

async fn shows_why_a_guard_refuses(inbox: Inbox) {
    let application = Receiver::start().await.expect("an application");
    let hook = application.url("/hook");
    let schema = format!("{}  guard: {{url: '{}'}}\n", schema_to(&hook), application.url("/may"));
    let no_key = inbox.install(&schema).stderr;
    assert!(no_key.contains("the guard of t can't be asked without a key"), "{no_key}");
    let key = inbox.json(&["webhook_key", "s"])["key"].as_str().expect("a key").to_owned();
    application.expect_secret("/may", Secret::parse(&key).expect("a secret"));
    let made = inbox.json(&["mktask", "s", "t"]);
    let id = made["task"]["id"].as_str().expect("an id");
    let decide = || {
        let mut command = inbox.command(&["decide", id, "done"]);
        // Where there is no server, the command itself asks.
        command.env("TASK_INBOX_ALLOW_NETS", "127.0.0.0/8");
        Done::from(command.output().expect("it runs"))
    };
    application.behave(Behaviour::Say(r#"{"allow": false, "reason": "the order is shipped"}"#));
    let refused = decide().refused(1);
    assert_eq!(refused, "task-inbox: the application server refused: the order is shipped\n");
    application.behave(Behaviour::Answer(204));
    assert_eq!(decide().ok(), format!("{id} is done now\n"));
    let asked: Vec<_> = application.journal().into_iter().filter(|a| a.path == "/may").collect();
    assert!(asked.len() == 2 && asked.iter().all(|a| a.is_authentic == Some(true)), "{asked:?}");
    assert_eq!(inbox.json(&["tasks"])["tasks"][0]["state"], "done");
}
