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
fn the_manual_is_as_committed_and_leaves_nothing_out() {
    let inbox = Inbox::empty();
    let page = inbox.run(&["man"]).ok();
    let committed =
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where") + "/../docs/man/task-inbox.1";
    let committed =
        std::fs::read_to_string(committed).expect("docs/man/task-inbox.1 is there: make generate");
    assert!(page.trim_end() == committed.trim_end(), "docs/man/task-inbox.1 is old: make generate");
    for word in [
        "task\\-inbox audit checkpoint",
        "revoke_webhook_key",
        "\\-\\-overlap",
        "\\-\\-profile",
        "audit verify \\-\\-from",
    ] {
        assert!(page.contains(word), "{word}");
    }
}
