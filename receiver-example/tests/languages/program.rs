//! A receiver as a child process, in any of the three languages.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use task_inbox_testkit::process::tethered;

/// How long a line may take that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running receiver; dropping it kills it.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    address: SocketAddr,
}

impl Program {
    /// The one of this crate.
    pub(crate) fn rust(secret: &str, folder: &Path) -> Self {
        Self::start(tethered(Path::new(env!("CARGO_BIN_EXE_receiver-example")), "KILL", None), secret, folder)
    }

    /// The one on PyPI's `standardwebhooks`.
    pub(crate) fn python(secret: &str, folder: &Path) -> Self {
        let interpreter = here("python").join(".venv/bin/python");
        assert!(interpreter.exists(), "no virtual environment: run scripts/packages receiver-example/python");
        let mut command = tethered(&interpreter, "KILL", None);
        command.arg(here("python").join("receiver.py"));
        Self::start(command, secret, folder)
    }

    /// The one on npm's `standardwebhooks`.
    pub(crate) fn node(secret: &str, folder: &Path) -> Self {
        let packages = here("node").join("node_modules");
        assert!(packages.exists(), "no node_modules: run scripts/packages receiver-example/node");
        let mut command = tethered(Path::new("node"), "KILL", None);
        command.arg(here("node").join("receiver.mjs"));
        Self::start(command, secret, folder)
    }

    fn start(mut command: Command, secret: &str, folder: &Path) -> Self {
        let mut child = command
            .env("RCV_LISTEN", "127.0.0.1:0")
            .env("RCV_HOOK_SECRET", secret)
            .env_remove("RCV_HOOK_KEY")
            .env_remove("RCV_JOURNAL")
            .env_remove("RCV_INBOX")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let first = lines.recv_timeout(PATIENCE).unwrap();
        let address = first.strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, lines, address }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// A line that it has printed already, and nobody asked for.
    pub(crate) fn waiting_line(&self) -> Option<String> {
        match self.lines.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the receiver ended"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of this crate.
pub(crate) fn here(language: &str) -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).join(language)
}
