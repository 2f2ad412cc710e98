//! What each command is used for, as its `--help` shows it.

use std::fmt::Write;

use clap::Command;

/// A command line, without the program's name, and what it is for.
type Example = (&'static str, &'static str);

/// A command, by its words, and its examples.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "serve",
        &[
            ("serve --dev", "try it: everything is made that is missing"),
            ("serve --migrate --genesis", "the first start in earnest, with TASK_INBOX_MASTER_KEY in .env"),
            (
                "serve --listen 0.0.0.0:8080 --roles api",
                "a replica that answers requests and sends no webhooks",
            ),
        ],
    ),
    ("migrate up", &[("migrate up", "before a new version starts; also makes a new database")]),
    (
        "migrate down",
        &[("migrate down 1 --yes", "take back the latest migration, and what is in its tables")],
    ),
    ("migrate status", &[("migrate status", "what is applied and what is pending")]),
    (
        "taskschema",
        &[
            (
                "taskschema sample.yml --dryrun",
                "what differs from the latest version, and whether it may be installed",
            ),
            ("taskschema sample.yml", "install it"),
            ("taskschema - --server https://inbox.example.com", "install what stdin holds on a server"),
        ],
    ),
    (
        "rmschema",
        &[
            ("rmschema ti:sample --dryrun", "what would go"),
            ("rmschema ti:sample --yes", "remove it with its tasks, for good"),
        ],
    ),
    ("schemas", &[("schemas", "names, versions, task types, and what holds webhooks up")]),
    ("tasktypes", &[("tasktypes ti:sample", "the states that tasks of a schema can take")]),
    (
        "mktask",
        &[
            ("mktask ti:sample flag-content", "post a task"),
            (
                r#"mktask ti:sample flag-content --meta '{"url": "https://example.com/17"}' --external-id post-17"#,
                "with something to look at, and a name that makes no second task",
            ),
            (
                "mktask ti:sample flag-content --callback-url https://hooks.example.com/post/17",
                "and somewhere else to tell of it, which its schema allows",
            ),
        ],
    ),
    (
        "decide",
        &[
            ("decide 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 block --reason spam", "move a task to a state"),
            ("decide 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 unset", "take the decision back"),
        ],
    ),
    (
        "amend",
        &[(
            "amend 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --meta '{\"amount\": 12}'",
            "merge this into what the task says",
        )],
    ),
    (
        "wait",
        &[
            (
                "wait 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --json",
                "until somebody decides, over restarts of the server",
            ),
            ("wait 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --for 10m", "exit code 1 if nobody has by then"),
        ],
    ),
    ("cancel", &[("cancel 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --reason 'done by hand'", "withdraw a task")]),
    (
        "tasks",
        &[
            ("tasks --resolved un", "what waits for a decision, oldest first"),
            ("tasks ti:sample flag-content --limit 20", "tasks of one type"),
        ],
    ),
    (
        "api_key",
        &[
            ("api_key --name shop --schema ti:sample", "for an application server: posts and reads"),
            (
                "api_key --name ops --permission tasks:resolve --permission tasks:read --expires 90d --rate 100/s",
                "for a tool that decides, for a while, not too fast",
            ),
        ],
    ),
    ("api_keys", &[("api_keys", "who has one, and when it was last used")]),
    (
        "revoke_key",
        &[("revoke_key 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "whoever has it is refused within a second")],
    ),
    (
        "webhook_key",
        &[
            ("webhook_key ti:sample", "the first key; what waited for it goes out"),
            ("webhook_key ti:sample --rotate --overlap 24h", "a new one, while the old one still signs, too"),
            (
                "webhook_key ti:sample --type delete-acct --key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "take over a key, for a type that has its own endpoint",
            ),
            (
                "webhook_key --endpoint 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --rotate",
                "a new one for an endpoint that was registered",
            ),
        ],
    ),
    ("webhook_keys", &[("webhook_keys ti:sample", "which keys sign, and until when")]),
    (
        "revoke_webhook_key",
        &[("revoke_webhook_key 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "it signs nothing from now on")],
    ),
    (
        "endpoints",
        &[
            ("endpoints", "where webhooks go, and how many wait"),
            ("endpoints --schema ti:sample --status disabled", "those that answered 410, or failed for days"),
        ],
    ),
    (
        "endpoints add",
        &[
            (
                "endpoints add https://shop.example/hooks --schema ti:sample --state block --rate 100/s",
                "some events of one schema, not too fast",
            ),
            (
                "endpoints add https://ntfy.sh/my-topic --format ntfy --event task.created",
                "somebody's phone shows new tasks",
            ),
            (
                "endpoints add https://ops.example/alarms --event endpoint.disabled --event delivery.dead --header 'x-tenant: shop'",
                "what operators want to hear of",
            ),
        ],
    ),
    (
        "endpoints update",
        &[
            ("endpoints update 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --rate 20/s", "not so fast"),
            (
                "endpoints update 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --unset states --unset rate",
                "events of all states again, at any rate",
            ),
        ],
    ),
    (
        "endpoints rm",
        &[("endpoints rm 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --yes", "with what waits for it")],
    ),
    (
        "endpoints pause",
        &[(
            "endpoints pause 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --message 'the shop is being deployed'",
            "deliveries wait, none is lost",
        )],
    ),
    (
        "endpoints resume",
        &[("endpoints resume 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "what waited goes out, in its order")],
    ),
    (
        "endpoints test",
        &[("endpoints test 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "is it reached, and does it verify?")],
    ),
    (
        "deliveries",
        &[
            ("deliveries --status dead", "what was given up"),
            ("deliveries --task 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "everything that a task sent"),
            ("deliveries 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "one, with each attempt and its answer"),
        ],
    ),
    (
        "deliveries resend",
        &[("deliveries resend 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "once more, whatever became of it")],
    ),
    (
        "deliveries replay",
        &[
            (
                "deliveries replay 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --dead --dry-run",
                "how many were given up",
            ),
            (
                "deliveries replay 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --since 2h --watch",
                "the receiver lost what it was sent in the last two hours",
            ),
            (
                "deliveries replay 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --since 2026-11-21T10:00:00Z --schema ti:sample",
                "of one schema, since a time",
            ),
        ],
    ),
    (
        "deliveries replays",
        &[
            ("deliveries replays", "what is being sent again, and was"),
            ("deliveries replays 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4", "how far one is"),
        ],
    ),
    (
        "deliveries cancel",
        &[(
            "deliveries cancel 0193f1c2-7b1e-7c3a-9d4e-5f60718293a4",
            "what it has made goes out, no more is made",
        )],
    ),
    (
        "listen",
        &[
            (
                "listen --forward http://localhost:3000/hook --server https://inbox.example.com",
                "what happens from now on, as webhooks to your machine, signed with a secret that it prints",
            ),
            (
                "listen --print --from-start --schema ti:sample --type task.state_changed",
                "every decision so far, and on",
            ),
            (
                "listen --print --type endpoint.disabled --type delivery.dead",
                "what operators want to hear of, from now on",
            ),
        ],
    ),
    (
        "maintenance on",
        &[
            (
                "maintenance on --message 'Back at 14:00 UTC.' --retry-after 15m",
                "the whole inbox; reads go on",
            ),
            ("maintenance on --schema ti:sample --hold-deliveries", "one schema, whose webhooks wait"),
        ],
    ),
    (
        "maintenance off",
        &[
            ("maintenance off", "the whole inbox; schemas that are in maintenance stay so"),
            ("maintenance off --schema ti:sample", "one schema; what was held goes out"),
        ],
    ),
    ("maintenance status", &[("maintenance status", "what is refused, since when, and who said so")]),
    (
        "audit verify",
        &[
            ("audit verify --from checkpoint.json", "prove that nothing before the checkpoint was changed"),
            ("audit verify", "find what was changed without rebuilding the chain"),
        ],
    ),
    ("audit checkpoint", &[("audit checkpoint --json", "keep what it prints where nobody can change it")]),
    ("audit checkpoints", &[("audit checkpoints", "the copies in the database")]),
    ("whoami", &[("whoami --server https://inbox.example.com", "whose key it is, and what it may do")]),
    (
        "rekey",
        &[
            ("rekey", "after a new key came first in TASK_INBOX_MASTER_KEY on every server"),
            (
                "rekey --new",
                "where the master keys are in a file: TASK_INBOX_MASTER_KEY_FILE, or what `serve --dev` made",
            ),
        ],
    ),
    (
        "post_task",
        &[
            ("post_task --host http://127.0.0.1:8080", "try a server, with the key in LOCAL_INBOUND_API_KEY"),
            (
                "post_task --schema_name ti:sample --task_name delete-acct --key_var SHOP_KEY",
                "another type, another key",
            ),
        ],
    ),
    (
        "mcp",
        &[(
            "mcp --server https://inbox.example.com",
            "as the command of a server in an agent's settings, with TASK_INBOX_API_KEY in its environment",
        )],
    ),
    (
        "login",
        &[
            ("login --server https://inbox.example.com", "asks for the key, and keeps both"),
            ("login --server https://test.example.com --profile test", "a second one, for --profile test"),
        ],
    ),
    ("logout", &[("logout", "forget the server and its key"), ("logout --profile test", "one of several")]),
    (
        "doctor",
        &[
            (
                "doctor",
                "where the server runs: settings, database, keys, clock, every endpoint; exit code 1 if something fails",
            ),
            ("doctor --server https://inbox.example.com", "what a server tells of itself"),
        ],
    ),
    ("config check", &[("config check", "before a start, or in CI: exit code 1 if anything is wrong")]),
    ("config show", &[("config show", "what is set, and by whom")]),
    ("config docs", &[("config docs --write", "make docs/CONFIG.md and .env.example anew")]),
    ("generate-keys", &[("generate-keys", "a line for .env")]),
    ("openapi", &[("openapi", "what openapi/openapi.json holds")]),
    (
        "completions",
        &[
            ("completions bash", "for ~/.local/share/bash-completion/completions/task-inbox"),
            ("completions zsh", "for a file _task-inbox in a folder of $fpath"),
        ],
    ),
    (
        "verify",
        &[
            (
                "verify body.json --headers headers.txt --secret-file secret.txt",
                "what a receiver refused, as it was recorded",
            ),
            (
                "verify - --id evt_0193f1c2-7b1e-7c3a-9d4e-5f60718293a4 --timestamp 1614265330 --signature v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= --at 2021-02-25T15:02:10Z",
                "a body on stdin, judged at the time of its arrival, with the secret in WEBHOOK_SECRET",
            ),
        ],
    ),
    ("man", &[("man", "for `man -l -`, or for a file task-inbox.1 in a folder man1")]),
];

/// Adds its examples to each command.
pub(crate) fn with_examples(root: Command) -> Command {
    EXAMPLES.iter().fold(root, |root, (command, examples)| {
        let words: Vec<_> = command.split(' ').collect();
        add(root, &words, examples)
    })
}

fn add(command: Command, words: &[&str], examples: &[Example]) -> Command {
    match words {
        [] => command.after_help(text(examples)),
        [word, rest @ ..] => command.mut_subcommand(word, |sub| add(sub, rest, examples)),
    }
}

/// A command's examples, as they stand below its help.
fn text(examples: &[Example]) -> String {
    let mut text = "EXAMPLES:".to_owned();
    for (line, about) in examples {
        let _ = write!(text, "\n  task-inbox {line}\n      {about}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_and_no_other() {
        let mut known: Vec<_> = EXAMPLES.iter().map(|(command, _)| (*command).to_owned()).collect();
        let mut commands = crate::command_names();
        known.sort();
        commands.sort();
        assert_eq!(known, commands);
    }

    /// Splits as a shell does, as far as the examples need it.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('\'').enumerate();
        quoted
            .flat_map(|(i, part)| match i % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }

    #[test]
    fn every_example_can_be_typed() {
        for (command, examples) in EXAMPLES {
            for (line, _) in *examples {
                assert!(line.starts_with(command), "{line}");
                let arguments = ["task-inbox".to_owned()].into_iter().chain(words(line));
                if let Err(error) = crate::command().try_get_matches_from(arguments) {
                    panic!("{line}: {error}");
                }
            }
        }
    }
}
