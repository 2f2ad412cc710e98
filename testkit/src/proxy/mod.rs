//! A TCP proxy before PostgreSQL that understands just enough of its protocol to break a
//! connection at a chosen statement.
//!
//! A [`Trap`] is armed once and springs once, on the first connection that sends its statement:
//! before it is forwarded, after it was carried out but before the answer returns, or holding the
//! connection with the statement carried out and its transaction open. Latency and a stall apply
//! to every connection.

mod connection;
mod frames;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Which statement springs a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// The statement is just this, whatever its case.
    Is(&'static str),
    /// The statement contains this.
    Mentions(&'static str),
}

impl Statement {
    fn matches(self, text: &str) -> bool {
        match self {
            Self::Is(wanted) => text.trim().trim_end_matches(';').trim_end().eq_ignore_ascii_case(wanted),
            Self::Mentions(part) => text.contains(part),
        }
    }
}

/// What happens to the connection that sends the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// It is cut before the server sees the statement.
    CutBefore,
    /// The statement is carried out, and the connection cut before the client hears of it.
    CutAfter,
    /// The statement is carried out; then nothing passes, either way, until [`Held`] is dropped.
    Hold,
}

/// Keeps a held connection still; dropping it lets the traffic pass.
#[derive(Debug)]
pub struct Held {
    _release: oneshot::Sender<()>,
}

/// Resolves when the trap has sprung.
#[derive(Debug)]
pub struct Sprung(oneshot::Receiver<Option<Held>>);

impl Sprung {
    /// Waits for it. The guard is there for [`Trap::Hold`] only.
    pub async fn wait(self, timeout: Duration) -> Result<Option<Held>> {
        tokio::time::timeout(timeout, self.0)
            .await
            .context("nobody sent the statement in time")?
            .context("the trap was armed anew, or the proxy is gone")
    }
}

struct Armed {
    statement: Statement,
    trap: Trap,
    sprung: oneshot::Sender<Option<Held>>,
}

struct Shared {
    upstream: SocketAddr,
    armed: Mutex<Option<Armed>>,
    stalled: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    latency_micros: AtomicU64,
}

impl Shared {
    fn armed(&self) -> std::sync::MutexGuard<'_, Option<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running proxy on loopback; dropping it cuts every connection.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy before `upstream`.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            armed: Mutex::default(),
            stalled: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            latency_micros: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where clients connect to instead.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Arms a trap for the next connection that sends this statement, in place of one that is
    /// armed already.
    pub fn arm(&self, statement: Statement, trap: Trap) -> Sprung {
        let (sprung, has_sprung) = oneshot::channel();
        *self.shared.armed() = Some(Armed { statement, trap, sprung });
        Sprung(has_sprung)
    }

    /// Takes an armed trap away.
    pub fn disarm(&self) {
        *self.shared.armed() = None;
    }

    /// Delays everything that clients send.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.latency_micros.store(latency.as_micros() as u64, Ordering::Relaxed);
    }

    /// Lets nothing pass, on any connection, until told otherwise.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }

    /// Cuts every connection that is open now.
    pub fn cut_all(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(relay(client, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn relay(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let Ok(server) = TcpStream::connect(shared.upstream).await else {
        return;
    };
    tokio::select! {
        () = connection::run(client, server, &shared) => {}
        _ = cuts.changed() => {}
    }
}
