//! A reader by streams of server-sent events, that breaks off now and then as people do who close a laptop.

use std::net::SocketAddr;
use std::sync::Once;

use rand::RngExt;
use serde_json::Value;

use super::{Follower, IDLE, TIMEOUT, place};
use crate::journal::Reading;

/// At most so many events after it began does a reader break off.
const MOST_PER_CONNECTION: u32 = 400;

impl Follower {
    /// Reads by streams until it is asked to stop, and what is left by pages.
    pub(super) async fn by_streams(mut self) -> Reading {
        while !*self.stop.borrow() {
            let Some(address) = self.replica().await else { return self.reading };
            let most = self.rng.random_range(1..MOST_PER_CONNECTION);
            let mut stop = self.stop.clone();
            let broke = tokio::select! {
                read = self.read(address, most) => read.is_err(),
                _ = stop.wait_for(|stop| *stop) => false,
            };
            if broke {
                self.reading.failures += 1;
                tokio::time::sleep(IDLE).await;
            }
        }
        self.by_pages().await
    }

    /// Reads so many events, or until the stream ends.
    async fn read(&mut self, address: SocketAddr, most: u32) -> reqwest::Result<()> {
        let mut stream = Stream::open(address, &self.key, self.cursor.as_deref()).await?;
        let mut left = most;
        while let Some(Block { event, id }) = stream.next().await? {
            if let Some(event) = &event {
                self.reading.seen.push(place(event));
            }
            if id.is_some() {
                self.cursor = id;
            }
            left -= u32::from(event.is_some());
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// The log as a stream, by a connection of its own.
pub(crate) struct Stream {
    response: reqwest::Response,
    text: Vec<u8>,
}

/// What ends with an empty line: an event, or a heartbeat without one. Its id counts once it is whole.
pub(crate) struct Block {
    pub(crate) event: Option<Value>,
    id: Option<String>,
}

impl Stream {
    /// Begins after a cursor, or at the log's beginning.
    pub(crate) async fn open(address: SocketAddr, key: &str, cursor: Option<&str>) -> reqwest::Result<Self> {
        let mut request = client()?
            .get(format!("http://{address}/api/v1/events"))
            .header("api-key", key)
            .header("accept", "text/event-stream");
        if let Some(cursor) = cursor {
            request = request.header("last-event-id", cursor);
        }
        Ok(Self { response: request.send().await?.error_for_status()?, text: Vec::new() })
    }

    /// Waits for the next block; none at the stream's end.
    pub(crate) async fn next(&mut self) -> reqwest::Result<Option<Block>> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                return Ok(Some(Block::read(&String::from_utf8_lossy(&block))));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.text.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

impl Block {
    fn read(text: &str) -> Self {
        let fields = |name: &str| -> Vec<&str> {
            text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
        };
        let data = fields("data").join("\n");
        let event = (!data.is_empty()).then(|| serde_json::from_str(&data).unwrap_or_default());
        Self { event, id: fields("id").pop().map(str::to_owned) }
    }
}

/// One for each connection, so that each is a new one.
fn client() -> reqwest::Result<reqwest::Client> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Nobody else in this program chooses one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().connect_timeout(TIMEOUT).build()
}
