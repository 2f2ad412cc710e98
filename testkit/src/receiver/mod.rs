//! A webhook receiver that remembers everything, in order of arrival, and answers as told.

mod behaviour;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Message, Stream};
use crate::signature::Secret;

pub use behaviour::Behaviour;

/// One delivery attempt, as received.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it was complete.
    pub at: Instant,
    /// The same, by the clock on the wall.
    pub wall: SystemTime,
    /// The path it was posted to.
    pub path: String,
    /// The header `webhook-id`.
    pub webhook_id: String,
    /// Whether its signature holds, once [`Receiver::expect_secret`] was told the secret.
    pub is_authentic: Option<bool>,
    /// The header lines, for what else a test looks for.
    pub head: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// The status it gets; `None` if it gets no whole answer.
    pub status: Option<u16>,
}

struct Shared {
    behaviour: watch::Sender<Behaviour>,
    secrets: Mutex<HashMap<String, Secret>>,
    journal: Mutex<Vec<Arrival>>,
    count: watch::Sender<usize>,
    connections: AtomicU64,
    longest_answer: AtomicU64,
    keeps: bool,
}

/// A running receiver on loopback; dropping it stops it.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// A receiver that answers 200 and keeps a journal.
    pub async fn start() -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// The same at another address; port 0 picks one.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        Self::start_with(address, true).await
    }

    /// A receiver that answers 200 and only counts: for measurements.
    pub async fn start_counting() -> Result<Self> {
        Self::start_with(SocketAddr::from(([127, 0, 0, 1], 0)), false).await
    }

    async fn start_with(address: SocketAddr, keeps: bool) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(Behaviour::Answer(200)),
            secrets: Mutex::default(),
            journal: Mutex::default(),
            count: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            longest_answer: AtomicU64::new(0),
            keeps,
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a path of it is reached.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Changes how it treats what arrives from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// Verifies the signatures of what is posted to this path from now on.
    pub fn expect_secret(&self, path: &str, secret: Secret) {
        lock(&self.shared.secrets).insert(path.to_owned(), secret);
    }

    /// How many connections were made to it, whatever came of them.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes of the longest of its long answers went out, those in the sockets' buffers included.
    pub fn longest_answer(&self) -> u64 {
        self.shared.longest_answer.load(Ordering::Relaxed)
    }

    /// How many attempts arrived.
    pub fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Waits until this many attempts arrived; false if they don't in time.
    pub async fn wait_for_count(&self, count: usize, timeout: Duration) -> bool {
        let mut seen = self.shared.count.subscribe();
        tokio::time::timeout(timeout, seen.wait_for(|seen| *seen >= count)).await.is_ok()
    }

    /// Everything that arrived so far, in order.
    pub fn journal(&self) -> Vec<Arrival> {
        lock(&self.shared.journal).clone()
    }

    /// Looks at what arrived so far without copying it.
    pub fn inspect<T>(&self, look: impl FnOnce(&[Arrival]) -> T) -> T {
        look(&lock(&self.shared.journal))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with this task, and so with the receiver.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut stream = Stream::new(stream)?;
    while let Some(message) = stream.read_message().await? {
        let is_last = message.is_last();
        let behaviour = shared.behaviour.borrow().clone();
        shared.record(message, behaviour.status());
        let (length, goes_on) = behaviour.answer(&mut stream).await?;
        shared.longest_answer.fetch_max(length, Ordering::Relaxed);
        if is_last || !goes_on {
            break;
        }
    }
    Ok(())
}

impl Shared {
    fn record(&self, message: Message, status: Option<u16>) {
        if self.keeps {
            let header = |name| message.header(name).unwrap_or_default();
            let webhook_id = header("webhook-id").to_owned();
            let path = message.start_line().split(' ').nth(1).unwrap_or_default().to_owned();
            let is_authentic = lock(&self.secrets).get(&path).map(|secret| {
                secret.verifies(
                    header("webhook-signature"),
                    &webhook_id,
                    header("webhook-timestamp"),
                    &message.body,
                )
            });
            let Message { head, body } = message;
            let (at, wall) = (Instant::now(), SystemTime::now());
            let arrival = Arrival { at, wall, path, webhook_id, is_authentic, head, body, status };
            lock(&self.journal).push(arrival);
        }
        self.count.send_modify(|count| *count += 1);
    }
}
