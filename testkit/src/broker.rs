//! A real Redis or NATS server on loopback, that can be killed and comes back at the same address.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::process::tethered;

const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a server that starts is tried.
const TRY: Duration = Duration::from_millis(10);

/// A running server; dropping it kills it.
pub struct Broker {
    program: &'static str,
    port: u16,
    /// Where it keeps its streams, through every kill, if it keeps any.
    store: Option<TempDir>,
    child: Option<Child>,
}

impl Broker {
    /// A Redis server that keeps nothing.
    pub async fn redis() -> Result<Self> {
        Self::new("redis-server", None).await
    }

    /// A NATS server that keeps nothing.
    pub async fn nats() -> Result<Self> {
        Self::new("nats-server", None).await
    }

    /// A NATS server with JetStream, whose streams are on disk and outlive a kill.
    pub async fn jetstream() -> Result<Self> {
        let store = tempfile::Builder::new().prefix("task-inbox-nats-").tempdir()?;
        Self::new("nats-server", Some(store)).await
    }

    async fn new(program: &'static str, store: Option<TempDir>) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut broker = Self { program, port, store, child: None };
        broker.start().await?;
        Ok(broker)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The same, as it goes into `TASK_INBOX_BUS`.
    pub fn url(&self) -> String {
        let scheme = if self.program == "redis-server" { "redis" } else { "nats" };
        format!("{scheme}://{}", self.address())
    }

    /// Its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it, and waits until it takes connections.
    pub async fn start(&mut self) -> Result<()> {
        let mut command = tethered(&self.find()?, "KILL", None);
        let port = self.port.to_string();
        if self.program == "redis-server" {
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        } else {
            command.args(["-a", "127.0.0.1", "-p", &port]);
        }
        if let Some(store) = &self.store {
            command.arg("-js").arg("-sd").arg(store.path());
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.with_context(|| format!("can't run {} through setpriv", self.program))?);
        let begun = Instant::now();
        while TcpStream::connect(self.address()).await.is_err() {
            ensure!(begun.elapsed() < START_TIMEOUT, "{} takes no connections", self.program);
            tokio::time::sleep(TRY).await;
        }
        Ok(())
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} is not running", self.program))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn find(&self) -> Result<PathBuf> {
        let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
        folders
            .iter()
            .map(|folder| PathBuf::from(folder).join(self.program))
            .find(|path| path.exists())
            .with_context(|| format!("{0} is not installed: apt-get install {0}", self.program))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _ = self.kill();
        }
    }
}
