//! A folder with a database, and the binary in it: on the database itself, or over HTTP.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use task_inbox::app::Permission;
use task_inbox_testkit::{Database, Installation, Server};

/// The original's schema, and one with its own endpoints and checks.
pub(crate) const SAMPLE: &str = include_str!("../../../schemas/sample.yml");

/// A schema with one type, which is resolved as done.
pub(crate) fn schema_to(url: &str) -> String {
    format!(
        "name: s\nsemver: '1'\ndefault_hook_url: {url}\ntasktypes:\n- name: t\n  resolved_states: [done]\n"
    )
}

/// Any 32 bytes.
const MASTER_KEY: &str = "Y2xpdGVzdHMtY2xpdGVzdHMtY2xpdGVzdHMtY2xpdGU=";

/// Where tests find PostgreSQL.
const POSTGRES: &str = "TASK_INBOX_TEST_POSTGRES";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Where commands work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a SQLite file.
    Sqlite,
    /// On a PostgreSQL database.
    Postgres,
    /// On a server, by HTTP.
    Remote,
}

/// A folder that goes with the test.
pub(crate) struct Inbox {
    folder: tempfile::TempDir,
    database_url: String,
    remote: Option<Remote>,
}

/// A running server, and a key that may do everything.
struct Remote {
    server: Server,
    key: String,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Inbox {
    /// A folder without a database.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database_url = format!("sqlite://{}/inbox.db", folder.path().display());
        Self { folder, database_url, remote: None }
    }

    /// A folder with an empty, migrated database.
    pub(crate) fn new() -> Self {
        let inbox = Self::empty();
        inbox.run(&["migrate", "up"]).ok();
        inbox
    }

    /// One with the original's schema installed.
    pub(crate) fn with_sample() -> Self {
        let inbox = Self::new();
        inbox.install(SAMPLE).ok();
        inbox
    }

    /// An empty inbox at any place.
    pub(crate) async fn at(place: Place) -> Self {
        let mut inbox = Self::empty();
        match place {
            Place::Sqlite => {}
            Place::Postgres => inbox.database_url = postgres_database(),
            Place::Remote => inbox.remote = Some(Remote::start(&inbox).await),
        }
        if place != Place::Remote {
            inbox.run(&["migrate", "up"]).ok();
        }
        inbox
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path().join(name), text).expect("written");
        self.file(name)
    }

    /// The same database for the testkit, which serves on it.
    pub(crate) fn installation(&self) -> Installation {
        Installation::new(self.path(), Database::Sqlite(self.path().join("inbox.db")))
            .expect("the binary is built")
    }

    /// Whether commands go over HTTP.
    pub(crate) const fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// The server's address, if commands go over HTTP.
    pub(crate) fn url(&self) -> String {
        let remote = self.remote.as_ref().expect("there is a server");
        format!("http://{}", remote.server.address())
    }

    /// The key that may do everything, if commands go over HTTP.
    pub(crate) fn key(&self) -> &str {
        &self.remote.as_ref().expect("there is a server").key
    }

    /// The binary with these arguments, and nothing of this process's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        match &self.remote {
            Some(remote) => {
                command.env("TASK_INBOX_SERVER", self.url()).env("TASK_INBOX_API_KEY", &remote.key)
            }
            None => command.env("DATABASE_URL", &self.database_url).env("TASK_INBOX_MASTER_KEY", MASTER_KEY),
        };
        command.env("TASK_INBOX_LISTEN", "127.0.0.1:0");
        command
    }

    /// The binary with these arguments, and no settings at all.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_task-inbox"));
        command.args(arguments).env_clear().current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().expect("it runs").into()
    }

    /// Runs a command with `--json` and returns what it printed.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).json()
    }

    /// Installs a schema.
    pub(crate) fn install(&self, schema: &str) -> Done {
        let file = self.write("schema.yml", schema);
        self.run(&["taskschema", &file])
    }
}

impl Remote {
    async fn start(inbox: &Inbox) -> Self {
        let there = inbox.installation();
        let server = there.serve("server").await.expect("it serves");
        let mut arguments = vec!["api_key", "--name", "ops"];
        arguments.extend(Permission::ALL.iter().flat_map(|p| ["--permission", p.as_str()]));
        let made = there.cli(&arguments).await.expect("made");
        Self { server, key: made["key"].as_str().expect("a key").to_owned() }
    }
}

fn postgres_database() -> String {
    let server = std::env::var(POSTGRES).unwrap_or_else(|_| {
        panic!(
            "{POSTGRES} is not set: run `make test`, or `scripts/with-postgres cargo test`, which start a PostgreSQL \
             of their own (apt-get install postgresql)"
        )
    });
    let name = format!("cli_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let made =
        Command::new("psql").args(["-X", "-q", &server, "-c", &format!("CREATE DATABASE {name}")]).output();
    let made = made.expect("psql runs: apt-get install postgresql-client");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("{}/{name}", server.rsplit_once('/').expect("the address names a database").0)
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Done {
    /// It succeeded; what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// It succeeded; the one document on stdout.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// It failed with this code and said nothing on stdout; what it said on stderr.
    #[track_caller]
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        self.stderr
    }

    /// It was refused in one line that holds these words.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) {
        let text = self.refused(1);
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
}

/// Makes of each `async fn name(inbox: Inbox)` one test for each place where commands work.
#[macro_export]
macro_rules! at_every_place {
    ($($name:ident),* $(,)?) => {
        $crate::at_every_place!(@ sqlite, Sqlite, $($name)*);
        $crate::at_every_place!(@ postgres, Postgres, $($name)*);
        $crate::at_every_place!(@ remote, Remote, $($name)*);
    };
    (@ $module:ident, $place:ident, $($name:ident)*) => {
        mod $module {
            use $crate::inbox::{Inbox, Place};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(Inbox::at(Place::$place).await).await; })*
        }
    };
}
