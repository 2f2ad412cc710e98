//! A folder with a database, and the binary in it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The original's schema, and one with its own endpoints and checks.
pub(crate) const SAMPLE: &str = include_str!("../../../schemas/sample.yml");

/// Any 32 bytes.
const MASTER_KEY: &str = "Y2xpdGVzdHMtY2xpdGVzdHMtY2xpdGVzdHMtY2xpdGU=";

/// A folder that goes with the test.
pub(crate) struct Inbox {
    folder: tempfile::TempDir,
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
        Self { folder: tempfile::tempdir().expect("a folder") }
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

    /// The binary with these arguments, and nothing of this process's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_task-inbox"));
        command
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", format!("sqlite://{}", self.file("inbox.db")))
            .env("TASK_INBOX_MASTER_KEY", MASTER_KEY)
            .env("TASK_INBOX_LISTEN", "127.0.0.1:0")
            .current_dir(self.path())
            .stdin(Stdio::null());
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
