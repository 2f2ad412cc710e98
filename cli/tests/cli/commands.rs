//! Every command at least once: its success, its `--json` and its refusal, at every place where it
//! works.

use std::cell::Cell;

use serde_json::Value;

use crate::at_every_place;
use crate::inbox::{Done, Inbox, SAMPLE};

/// No such thing.
const NONE: &str = "00000000-0000-0000-0000-000000000000";

/// Where a command works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// On a database and on a server.
    Anywhere,
    /// Only beside the database: a server is refused.
    Local,
    /// Its success takes more than a table: the file named tests it.
    In(&'static str),
}

use Reach::{Anywhere, In, Local};

/// One command. Arguments in braces are made by [`Inbox::argument`].
struct Case {
    command: &'static str,
    reach: Reach,
    /// What it is done with, and what it says then.
    done: (&'static [&'static str], &'static str),
    /// Members of its `--json`.
    members: &'static [&'static str],
    /// What it is refused with, the exit code, and what it says then.
    refused: (&'static [&'static str], i32, &'static str),
}

const fn case(
    command: &'static str,
    reach: Reach,
    done: (&'static [&'static str], &'static str),
    members: &'static [&'static str],
    refused: (&'static [&'static str], i32, &'static str),
) -> Case {
    Case { command, reach, done, members, refused }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("serve", In("serve.rs"), (&[], ""), &[], (&["--listen", "nowhere"], 1, "TASK_INBOX_LISTEN")),
    case("migrate up", Local, (&[], "up to date"), &["applied"], (&["now"], 2, "unexpected argument")),
    case("migrate status", Local, (&[], "applied"), &["applied", "pending"], (&["now"], 2, "unexpected argument")),
    case("migrate down", In("migrate.rs"), (&[], ""), &[], (&[], 1, "--yes")),
    case("taskschema", Anywhere, (&["{file}"], "installed "), &["name", "semver", "version", "breaking", "changes", "warnings"],
        (&["{broken}"], 1, "line 2, column")),
    case("rmschema", Anywhere, (&["{schema}", "--yes"], "removed "), &["name", "versions", "tasks", "deleted"],
        (&["{schema}"], 1, "--yes")),
    case("schemas", Anywhere, (&[], "ti:sample"), &["schemas"], (&["x"], 2, "unexpected argument")),
    case("tasktypes", Anywhere, (&["ti:sample"], "level1, level2"), &["schema", "semver", "types"],
        (&["other"], 1, "no schema \"other\"")),
    case("mktask", Anywhere, (&["ti:sample", "flag-content"], "posted "), &["task", "ttype"],
        (&["ti:sample", "x"], 1, "delete-acct, flag-content")),
    case("wait", Anywhere, (&["{decided}"], " is block"), &["task", "ttype"], (&[NONE, "--for", "1s"], 1, NONE)),
    case("decide", Anywhere, (&["{task}", "block"], " is block now"), &["task"], (&["{task}", "x"], 1, "block, allow")),
    case("amend", Anywhere, (&["{task}", "--meta", "{\"n\":1}"], "is changed, at version 2"), &["task"],
        (&[NONE, "--meta", "{\"n\":1}"], 1, NONE)),
    case("cancel", Anywhere, (&["{task}", "--reason", "x"], "is withdrawn"), &["task"], (&[NONE], 1, NONE)),
    case("tasks", Anywhere, (&["ti:sample", "flag-content"], "flag-content"), &["tasks", "types", "next_cursor"],
        (&["other"], 1, "no schema \"other\"")),
    case("api_key", Anywhere, (&["--name", "x"], "not shown again"),
        &["id", "key", "name", "hint", "schemas", "permissions", "rate", "created", "expires", "warnings"],
        (&["--name", "x", "--key", "short"], 1, "8 to 512")),
    case("api_keys", Anywhere, (&[], "tasks:write"), &["api_keys"], (&["x"], 2, "unexpected argument")),
    case("revoke_key", Anywhere, (&["{key}"], "is revoked"), &["id", "revoked"], (&[NONE], 1, "no API key")),
    case("webhook_key", Anywhere, (&["ti:sample", "--rotate"], "not shown again"), &["id", "key", "kind", "url", "warnings"],
        (&["other"], 1, "no schema \"other\"")),
    case("webhook_keys", Anywhere, (&["ti:sample"], "head"), &["webhook_keys"], (&["a", "b"], 2, "unexpected argument")),
    case("revoke_webhook_key", Anywhere, (&["{webhook_key}"], "has ended"), &["id", "expires"], (&[NONE], 1, NONE)),
    case("endpoints", Anywhere, (&[], "localhost:5001"), &["endpoints"], (&[NONE], 1, NONE)),
    case("endpoints add", Anywhere, (&["https://8.8.8.8/hook", "--event", "task.commented"], "not shown again"),
        &["id", "key", "url", "warnings"], (&["ftp://8.8.8.8/"], 1, "http:// or https://")),
    case("endpoints update", Anywhere, (&["{endpoint}", "--rate", "5/s"], "is changed"), &["id", "rate", "warnings"],
        (&[NONE, "--rate", "5/s"], 1, NONE)),
    case("endpoints rm", Anywhere, (&["{endpoint}", "--yes"], "deleted "), &["id", "withdrawn"], (&["{endpoint}"], 1, "--yes")),
    case("endpoints pause", Anywhere, (&["{endpoint}"], "is paused"), &["id", "status", "held"], (&[NONE], 1, NONE)),
    case("endpoints resume", Anywhere, (&["{paused}"], "is active"), &["id", "status", "held"], (&[NONE], 1, NONE)),
    case("endpoints test", In("endpoints.rs"), (&[], ""), &[], (&[NONE], 1, NONE)),
    case("deliveries", Anywhere, (&[], "task.state_changed"), &["deliveries", "next_cursor"], (&[NONE], 1, NONE)),
    case("deliveries resend", Anywhere, (&["{delivery}"], "is sent again as"), &["delivery", "attempts"], (&[NONE], 1, NONE)),
    case("deliveries replay", Anywhere, (&["{endpoint}", "--dead"], "is running"), &["id", "status", "resent"],
        (&[NONE], 2, "--dead")),
    case("deliveries replays", Anywhere, (&[], "RESENT"), &["replays"], (&[NONE], 1, NONE)),
    case("deliveries cancel", In("deliveries.rs"), (&[], ""), &[], (&[NONE], 1, NONE)),
    case("listen", Anywhere, (&["--print", "--from-start", "--until", "2"], "task.created ti:sample flag-content"),
        &["events", "cursor", "secret"], (&["--print", "--after", "x"], 1, "is not a cursor")),
    case("maintenance on", Anywhere, (&["--schema", "{schema}"], "is in maintenance"),
        &["schema", "message", "retry_after", "hold_deliveries", "since", "by"],
        (&["--schema", "other"], 1, "no schema \"other\"")),
    case("maintenance status", Anywhere, (&[], "the schema s"), &["maintenance"], (&["x"], 2, "unexpected argument")),
    case("maintenance off", Anywhere, (&["--schema", "{maintained}"], "has ended"), &["schema", "since"],
        (&["--schema", "ti:sample"], 1, "is not in maintenance")),
    case("audit verify", Anywhere, (&[], "the log is whole"), &["ok", "events", "first_bad", "proved_from"],
        (&["--from", "{forged}"], 1, "not signed")),
    case("audit checkpoint", Anywhere, (&[], "signature"), &["seq", "hash", "signature"], (&["x"], 2, "unexpected argument")),
    case("audit checkpoints", Anywhere, (&[], "HASH"), &["checkpoints"], (&["x"], 2, "unexpected argument")),
    case("whoami", Anywhere, (&[], "you are the "), &["kind", "permissions", "schemas", "version"], (&["x"], 2, "unexpected argument")),
    case("rekey", Anywhere, (&[], "every webhook key is encrypted under the master key 1"), &["moved", "remaining", "master_key_id"],
        (&["x"], 2, "unexpected argument")),
    case("post_task", In("post_task.rs"), (&[], ""), &[], (&[], 1, "LOCAL_INBOUND_API_KEY is not set")),
    case("mcp", In("mcp.rs"), (&[], ""), &[], (&["x"], 2, "unexpected argument")),
    case("login", In("login.rs"), (&[], ""), &[], (&["--timeout", "soon"], 2, "--timeout")),
    case("logout", In("login.rs"), (&[], ""), &[], (&["--profile", "none"], 1, "profile")),
    case("doctor", In("doctor.rs"), (&[], ""), &[], (&["x"], 2, "unexpected argument")),
    case("config check", In("config.rs"), (&[], ""), &[], (&["x"], 2, "unexpected argument")),
    case("config show", Local, (&[], "DATABASE_URL"), &["DATABASE_URL", "TASK_INBOX_MASTER_KEY"], (&["x"], 2, "unexpected argument")),
    case("config docs", Local, (&[], "# Configuration"), &["docs/CONFIG.md", ".env.example"],
        (&["--write"], 1, "docs/CONFIG.md can't be written")),
    case("generate-keys", Local, (&[], "TASK_INBOX_MASTER_KEY="), &["TASK_INBOX_MASTER_KEY"], (&["x"], 2, "unexpected argument")),
    case("openapi", Local, (&[], "\"openapi\""), &["openapi", "paths"], (&["x"], 2, "unexpected argument")),
    case("completions", Local, (&["bash"], "complete -F"), &["shell", "script"], (&["cmd.exe"], 2, "bash, elvish, fish")),
    case("verify", Local, (&["{body}", "--headers", "{headers}", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "--at", "1614265331"],
        "the signature is right; it was sent 1 s ago"), &["ok", "signature", "secret", "age_seconds", "problems"],
        (&["none.json", "--secret", "x"], 1, "none.json can't be read")),
    case("man", Local, (&[], ".TH task-inbox 1"), &["page"], (&["x"], 2, "unexpected argument")),
];

/// Whether an argument stands for something that is made for the command, and is no JSON.
fn is_made(argument: &str) -> bool {
    argument.starts_with('{') && !argument.contains('"')
}

impl Inbox {
    /// What stands for an argument in braces: something new that the command can work on.
    fn argument(&self, name: &str) -> String {
        thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
        let number = COUNT.get() + 1;
        COUNT.set(number);
        let text = |json: &Value| json.as_str().expect("a text").to_owned();
        let schema =
            format!("name: s{number}\nsemver: '1'\ntasktypes:\n- name: t\n  resolved_states: [done]\n");
        match name {
            "{file}" => self.write(&format!("s{number}.yml"), &schema),
            "{broken}" => self.write("broken.yml", "name: x\nsemver: y\n"),
            "{schema}" => text(&self.json(&["taskschema", &self.write("s.yml", &schema)])["name"]),
            "{maintained}" => {
                let schema = self.argument("{schema}");
                self.json(&["maintenance", "on", "--schema", &schema]);
                schema
            }
            "{task}" => text(&self.json(&["mktask", "ti:sample", "flag-content"])["task"]["id"]),
            "{decided}" => text(&self.json(&["decide", &self.argument("{task}"), "block"])["task"]["id"]),
            "{key}" => text(&self.json(&["api_key", "--name", "gone"])["id"]),
            "{webhook_key}" => text(&self.json(&["webhook_key", "ti:sample", "--rotate"])["id"]),
            "{endpoint}" => {
                let url = "https://8.8.8.8/hook";
                text(&self.json(&["endpoints", "add", url, "--event", "task.commented"])["id"])
            }
            "{paused}" => text(&self.json(&["endpoints", "pause", &self.argument("{endpoint}")])["id"]),
            "{delivery}" => text(&self.json(&["deliveries", "--limit", "1"])["deliveries"][0]["id"]),
            "{body}" => self.write("body.json", r#"{"test": 2432232314}"#),
            "{headers}" => self.write(
                "headers.txt",
                "POST /hook HTTP/1.1\nHost: a.example\nWebhook-Id: msg_p5jXN8AQM9LWM0D4loKWxJek\nwebhook-timestamp: 1614265330\n\
                 WEBHOOK-SIGNATURE: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n",
            ),
            "{forged}" => {
                let mut checkpoint = self.json(&["audit", "checkpoint"]);
                checkpoint["hash"] = "0".repeat(64).into();
                checkpoint.to_string()
            }
            other => other.to_owned(),
        }
    }

    /// Runs a command with arguments of the table.
    fn run_case(&self, command: &str, arguments: &[&str], more: &[&str]) -> Done {
        let made: Vec<_> = arguments.iter().map(|name| self.argument(name)).collect();
        let words = command.split(' ').chain(made.iter().map(String::as_str)).chain(more.iter().copied());
        self.run(&words.collect::<Vec<_>>())
    }
}

#[test]
fn every_command_has_an_entry() {
    let mut entries: Vec<_> = CASES.iter().map(|case| case.command.to_owned()).collect();
    let mut commands = task_inbox_cli::command_names();
    entries.sort();
    commands.sort();
    assert_eq!(entries, commands);
    for case in CASES {
        if let In(file) = case.reach {
            let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where");
            let path = format!("{manifest}/tests/cli/{file}");
            let tests = std::fs::read_to_string(path).expect(file);
            let words: Vec<_> = case.command.split(' ').map(|word| format!("\"{word}\"")).collect();
            assert!(tests.contains(&words.join(", ")), "{file} never runs {}", case.command);
            // A server's answers are its JSON.
            let asks_for_json = tests.contains("--json") || tests.contains(".json(");
            assert!(case.command == "serve" || asks_for_json, "{file} never asks for JSON");
        }
    }
}

at_every_place!(every_command_is_done_and_refused);

async fn every_command_is_done_and_refused(inbox: Inbox) {
    inbox.install(SAMPLE).ok();
    let first = inbox.argument("{task}");
    inbox.json(&["decide", &first, "block"]);
    let here = |case: &&Case| case.reach == Anywhere || (case.reach == Local && !inbox.is_remote());
    for case in CASES.iter().filter(here) {
        let command = case.command;
        let said = inbox.run_case(command, case.done.0, &[]);
        assert!(said.code == Some(0) && said.stdout.contains(case.done.1), "{command}: {said:?}");
        let json = inbox.run_case(command, case.done.0, &["--json"]).json();
        for member in case.members {
            assert!(json.get(member).is_some(), "{command}: no {member} in {json}");
        }
        // Both spellings are one command.
        let other = if command.contains('_') { command.replace('_', "-") } else { command.replace('-', "_") };
        assert_eq!(inbox.run_case(&other, case.done.0, &["--json"]).code, Some(0), "{other}");
    }
    for case in CASES {
        let (arguments, code, words) = case.refused;
        let is_serve = case.command == "serve" || case.command.starts_with("migrate down");
        if inbox.is_remote() && (is_serve || case.reach == Local && code == 1) {
            continue;
        }
        for json in [&[][..], &["--json"]] {
            let said = inbox.run_case(case.command, arguments, json).refused(code);
            assert!(said.starts_with("task-inbox: ") && said.contains(words), "{}: {said}", case.command);
        }
    }
}

#[test]
fn what_is_local_by_nature_refuses_a_server() {
    let inbox = Inbox::new();
    let local = ["serve", "migrate", "config", "generate-keys", "openapi", "completions", "man", "verify"];
    for case in CASES.iter().filter(|case| local.contains(&case.command.split(' ').next().expect("a word"))) {
        let server = ["--server", "http://127.0.0.1:1"];
        let needs_some = ["completions", "verify"].contains(&case.command);
        let arguments = if needs_some { case.done.0 } else { &[] };
        let said = inbox.run_case(case.command, arguments, &server).refused(2);
        assert!(said.contains("not over HTTP") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn without_a_database_every_request_says_what_makes_one() {
    let inbox = Inbox::empty();
    for case in CASES.iter().filter(|case| case.reach == Anywhere && case.command != "taskschema") {
        let arguments: Vec<_> = case.done.0.iter().map(|a| if is_made(a) { NONE } else { a }).collect();
        inbox.run_case(case.command, &arguments, &[]).says(&["no database at", "task-inbox migrate up"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_none_is_refused_by_every_request() {
    let inbox = Inbox::at(crate::inbox::Place::Remote).await;
    inbox.install(SAMPLE).ok();
    for case in CASES.iter().filter(|case| case.reach == Anywhere && case.command != "taskschema") {
        let arguments: Vec<_> = case.done.0.iter().map(|a| if is_made(a) { NONE } else { a }).collect();
        let wrong = ["--api-key", "ti_no_such_key"];
        inbox.run_case(case.command, &arguments, &wrong).says(&["refused the key", "task-inbox login"]);
    }
}
