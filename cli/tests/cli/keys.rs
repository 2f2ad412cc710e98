//! `api_key`, `api_keys`, `revoke_key`.

use serde_json::json;

use crate::at_every_place;
use crate::inbox::{Inbox, SAMPLE};

at_every_place!(makes_lists_and_revokes, a_given_key_is_kept_with_a_warning_if_it_is_short);

async fn makes_lists_and_revokes(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    let before = inbox.json(&["api_keys"])["api_keys"].as_array().map_or(0, Vec::len);
    if before == 0 {
        assert!(inbox.run(&["api_keys"]).ok().contains("task-inbox api_key --name"));
    }
    let made = inbox.json(&[
        "api-key",
        "--name",
        "ci",
        "--schema",
        "ti:sample",
        "--permission",
        "tasks:read",
        "--expires",
        "90d",
        "--rate",
        "100/s",
    ]);
    assert_eq!((&made["name"], &made["schemas"]), (&json!("ci"), &json!(["ti:sample"])));
    assert_eq!((&made["permissions"], &made["rate"]), (&json!(["tasks:read"]), &json!("100/s")));
    assert!(made["expires"].is_string() && made["warnings"] == json!([]));
    let key = made["key"].as_str().expect("a key");
    assert!(key.starts_with("ti_") && key.len() == 46);
    let plain = inbox.run(&["api_key", "--name", "app"]).ok();
    assert!(plain.starts_with("ti_") && plain.contains("not shown again"), "{plain}");

    let listed = inbox.json(&["api_keys"]);
    assert_eq!(listed["api_keys"].as_array().map(Vec::len), Some(before + 2));
    assert_eq!(listed["api_keys"][before + 1]["permissions"], json!(["tasks:write", "tasks:read"]));
    assert!(!listed.to_string().contains(key) && !inbox.run(&["api-keys"]).ok().contains(key));
    let id = made["id"].as_str().expect("an id");
    assert!(inbox.json(&["revoke_key", id])["revoked"].is_string());
    assert!(inbox.run(&["api_keys"]).ok().contains("revoked"));
    inbox
        .run(&["revoke_key", "00000000-0000-0000-0000-000000000000"])
        .says(&["no API key", "task-inbox api_keys"]);
}

async fn a_given_key_is_kept_with_a_warning_if_it_is_short(inbox: Inbox) {
    let done = inbox.run(&["api_key", "--name", "old", "--key", "local-dev-key", "--json"]);
    assert!(done.stderr.contains("13 characters"), "{done:?}");
    assert_eq!(done.json()["key"], "local-dev-key");
    inbox.run(&["api_key", "--name", "old", "--key", "local-dev-key"]).says(&["exists already"]);
    inbox.run(&["api_key", "--name", "old", "--key", "short"]).says(&["8 to 512"]);
}

#[test]
fn wrong_arguments_are_usage() {
    let inbox = Inbox::new();
    for (arguments, word) in [
        (&["api_key"][..], "--name"),
        (&["api_key", "--name", "x", "--permission", "tasks:eat"], "tasks:resolve"),
        (&["api_key", "--name", "x", "--expires", "soon"], "90d"),
        (&["api_key", "--name", "x", "--rate", "fast"], "100/s"),
        (&["revoke_key", "x"], "<ID>"),
    ] {
        let said = inbox.run(arguments).refused(2);
        assert!(said.contains(word), "{said}");
    }
}
