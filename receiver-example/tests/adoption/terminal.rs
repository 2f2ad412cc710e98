//! A shell that takes one block of commands after another, as a terminal does.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use task_inbox_testkit::process::{Signal, signal_group, tethered};

use crate::page::is_as_shown;

/// How long a block may take: the page installs packages.
const PATIENCE: Duration = Duration::from_mins(3);

/// Says that a block is done, after what it printed.
const DONE: &str = "-- done --";

/// A running `bash -e`.
pub(crate) struct Terminal {
    shell: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: Receiver<String>,
    printed: String,
}

impl Terminal {
    /// Opens one in this folder. It knows nothing of the settings of whoever runs the test.
    pub(crate) fn open(folder: &Path, environment: &HashMap<&str, String>) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_receiver-example")).parent().unwrap();
        assert!(
            programs.join("task-inbox").exists(),
            "no task-inbox in {}: cargo build -p task-inbox-cli",
            programs.display()
        );
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut shell = tethered(Path::new("bash"), "KILL", None)
            .args(["-e", "-u", "-o", "pipefail"])
            // What it starts is in its group, and ends with it.
            .process_group(0)
            .envs(environment)
            .env("PATH", path)
            .env("HOME", folder)
            .env_remove("DATABASE_URL")
            .env_remove("TASK_INBOX_MASTER_KEY")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(shell.stdout.take().unwrap());
        let errors = lines_of(shell.stderr.take().unwrap());
        let input = shell.stdin.take().unwrap();
        Self { shell, input, lines, errors, printed: String::new() }
    }

    /// Enters commands and goes on.
    pub(crate) fn enter(&mut self, commands: &str) {
        self.input.write_all(commands.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Enters commands and waits until they are done.
    pub(crate) fn run(&mut self, commands: &str, line: usize) {
        self.enter(&format!("{commands}\necho '{DONE}'\n"));
        self.printed.clear();
        loop {
            match self.line(line) {
                done if done == DONE => break,
                other => self.printed.extend([&other, "\n"]),
            }
        }
    }

    /// What was run last printed this.
    pub(crate) fn printed(&mut self, shown: &str, line: usize) {
        let printed = &self.printed;
        assert!(is_as_shown(printed, shown), "line {line}: shown is\n{shown}\nbut printed is\n{printed}");
    }

    /// What runs prints this next.
    pub(crate) fn prints(&mut self, shown: &str, line: usize) {
        for shown in shown.lines() {
            let printed = self.line(line);
            assert!(
                is_as_shown(&printed, shown),
                "line {line}: shown is\n{shown}\nbut printed is\n{printed}"
            );
        }
    }

    fn line(&mut self, line: usize) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let errors: Vec<_> = self.errors.try_iter().collect();
            panic!("line {line}: the commands failed or hang; they said:\n{}", errors.join("\n"))
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = signal_group(self.shell.id(), Signal::KILL);
        let _ = self.shell.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (told, lines): (Sender<String>, _) = channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| told.send(line))
    });
    lines
}
