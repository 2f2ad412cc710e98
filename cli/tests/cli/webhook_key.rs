//! `webhook_key`.

use serde_json::json;

use crate::at_every_place;
use crate::inbox::{Inbox, SAMPLE};

at_every_place!(
    makes_keys_of_both_kinds,
    replaces_a_key_only_on_purpose,
    keeps_and_lists_what_is_unused,
    rotates_lists_and_ends,
);

const SIGNED: &str = "name: signed\nsemver: '1'\ndefault_hook_url: https://a.example/hook\ntasktypes:\n- name: t\n  resolved_states: [done]\n  hook_url: https://t.example/hook\n";

async fn makes_keys_of_both_kinds(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    let head = inbox.json(&["webhook_key", "ti:sample"]);
    assert_eq!((head["kind"].as_str(), head["key"].as_str().map(str::len)), (Some("head"), Some(43)));
    assert!(head["id"].is_string());
    inbox.install(SIGNED).ok();
    let hmac = inbox.json(&["webhook-key", "signed"]);
    assert!(hmac["kind"] == "hmac" && hmac["key"].as_str().expect("a key").starts_with("whsec_"));
    let own = inbox.json(&["webhook_key", "signed", "--type", "t"]);
    assert_eq!(own["url"], "https://t.example/hook");
    let listed = inbox.json(&["schemas"]);
    let schemas = listed["schemas"].as_array().expect("a list").iter();
    let endpoints: Vec<_> = schemas.filter_map(|s| s["endpoints"].as_array()).flatten().collect();
    assert!(endpoints.len() == 3 && endpoints.iter().all(|e| e["held"].is_null()), "{endpoints:?}");
}

async fn replaces_a_key_only_on_purpose(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    assert_eq!(inbox.json(&["webhook_key", "ti:sample", "--key", "local-key"])["key"], "local-key");
    inbox.run(&["webhook_key", "ti:sample"]).says(&["ti:sample", "--rotate"]);
    assert!(inbox.run(&["webhook_key", "ti:sample", "--rotate"]).ok().contains("not shown again"));
}

async fn keeps_and_lists_what_is_unused(inbox: Inbox) {
    inbox.install(SIGNED).ok();
    let id = inbox.json(&["webhook_key", "signed"])["id"].as_str().expect("an id").to_owned();
    let headed = SIGNED
        .replace("semver: '1'", "semver: '2'")
        .replace("tasktypes", "hook_auth: {kind: head, val: X-Key}\ntasktypes");
    let said = inbox.install(&headed);
    assert!(said.stderr.contains(&id) && said.stderr.contains("unused while hook_auth is head"), "{said:?}");
    inbox.json(&["webhook_key", "signed"]);
    inbox.json(&["webhook_key", "signed", "--rotate"]);
    let listed = inbox.run(&["webhook_keys"]).ok();
    let status = |word: &str| listed.lines().filter(|line| line.contains(word)).count();
    assert!(listed.lines().any(|line| line.contains(&id) && line.contains("unused")), "{listed}");
    assert_eq!((status("unused"), status("active")), (1, 1), "{listed}");
}

async fn rotates_lists_and_ends(inbox: Inbox) {
    inbox.install(SIGNED).ok();
    assert!(inbox.run(&["webhook_keys"]).ok().contains("task-inbox webhook_key SCHEMA"));
    let first = inbox.json(&["webhook_key", "signed"]);
    let second = inbox.json(&["webhook_key", "signed", "--rotate", "--overlap", "2h"]);
    let listed = inbox.json(&["webhook_keys", "signed"]);
    let of = |id: &serde_json::Value| {
        listed["webhook_keys"].as_array().expect("a list").iter().find(|k| k["id"] == *id).cloned()
    };
    assert!(of(&first["id"]).expect("kept for a while")["expires"].is_string());
    assert_eq!(of(&second["id"]).expect("new")["expires"], json!(null));
    assert!(!listed.to_string().contains("whsec_"), "no list holds a key");
    let shown = inbox.run(&["webhook-keys"]).ok();
    assert!(shown.contains("until ") && shown.contains("active"), "{shown}");
    let id = first["id"].as_str().expect("an id");
    assert!(inbox.run(&["revoke-webhook-key", id]).ok().contains("has ended"));
    inbox.run(&["revoke_webhook_key", id]).says(&["no webhook key", "or it has ended"]);
    inbox.run(&["webhook_key", "signed", "--overlap", "1h"]).refused(2);
    assert!(
        inbox.run(&["webhook_key", "signed", "--rotate", "--overlap", "long"]).refused(2).contains("12h")
    );
    inbox.run(&["webhook_key", "signed", "--rotate", "--overlap", "31d"]).says(&["30d"]);
}

#[test]
fn refuses_what_can_not_be() {
    let inbox = Inbox::with_sample();
    inbox.run(&["webhook_key", "other"]).says(&["other", "ti:sample"]);
    inbox.run(&["webhook_key", "ti:sample", "--type", "flag-content"]).says(&["leave out the type"]);
    inbox.install(SIGNED).ok();
    inbox.run(&["webhook_key", "signed", "--key", "plain"]).says(&["whsec_"]);
    let mut without = inbox.command(&["webhook_key", "ti:sample"]);
    let done: crate::inbox::Done =
        without.env_remove("TASK_INBOX_MASTER_KEY").output().expect("it runs").into();
    done.says(&["TASK_INBOX_MASTER_KEY is not set", "task-inbox generate-keys"]);
}

#[test]
fn dev_makes_a_master_key_beside_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let inbox = Inbox::new();
    inbox.install(SAMPLE).ok();
    let mut command = inbox.command(&["webhook_key", "ti:sample", "--dev"]);
    assert!(command.env_remove("TASK_INBOX_MASTER_KEY").output().expect("it runs").status.success());
    let file = std::fs::metadata(inbox.path().join("inbox.db.master-key")).expect("there");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    // Without --dev, commands find it.
    let mut command = inbox.command(&["webhook_key", "ti:sample", "--rotate"]);
    assert!(command.env_remove("TASK_INBOX_MASTER_KEY").output().expect("it runs").status.success());
}
