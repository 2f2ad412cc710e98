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
        let mut request = client()?
            .get(format!("http://{address}/api/v1/events"))
            .header("api-key", &self.key)
            .header("accept", "text/event-stream");
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let mut response = request.send().await?.error_for_status()?;
        let (mut text, mut left) = (Vec::new(), most);
        while let Some(chunk) = response.chunk().await? {
            text.extend_from_slice(&chunk);
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = text.drain(..end + 2).collect();
                if self.dispatch(&String::from_utf8_lossy(&block)) {
                    left -= 1;
                    if left == 0 {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a block; whether it was an event. Its id counts once it is whole.
    fn dispatch(&mut self, block: &str) -> bool {
        let fields = |name: &str| -> Vec<&str> {
            block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
        };
        let data = fields("data").join("\n");
        if !data.is_empty() {
            self.reading.seen.push(place(&serde_json::from_str::<Value>(&data).unwrap_or_default()));
        }
        if let Some(id) = fields("id").pop() {
            self.cursor = Some(id.to_owned());
        }
        !data.is_empty()
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
