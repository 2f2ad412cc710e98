//! `completions`, `man`, `openapi`: what is generated.

use std::process::{Command, Stdio};

use crate::inbox::Inbox;

#[test]
fn completions_are_scripts_that_know_the_commands() {
    let inbox = Inbox::empty();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = inbox.run(&["completions", shell]).ok();
        assert!(script.contains("revoke_webhook_key") && script.contains("overlap"), "{shell}");
    }
    let file = inbox.write("completions.bash", &inbox.run(&["completions", "bash"]).ok());
    let status = Command::new("bash").args(["-n", &file]).stdin(Stdio::null()).status();
    assert!(status.expect("bash runs").success());
}

#[test]
fn every_page_of_the_manual_is_as_committed() {
    let inbox = Inbox::empty();
    let written = inbox.json(&["man", "--out", "."])["written"].as_array().expect("a list").clone();
    assert!(written.len() > 30, "{written:?}");
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/man");
    let names = std::fs::read_dir(committed).expect("docs/man is there: make generate").count();
    assert_eq!(names, written.len(), "docs/man is old: make generate");
    for name in written.iter().filter_map(|name| name.as_str()) {
        let page = std::fs::read_to_string(inbox.path().join(name)).expect("written");
        let is_group = ["task-inbox.1", "task-inbox-migrate.1", "task-inbox-audit.1", "task-inbox-config.1"]
            .contains(&name);
        assert!(is_group || page.contains("EXAMPLES"), "{name}");
        let old = std::fs::read_to_string(format!("{committed}/{name}")).unwrap_or_default();
        assert!(old == page, "docs/man/{name} is old: make generate");
    }
}
