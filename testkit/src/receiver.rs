//! A webhook receiver that remembers everything, in order of arrival, and answers as told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Message, Stream};
use crate::signature::Secret;

/// How the receiver treats what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers at once with this status.
    Answer(u16),
    /// Answers 200 at once with this JSON.
    Say(&'static str),
    /// Answers with the status after a while.
    Slow(u16, Duration),
    /// Never answers; keeps the connection.
    Hang,
}

/// One delivery attempt, as received.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it was complete.
    pub at: Instant,
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
    /// The status it gets; `None` if it hangs.
    pub status: Option<u16>,
}

struct Shared {
    behaviour: watch::Sender<Behaviour>,
    secrets: Mutex<HashMap<String, Secret>>,
    journal: Mutex<Vec<Arrival>>,
    count: watch::Sender<usize>,
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
        Self::start_with(true).await
    }

    /// A receiver that answers 200 and only counts: for measurements.
    pub async fn start_counting() -> Result<Self> {
        Self::start_with(false).await
    }

    async fn start_with(keeps: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(Behaviour::Answer(200)),
            secrets: Mutex::default(),
            journal: Mutex::default(),
            count: watch::Sender::new(0),
            keeps,
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
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
        let (status, delay, text) = match *shared.behaviour.borrow() {
            Behaviour::Answer(status) => (Some(status), None, ""),
            Behaviour::Say(text) => (Some(200), None, text),
            Behaviour::Slow(status, delay) => (Some(status), Some(delay), ""),
            Behaviour::Hang => (None, None, ""),
        };
        shared.record(message, status);
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let Some(status) = status else {
            return std::future::pending().await;
        };
        let length = text.len();
        let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{text}");
        stream.write_all(answer.as_bytes()).await?;
        if is_last {
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
            let arrival = Arrival { at: Instant::now(), path, webhook_id, is_authentic, head, body, status };
            lock(&self.journal).push(arrival);
        }
        self.count.send_modify(|count| *count += 1);
    }
}
