//! What only a terminal gets: colours, tables that fit, a question without an echo. `script` makes
//! one.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::inbox::{Inbox, Place, SAMPLE};
use crate::peer::{Peer, Reaction};

impl Inbox {
    /// Runs a command of the shell at a terminal of 70 columns, and types into it when it asks.
    fn at_terminal(&self, arguments: &str, settings: &[(&str, &str)], typed: &str) -> String {
        let line = format!("stty rows 20 cols 70; {} {arguments}", env!("CARGO_BIN_EXE_task-inbox"));
        let mut script = Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]).current_dir(self.path()).env_clear();
        script
            .env("PATH", std::env::var_os("PATH").expect("a path"))
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh");
        script.env("HOME", self.path()).envs(settings.iter().copied());
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().expect("script runs: apt-get install bsdutils");
        let (mut stdin, mut stdout) =
            (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut shown = Vec::new();
        if !typed.is_empty() {
            let mut byte = [0];
            while !shown.ends_with(b": ") {
                assert_eq!(
                    stdout.read(&mut byte).expect("readable"),
                    1,
                    "{}",
                    String::from_utf8_lossy(&shown)
                );
                shown.push(byte[0]);
            }
            stdin.write_all(typed.as_bytes()).expect("written");
        }
        stdout.read_to_end(&mut shown).expect("readable");
        child.wait().expect("it ends");
        String::from_utf8(shown).expect("UTF-8")
    }
}

#[test]
fn tables_fit_and_have_colours() {
    let inbox = Inbox::with_sample();
    let task = inbox.json(&["mktask", "ti:sample", "flag-content"])["task"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    inbox.json(&["decide", &task, "block"]);
    let url = format!("sqlite://{}", inbox.file("inbox.db"));
    let shown = inbox.at_terminal("tasks", &[("DATABASE_URL", &url)], "");
    assert!(shown.contains(&task) && shown.contains('…'), "{shown}");
    assert!(shown.contains("\u{1b}[1mID\u{1b}[0m") && shown.contains("\u{1b}[32mresol"), "{shown:?}");
    let shown = inbox.at_terminal("tasks", &[("DATABASE_URL", &url), ("NO_COLOR", "1")], "");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    for line in shown.lines() {
        assert!(line.trim_end().chars().count() <= 70, "{line}");
    }
    let refused = inbox.at_terminal("tasks other", &[("DATABASE_URL", &url)], "");
    assert!(refused.contains("\u{1b}[31mtask-inbox:\u{1b}[0m"), "{refused:?}");
    // What another program reads has neither.
    assert!(!inbox.run(&["tasks"]).ok().contains(['\u{1b}', '…']));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_typed_without_an_echo() {
    let inbox = Inbox::at(Place::Remote).await;
    inbox.install(SAMPLE).ok();
    let login = format!("login --server {}", inbox.url());
    let shown = inbox.at_terminal(&login, &[], &format!("x\u{7f}{}\n", inbox.key()));
    assert!(
        shown.contains("API key for http://127.0.0.1:") && shown.contains("you are the key ops"),
        "{shown}"
    );
    assert!(!shown.contains(inbox.key()), "{shown}");
    let shown = inbox.at_terminal(&format!("{login} --profile two"), &[], "half a ke\u{3}");
    assert!(shown.contains("given up"), "{shown}");
}

#[test]
fn what_takes_longer_than_a_second_shows_that_it_goes_on() {
    let inbox = Inbox::empty();
    let peer = Peer::new([Reaction::Wait]);
    let ask = format!("whoami --timeout 1500ms --server {} --api-key ti_key", peer.url());
    let shown = inbox.at_terminal(&ask, &[], "");
    assert!(shown.contains("waiting for the server, 1 s"), "{shown:?}");
    assert!(shown.contains("did not answer within 1.5 s"), "{shown:?}");
}

#[test]
fn what_can_not_be_written_is_no_success() {
    let inbox = Inbox::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let mut command = inbox.command(&["generate-keys"]);
    let done = command.stdout(full).stderr(Stdio::piped()).spawn().expect("it runs");
    let done = done.wait_with_output().expect("it ends");
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("could not be written to stdout") && said.lines().count() == 1, "{said}");
}
