//! `taskschema`, `rmschema`, `schemas`, `tasktypes`.

use serde_json::json;

use crate::at_every_place;
use crate::inbox::{Inbox, SAMPLE};

at_every_place!(
    installs_and_lists,
    shows_what_would_change,
    refuses_what_can_not_be_installed,
    removes_only_on_purpose,
);

async fn installs_and_lists(inbox: Inbox) {
    assert!(inbox.run(&["schemas"]).ok().contains("task-inbox taskschema FILE"));
    let file = inbox.write("sample.yml", SAMPLE);
    let dry = inbox.json(&["taskschema", &file, "--dryrun"]);
    assert_eq!(inbox.json(&["schemas"])["schemas"], json!([]));
    let done = inbox.json(&["taskschema", &file]);
    assert_eq!(
        (&dry["name"], &dry["version"], &dry["changes"]),
        (&done["name"], &done["version"], &done["changes"])
    );
    assert_eq!(
        (&done["name"], &done["semver"], &done["version"]),
        (&json!("ti:sample"), &json!("1"), &json!(1))
    );
    assert_eq!((&done["breaking"], &done["changes"]), (&json!(false), &json!([])));
    assert!(done["warnings"][0].as_str().expect("a text").contains("task-inbox webhook_key ti:sample"));
    if !inbox.is_remote() {
        assert!(done["warnings"][1].as_str().expect("a text").contains("127.0.0.1 is refused"));
    }
    let listed = &inbox.json(&["schemas"])["schemas"][0];
    assert_eq!(
        (&listed["types"][0]["name"], &listed["types"][1]["name"]),
        (&json!("delete-acct"), &json!("flag-content"))
    );
    assert_eq!(listed["endpoints"][0]["held"], "no_key");
    assert!(inbox.run(&["schemas"]).ok().contains("ti:sample"));
    let types = inbox.json(&["tasktypes", "ti:sample"]);
    assert_eq!(types["types"][1]["resolved_states"], json!(["block", "allow"]));
    assert!(inbox.run(&["task-types", "ti:sample"]).ok().contains("level1, level2"));
}

#[test]
fn takes_a_file_from_stdin() {
    use std::io::Write;
    let inbox = Inbox::new();
    let mut command = inbox.command(&["taskschema", "-"]);
    let child = command
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn();
    let mut child = child.expect("it runs");
    child.stdin.take().expect("piped").write_all(SAMPLE.as_bytes()).expect("written");
    assert!(child.wait_with_output().expect("it ends").status.success());
}

async fn shows_what_would_change(inbox: Inbox) {
    let of = |semver: &str, from: &str, to: &str| {
        SAMPLE.replace("semver: '1'", &format!("semver: '{semver}'")).replace(from, to)
    };
    let dry = |schema: &str| inbox.run(&["taskschema", &inbox.write("dry.yml", schema), "--dryrun"]);
    assert!(dry(SAMPLE).ok().contains("ti:sample 1\nthe first version, and may be installed"));
    inbox.install(SAMPLE).ok();
    let more = of("1.1", "['deleted']", "['deleted', 'kept']");
    let shown = dry(&more).ok();
    assert!(
        shown.contains("+ delete-acct: the state kept is new\n") && shown.contains("\ncompatible"),
        "{shown}"
    );
    // What would be refused is shown all the same, with exit code 1.
    let less = dry(&of("1.1", "'block', ", ""));
    assert!(
        less.code == Some(1) && less.stdout.contains("! flag-content: the state block is gone"),
        "{less:?}"
    );
    assert!(
        less.stdout.contains("\nwould be refused: ") && less.stdout.contains("raise the major"),
        "{less:?}"
    );
    let less = of("2", "'block', ", "");
    assert!(dry(&less).ok().contains("\nbreaking, and may be installed"));
    let json = inbox.json(&["taskschema", &inbox.file("dry.yml"), "--dry-run"]);
    assert_eq!(
        (&json["verdict"], &json["breaking"], &json["version"]),
        (&json!("breaking"), &json!(true), &json!(2))
    );
    dry(SAMPLE).says(&["installed already"]);
    assert_eq!(inbox.json(&["schemas"])["schemas"][0]["semver"], "1", "nothing was installed");
}

async fn refuses_what_can_not_be_installed(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    inbox.install(SAMPLE).says(&["ti:sample", "installed already", "semver"]);
    inbox.run(&["taskschema", "nowhere.yml"]).says(&["nowhere.yml", "can't be read"]);
    let wrong = inbox.install("name: x\nsemver: y\ncolour: red\n").refused(1);
    assert!(
        wrong.lines().count() > 2 && wrong.contains("line 2, column") && wrong.contains("colour"),
        "{wrong}"
    );
    let breaking = SAMPLE.replace("semver: '1'", "semver: '1.1'").replace("'deleted'", "'gone'");
    assert!(inbox.install(&breaking).refused(1).contains("force"));
    let file = inbox.file("schema.yml");
    assert_eq!(inbox.json(&["taskschema", &file, "--force"])["breaking"], true);
    inbox.run(&["tasktypes", "other"]).says(&["other", "ti:sample"]);
}

async fn removes_only_on_purpose(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    inbox.json(&["mktask", "ti:sample", "delete-acct"]);
    inbox.run(&["rmschema", "ti:sample"]).says(&["1 tasks", "--yes"]);
    let dry = inbox.json(&["rmschema", "ti:sample", "--dryrun", "--yes"]);
    assert_eq!(dry, json!({"name": "ti:sample", "versions": 1, "tasks": 1, "deleted": false}));
    let done = inbox.json(&["rm_schema", "ti:sample", "--yes"]);
    assert_eq!(done, json!({"name": "ti:sample", "versions": 1, "tasks": 1, "deleted": true}));
    inbox.run(&["rmschema", "ti:sample", "--yes"]).says(&["no schema \"ti:sample\""]);
    inbox.install(SAMPLE).ok();
}
