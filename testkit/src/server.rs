//! The real binary: its command line, and `serve` as a child process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::Database;
use crate::process::{Signal, signal, tethered};

const BINARY: &str = "task-inbox";
/// Any 32 bytes: what it protects lives as long as the test.
const MASTER_KEY: &str = "dGVzdGtpdC10ZXN0a2l0LXRlc3RraXQtdGVzdGtpdC0=";
const ANNOUNCEMENT: &str = "listening on http://";
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// One deployment: the binary, a database and an environment. Replicas are made by serving twice.
#[derive(Clone, Debug)]
pub struct Installation {
    binary: PathBuf,
    directory: PathBuf,
    database: Database,
    environment: BTreeMap<String, String>,
    is_dev: bool,
}

/// What a command of the command line did.
#[derive(Clone, Debug)]
pub struct CliOutput {
    /// Its exit code.
    pub status: ExitStatus,
    /// The JSON document it printed; null if it printed none.
    pub json: Value,
    /// What it said besides.
    pub stderr: String,
}

impl Installation {
    /// An installation that keeps its files and logs in `directory`.
    ///
    /// The binary is the one that `TASK_INBOX_BIN` names, or the one that was built beside this
    /// program.
    pub fn new(directory: &Path, database: Database) -> Result<Self> {
        Ok(Self::of(find_binary()?, directory, database))
    }

    /// An installation of another binary.
    pub fn of(binary: PathBuf, directory: &Path, database: Database) -> Self {
        let environment = [
            ("DATABASE_URL", database.url()),
            ("TASK_INBOX_LISTEN", "127.0.0.1:0".to_owned()),
            ("TASK_INBOX_MASTER_KEY", MASTER_KEY.to_owned()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { binary, directory: directory.to_owned(), database, environment, is_dev: true }
    }

    /// Sets a variable for everything that is started from now on.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Serves without `--dev` from now on: what isn't public is not reached unless it was allowed.
    #[must_use]
    pub fn in_production(self) -> Self {
        Self { is_dev: false, ..self }
    }

    /// The same installation on another database, or another way to the same one.
    #[must_use]
    pub fn on(self, database: Database) -> Self {
        let url = database.url();
        Self { database, ..self }.with("DATABASE_URL", &url)
    }

    /// The database.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    fn command(&self) -> Command {
        let mut command = Command::from(tethered(&self.binary, "KILL", None));
        let kept = ["PATH", "HOME", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
        command
            .env_clear()
            .envs(kept.into_iter().filter_map(|(name, value): (_, Option<OsString>)| Some((name, value?))))
            .envs(&self.environment)
            // Neither a `.env` nor a `task-inbox.toml` of the developer's must be found.
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command with `--json` and returns what it printed; fails if it does.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.try_cli(arguments).await?;
        ensure!(
            output.status.success(),
            "task-inbox {} ended with {}: {}",
            arguments.join(" "),
            output.status,
            output.stderr.trim()
        );
        Ok(output.json)
    }

    /// Runs a command with `--json`, whatever comes of it.
    pub async fn try_cli(&self, arguments: &[&str]) -> Result<CliOutput> {
        let output = self.command().args(arguments).arg("--json").output().await?;
        Ok(CliOutput {
            status: output.status,
            json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts `serve` (with `--dev`, unless it is in production) and waits until it listens. Its output goes to `{name}.log`.
    pub async fn serve(&self, name: &str) -> Result<Server> {
        let path = self.directory.join(format!("{name}.log"));
        let mut log = File::options().create(true).append(true).open(&path)?;
        let mut process = self
            .command()
            .arg("serve")
            .args(self.is_dev.then_some("--dev"))
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .context("can't run task-inbox through setpriv")?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
        let announced = match &first {
            Ok(Ok(Some(line))) => line.strip_prefix(ANNOUNCEMENT).and_then(|a| a.trim().parse().ok()),
            _ => None,
        };
        let Some(address) = announced else {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(20).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            bail!(
                "task-inbox serve didn't print `{ANNOUNCEMENT}ADDRESS` first, but {first:?}; it logged:\n{}",
                tail.join("\n")
            )
        };
        writeln!(log, "# listening on {address}")?;
        tokio::spawn(drain(lines, log));
        Ok(Server { process, address, log: path })
    }
}

async fn drain(mut lines: Lines<BufReader<ChildStdout>>, mut log: File) {
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = writeln!(log, "{line}");
    }
}

/// A running `task-inbox serve`; dropping it kills it.
pub struct Server {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The most memory that it ever held, in bytes, since [`Server::forget_peak`].
    pub fn peak_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(self.proc("status")?)?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.context("no VmHWM in /proc")?.trim().trim_end_matches(" kB");
        Ok(peak.parse::<u64>()? * 1024)
    }

    /// Measures its most memory from now on.
    pub fn forget_peak(&self) -> Result<()> {
        // proc(5): 5 sets the peak back to what is held now.
        Ok(std::fs::write(self.proc("clear_refs")?, "5")?)
    }

    fn proc(&self, file: &str) -> Result<PathBuf> {
        let pid = self.process.id().context("it has ended already")?;
        Ok(PathBuf::from(format!("/proc/{pid}/{file}")))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill9(mut self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }

    /// Freezes it.
    pub fn sigstop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn sigcont(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM, and waits until it ended by itself.
    pub async fn terminate(mut self, timeout: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        tokio::time::timeout(timeout, self.process.wait())
            .await
            .with_context(|| format!("still running {timeout:?} after SIGTERM"))?
            .context("can't wait for it")
    }

    fn signal(&self, which: Signal) -> Result<()> {
        signal(self.process.id().context("it has ended already")?, which)
    }
}

fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TASK_INBOX_BIN") {
        return Ok(path.into());
    }
    let this = std::env::current_exe()?;
    // A test runs from `deps`, one directory below.
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(BINARY))
        .find(|path| path.exists())
        .with_context(|| {
            format!(
                "no {BINARY} beside {}: cargo build -p task-inbox-cli, or set TASK_INBOX_BIN",
                this.display()
            )
        })
}
