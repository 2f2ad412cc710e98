//! Settings, `generate-keys`, `config docs`, `openapi`: what needs no database.

use base64::Engine;

use crate::inbox::{Done, Inbox};

#[test]
fn generates_what_env_takes() {
    let inbox = Inbox::empty();
    let line = inbox.run(&["generate-keys"]).ok();
    let key = line.trim().strip_prefix("TASK_INBOX_MASTER_KEY=").expect("a line for .env");
    assert_eq!(base64::prelude::BASE64_STANDARD.decode(key).expect("base64").len(), 32);
    let json = inbox.json(&["generate_keys"]);
    assert_ne!(json["TASK_INBOX_MASTER_KEY"], key, "each is new");
}

#[test]
fn writes_its_documents() {
    let inbox = Inbox::empty();
    inbox.run(&["config", "docs", "--write"]).says(&["docs/CONFIG.md"]);
    std::fs::create_dir(inbox.path().join("docs")).expect("made");
    inbox.run(&["config", "docs", "--write"]).ok();
    let written = std::fs::read_to_string(inbox.path().join("docs/CONFIG.md")).expect("written");
    assert_eq!(inbox.run(&["config", "docs"]).ok().trim_end(), written.trim_end());
    assert_eq!(inbox.json(&["config", "docs"])["docs/CONFIG.md"], written);
    assert!(
        std::fs::read_to_string(inbox.path().join(".env.example")).expect("written").contains("DATABASE_URL")
    );
}

#[test]
fn describes_the_api() {
    let inbox = Inbox::empty();
    let json = inbox.json(&["openapi"]);
    assert!(json["openapi"].as_str().expect("a version").starts_with("3."));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&inbox.run(&["openapi"]).ok()).expect("JSON"), json);
}

#[test]
fn flags_override_the_environment_which_overrides_dotenv() {
    let inbox = Inbox::empty();
    inbox.write(".env", "DATABASE_URL=sqlite://dotenv.db\n");
    let made = |arguments: &[&str], environment: Option<&str>| {
        let mut command = inbox.command(arguments);
        match environment {
            Some(url) => command.env("DATABASE_URL", url),
            None => command.env_remove("DATABASE_URL"),
        };
        assert!(command.output().expect("it runs").status.success());
    };
    made(&["migrate", "up"], None);
    made(&["migrate", "up"], Some("sqlite://environment.db"));
    made(&["migrate", "up", "--database-url", "sqlite://flag.db"], Some("sqlite://unused.db"));
    for name in ["dotenv.db", "environment.db", "flag.db"] {
        assert!(inbox.path().join(name).exists(), "{name}");
    }
    assert!(!inbox.path().join("unused.db").exists());
}

#[test]
fn a_wrong_setting_is_named_with_its_place() {
    let inbox = Inbox::new();
    let with = |name: &str, value: &str| -> Done {
        inbox.command(&["schemas"]).env(name, value).output().expect("it runs").into()
    };
    with("TASK_INBOX_ROLES", "cook").says(&["TASK_INBOX_ROLES", "the environment", "dispatcher"]);
    with("TASK_INBOX_MASTER_KEY", "secret-but-wrong").says(&[
        "TASK_INBOX_MASTER_KEY",
        "32 bytes",
        "generate-keys",
    ]);
    with("DATABASE_URL", "mysql://x").says(&["DATABASE_URL", "sqlite://"]);
    with("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none").says(&["can't be opened", "DATABASE_URL"]);
    inbox.write("task-inbox.toml", "listne = 1\n");
    inbox.run(&["schemas"]).says(&["task-inbox.toml", "listne"]);
}
