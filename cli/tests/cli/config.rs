//! Settings, `generate-keys`, `config docs`, `openapi`: what needs no database.

use base64::Engine;

use serde_json::json;

use crate::inbox::{Done, Inbox, SAMPLE};

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
    with("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none").says(&[
        "can't be opened",
        "DATABASE_URL",
        "refused",
    ]);
    inbox.write("task-inbox.toml", "listne = 1\n");
    inbox.run(&["schemas"]).says(&["task-inbox.toml", "listne"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let inbox = Inbox::new();
    let run = |arguments: &[&str], settings: &[(&str, &str)]| -> Done {
        inbox.command(arguments).envs(settings.iter().copied()).output().expect("it runs").into()
    };
    let several =
        [("TASK_INBOX_ROLES", "cook"), ("TASK_INBOX_MIGRATE", "perhaps"), ("TASK_INBOX_SERVER", "x")];
    inbox.write("task-inbox.toml", "listne = 1\n");
    let check = run(&["config", "check", "--json"], &several);
    assert_eq!(check.code, Some(1));
    let wrong: serde_json::Value = serde_json::from_str(&check.stdout).expect("JSON");
    assert_eq!((&wrong["ok"], wrong["wrong"].as_array().map(Vec::len)), (&json!(false), Some(4)), "{wrong}");
    for name in
        ["TASK_INBOX_ROLES (from the environment)", "TASK_INBOX_MIGRATE", "TASK_INBOX_SERVER", "listne"]
    {
        assert!(run(&["config", "check"], &several).stdout.contains(name), "{name}");
    }
    // Any other command says the same, on stderr.
    let said = run(&["serve"], &several).refused(1);
    assert!(said.contains("wrong in 4 places") && said.lines().count() == 5, "{said}");
    std::fs::remove_file(inbox.file("task-inbox.toml")).expect("removed");

    assert!(inbox.run(&["config", "check"]).ok().contains("the configuration is right"));
    let said = |settings: &[(&str, &str)]| run(&["config", "check"], settings);
    assert!(said(&[("DATABASE_URL", "sqlite://none.db")]).stdout.contains("no database at"));
    assert!(
        said(&[("DATABASE_URL", "postgres://u:swordfish@127.0.0.1:1/x")]).stdout.contains("can't be opened")
    );
    assert!(said(&[("TASK_INBOX_MASTER_KEY", "")]).stdout.contains("generate-keys"));
    assert!(said(&[("TASK_INBOX_MASTER_KEY", "short")]).stdout.contains("32 bytes"));
    let odd = said(&[("TASK_INBOX_LISTNE", "1"), ("TASK_INBOX_PUBLIC_URL", "https://inbox.example")]);
    assert!(
        odd.code == Some(0)
            && odd.stderr.contains("TASK_INBOX_LISTNE")
            && odd.stderr.contains("TASK_INBOX_PUBLIC_URL")
    );
    inbox.write(".env", "TASK_INBOX_RULES=api\n");
    assert!(said(&[]).stderr.contains("TASK_INBOX_RULES is set and is no setting"));
    std::fs::remove_file(inbox.file(".env")).expect("removed");
    // A master key that does not open what is there is found before a server starts with it.
    inbox.install(SAMPLE).ok();
    inbox.json(&["webhook_key", "ti:sample"]);
    let other = inbox.json(&["generate-keys"])["TASK_INBOX_MASTER_KEY"].as_str().expect("a key").to_owned();
    assert!(said(&[("TASK_INBOX_MASTER_KEY", &other)]).stdout.contains("does not open"));
}

#[test]
fn shows_what_is_set_and_by_whom_and_no_secret() {
    let inbox = Inbox::new();
    inbox.write(".env", "TASK_INBOX_LOG=debug\n");
    let mut command =
        inbox.command(&["config", "show", "--json", "--database-url", "postgres://u:swordfish@h/d"]);
    let shown =
        Done::from(command.env("TASK_INBOX_API_KEY", "ti_swordfish").output().expect("it runs")).json();
    assert_eq!(shown["DATABASE_URL"], json!({"value": "postgres://u:***@h/d", "source": "the command line"}));
    assert_eq!(shown["TASK_INBOX_LOG"], json!({"value": "debug", "source": ".env"}));
    assert_eq!(shown["TASK_INBOX_LISTEN"]["source"], "the environment");
    assert_eq!(shown["TASK_INBOX_MASTER_KEY"]["value"], "***");
    assert!(!shown.to_string().contains("swordfish"), "{shown}");
    assert!(inbox.run(&["config", "show"]).ok().contains("its default"));
}
