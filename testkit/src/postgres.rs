//! A private PostgreSQL cluster on loopback, as durable as a production one.
//!
//! `fsync` and `synchronous_commit` are on: durability is what the tests are about. The cluster
//! lives in a temporary directory and ends with the value, or with this process.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::process::{Signal, is_root, signal, tethered};

/// The system user that owns the cluster when the tests run as root: PostgreSQL refuses root.
const SYSTEM_USER: &str = "postgres";
const READY: &str = "database system is ready to accept connections";
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A running cluster. Dropping it stops it and removes its files.
pub struct Postgres {
    tools: PathBuf,
    directory: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    process: Child,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a cluster with PostgreSQL's defaults for everything that concerns durability.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a cluster with settings of `postgresql.conf` changed.
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let tools = find_tools()?;
        let directory = tempfile::Builder::new().prefix("task-inbox-pg-").tempdir()?;
        if is_root() {
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
            let owner = system_user_id().await?;
            chown(directory.path(), Some(owner), None)?;
        }
        let data = directory.path().join("data");
        let initdb = Command::from(tethered(&tools.join("initdb"), "KILL", owner()))
            .args(["--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"])
            .arg("--pgdata")
            .arg(&data)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .output()
            .await
            .context("can't run initdb through setpriv")?;
        ensure!(initdb.status.success(), "initdb failed: {}", String::from_utf8_lossy(&initdb.stderr));
        let port = free_port()?;
        let settings: Vec<_> = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let process = launch(&tools, directory.path(), port, &settings).await?;
        Ok(Self { tools, directory, port, settings, process, databases: AtomicU32::new(0) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its first process, the parent of all others.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The URL of a database in it.
    pub fn url(&self, database: &str) -> String {
        url_at(self.address(), database)
    }

    /// Makes a new, empty database and returns its name.
    pub async fn create_database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &[&name]).await?;
        Ok(name)
    }

    /// Copies a database that nobody is connected to, and returns the copy's name.
    pub async fn copy_database(&self, from: &str) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &["--template", from, &name]).await?;
        Ok(name)
    }

    /// The folder of the files that hold its databases.
    pub fn files(&self) -> PathBuf {
        self.directory.path().join("data").join("base")
    }

    /// A client tool of PostgreSQL's (`psql`, `pgbench`), set to connect to this cluster.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::from(tethered(&self.tools.join(name), "KILL", None));
        command
            .env("PGHOST", Ipv4Addr::LOCALHOST.to_string())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a client tool to its end and returns what it printed.
    pub async fn run(&self, tool: &str, arguments: &[&str]) -> Result<String> {
        let output = self.tool(tool).args(arguments).output().await?;
        ensure!(output.status.success(), "{tool} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `pg_ctl stop -m immediate`, then a new start: what a crash of the database is to its
    /// clients. Returns when recovery is done and it accepts connections.
    pub async fn restart_immediate(&mut self) -> Result<()> {
        let stopped = Command::from(tethered(&self.tools.join("pg_ctl"), "KILL", owner()))
            .args(["stop", "-w", "-m", "immediate", "-D"])
            .arg(self.directory.path().join("data"))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .await?;
        ensure!(stopped.status.success(), "pg_ctl stop failed: {}", String::from_utf8_lossy(&stopped.stderr));
        self.process.wait()?;
        self.process = launch(&self.tools, self.directory.path(), self.port, &self.settings).await?;
        Ok(())
    }

    /// The server's version, e.g. `15.18`.
    pub async fn version(&self) -> Result<String> {
        let shown = self.run("psql", &["-XAtd", "postgres", "-c", "show server_version"]).await?;
        Ok(shown.split_whitespace().next().unwrap_or_default().to_owned())
    }

    /// Where the programs of this PostgreSQL are, for those that connect nowhere
    /// (`pg_test_fsync`).
    pub fn tools(&self) -> &Path {
        &self.tools
    }

    /// What the server logged.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.directory.path().join("log"))?)
    }

    /// Stops it and removes its files, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT is the immediate shutdown: every backend ends and shared memory is freed. The
        // files go next, so nothing is lost that anybody wants.
        if signal(self.process.id(), Signal::QUIT).is_ok() {
            let _ = self.process.wait();
        }
    }
}

/// The URL of a database behind another address, such as a [`Proxy`](crate::Proxy)'s.
pub fn url_at(address: SocketAddr, database: &str) -> String {
    format!("postgres://postgres@{address}/{database}")
}

async fn launch(tools: &Path, directory: &Path, port: u16, settings: &[(String, String)]) -> Result<Child> {
    let mut command = tethered(&tools.join("postgres"), "QUIT", owner());
    command.arg("-D").arg(directory.join("data")).arg("-p").arg(port.to_string());
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set("listen_addresses", "127.0.0.1");
    set("unix_socket_directories", &directory.display().to_string());
    set("logging_collector", "off");
    set("fsync", "on");
    set("synchronous_commit", "on");
    set("max_connections", "200");
    for (name, value) in settings {
        set(name, value);
    }
    let mut process = command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't run postgres through setpriv")?;
    let stderr = process.stderr.take().context("stderr is piped")?;
    let log = File::options().create(true).append(true).open(directory.join("log"))?;
    let (ready, is_ready) = oneshot::channel();
    // A thread, not a task: the pipe must be drained even where no runtime runs.
    std::thread::spawn(move || copy_log(BufReader::new(stderr), log, ready));
    if let Ok(Ok(())) = tokio::time::timeout(START_TIMEOUT, is_ready).await {
        return Ok(process);
    }
    let _ = process.kill();
    let _ = process.wait();
    let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    bail!("PostgreSQL didn't start:\n{log}")
}

fn copy_log(from: impl BufRead, mut to: File, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    for line in from.split(b'\n').map_while(Result::ok) {
        let _ = to.write_all(&line).and_then(|()| to.write_all(b"\n"));
        if String::from_utf8_lossy(&line).contains(READY)
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(());
        }
    }
}

fn owner() -> Option<&'static str> {
    is_root().then_some(SYSTEM_USER)
}

async fn system_user_id() -> Result<u32> {
    let output = Command::new("id").args(["-u", SYSTEM_USER]).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| {
        format!("running as root needs the user {SYSTEM_USER}, who comes with: apt-get install postgresql")
    })
}

/// The directory of the newest installed server's programs.
fn find_tools() -> Result<PathBuf> {
    let mut installed: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            let tools = path.join("bin");
            tools.join("initdb").exists().then_some((version, tools))
        })
        .collect();
    installed.sort();
    if let Some((_, tools)) = installed.pop() {
        return Ok(tools);
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .find(|directory| directory.join("initdb").exists() && directory.join("postgres").exists())
        .context("PostgreSQL's server programs are not installed: apt-get install postgresql")
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
