//! `login`, `logout`, and where a command works.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::inbox::{Done, Inbox, Place};
use crate::peer::{Peer, header, say};

impl Inbox {
    /// Runs a command of somebody who has a home and no settings.
    fn at_home(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Done {
        let mut command = self.bare(arguments);
        command.env("HOME", self.path()).envs(settings.iter().copied());
        command.output().expect("it runs").into()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_a_key_that_works() {
    let inbox = Inbox::at(Place::Remote).await;
    let (url, key) = (inbox.url(), inbox.key().to_owned());
    let home = |arguments: &[&str]| inbox.at_home(arguments, &[]);
    home(&["login", "--server", &url, "--api-key", "ti_wrong"]).says(&["refused the key"]);
    home(&["login"]).refused(2);
    home(&["login", "--server", &url]).says(&["no key was given"]);
    home(&["logout"]).says(&["no such profile", "there are none yet"]);
    let file = inbox.path().join(".config/task-inbox/profiles.toml");
    assert!(!file.exists(), "nothing was kept");

    // From stdin, where no list of processes shows it.
    let mut login = inbox.bare(&["login", "--server", &url, "--json"]);
    login.env("HOME", inbox.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = login.spawn().expect("it runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), format!("{key}\n").as_bytes())
        .expect("read");
    let done: Done = child.wait_with_output().expect("it ends").into();
    let json = done.json();
    assert_eq!((&json["profile"], &json["me"]["name"]), (&json!("default"), &json!("ops")));
    assert!(!json.to_string().contains(&key));
    assert_eq!(std::fs::metadata(&file).expect("kept").permissions().mode() & 0o777, 0o600);

    assert!(home(&["whoami"]).ok().contains(&format!("at {url}")));
    assert!(home(&["schemas", "--profile", "default"]).ok().contains("no schema"));
    home(&["schemas", "--profile", "other"]).says(&["no profile other", "there are default"]);
    assert!(home(&["schemas", "--profile", "default", "--server", &url]).refused(2).contains("--profile"));
    // The key goes along with its server's address, and with no other.
    home(&["whoami", "--server", &url]).ok();
    home(&["whoami", "--server", "http://127.0.0.1:1"]).says(&["no API key", "task-inbox login"]);

    assert!(
        home(&["login", "--server", &url, "--api-key", &key, "--profile", "two"])
            .ok()
            .contains("--profile two")
    );
    assert!(home(&["logout", "--profile", "two"]).ok().contains("forgot"));
    assert_eq!(home(&["logout", "--json", "--server", &url]).json()["profile"], "default");
    home(&["whoami"]).says(&["no database at"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_nearer_wins() {
    let inbox = Inbox::at(Place::Remote).await;
    let (url, key) = (inbox.url(), inbox.key().to_owned());
    let other = Inbox::new();
    let database = ("DATABASE_URL", format!("sqlite://{}", other.file("inbox.db")));
    let database = (database.0, database.1.as_str());
    let login = inbox.at_home(&["login", "--server", &url, "--api-key", &key], &[database]);
    assert!(login.stderr.contains("DATABASE_URL is set here"), "{login:?}");
    let kind = |arguments: &[&str], settings: &[(&str, &str)]| {
        inbox.at_home(&[&["whoami", "--json"], arguments].concat(), settings).json()["kind"].clone()
    };
    let server = [("TASK_INBOX_SERVER", url.as_str()), ("TASK_INBOX_API_KEY", key.as_str())];
    assert_eq!(kind(&[], &[]), "key", "the profile");
    assert_eq!(kind(&[], &[database]), "cli", "a database that is set, before the profile");
    assert_eq!(
        kind(&[], &[database, server[0], server[1]]),
        "key",
        "a server that is set, before the database"
    );
    assert_eq!(kind(&["--database-url", database.1], &server), "cli", "the command line before all");
    assert_eq!(kind(&["--profile", "default"], &[database]), "key");
    inbox.write(".env", &format!("TASK_INBOX_SERVER={url}\nTASK_INBOX_API_KEY={key}\n"));
    assert_eq!(kind(&[], &[]), "key", "from .env");
    let both = inbox.at_home(&["whoami", "--database-url", database.1, "--server", &url], &[]);
    assert!(both.refused(2).contains("give one of them"));
    let wrong = inbox.at_home(&["whoami"], &[("TASK_INBOX_SERVER", "nowhere")]);
    assert!(wrong.refused(2).contains("TASK_INBOX_SERVER is not a URL"));
}

#[test]
fn a_key_that_is_set_beside_one_server_goes_to_no_other() {
    let inbox = Inbox::empty();
    let me =
        || say(200, "application/json", "", r#"{"kind": "key", "name": "x", "id": "y", "permissions": []}"#);
    let (own, other) = (Peer::new([me()]), Peer::new([me()]));
    let settings = [("TASK_INBOX_SERVER", own.url()), ("TASK_INBOX_API_KEY", "ti_for_own".to_owned())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    inbox.at_home(&["whoami", "--server", &other.url()], &settings).says(&["no API key"]);
    inbox.at_home(&["whoami"], &settings).ok();
    assert!(other.seen().is_empty());
    assert_eq!(header(&own.seen()[0], "api-key"), Some("ti_for_own"));
}

#[test]
fn a_broken_file_of_profiles_is_named_without_what_it_holds() {
    let inbox = Inbox::empty();
    let folder = inbox.path().join("task-inbox");
    std::fs::create_dir(&folder).expect("made");
    let run = |text: &str| {
        std::fs::write(folder.join("profiles.toml"), text).expect("written");
        let mut command = inbox.bare(&["logout", "--profile", "x"]);
        Done::from(command.env("XDG_CONFIG_HOME", inbox.path()).output().expect("it runs")).refused(1)
    };
    let said = run("[default]\nserver = \"http://a\"\napi_key = ti_swordfish\n");
    assert!(said.contains("profiles.toml can't be read") && !said.contains("swordfish"), "{said}");
    let said = run("[x2]\nserver = \"http://a\"\napi_key = \"k\"\n");
    assert!(said.contains("warning: others may read") && said.contains("chmod 600"), "{said}");
}
