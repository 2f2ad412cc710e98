//! Readers that follow the log by cursor through everything that happens, as a client would that
//! keeps its cursor and connects anew to whichever replica answers: half of them by pages, half by streams.

mod stream;

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use task_inbox_testkit::http::{Client, Request};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::journal::Reading;
pub(crate) use stream::Stream;

/// How long a reader waits when nothing is new.
const IDLE: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a reader gives up a good connection for another replica.
const PAGES_PER_CONNECTION: u64 = 25;

/// Running readers.
pub(crate) struct Readers {
    running: JoinSet<Reading>,
    stop: watch::Sender<bool>,
}

impl Readers {
    /// Starts them at the beginning of the log.
    pub(crate) fn start(count: usize, key: &str, addresses: &watch::Receiver<Vec<SocketAddr>>) -> Self {
        let stop = watch::Sender::new(false);
        let mut running = JoinSet::new();
        for number in 0..count {
            let follower = Follower {
                reading: Reading { reader: format!("reader {number}"), seen: Vec::new(), failures: 0 },
                key: key.to_owned(),
                addresses: addresses.clone(),
                stop: stop.subscribe(),
                cursor: None,
                turn: number,
                rng: StdRng::seed_from_u64(number as u64),
            };
            if number % 2 == 0 {
                running.spawn(follower.by_pages());
            } else {
                running.spawn(follower.by_streams());
            }
        }
        Self { running, stop }
    }

    /// Lets them read to the end of the log, and returns what they saw.
    pub(crate) async fn finish(self) -> Vec<Reading> {
        self.stop.send_replace(true);
        self.running.join_all().await
    }
}

struct Follower {
    reading: Reading,
    key: String,
    addresses: watch::Receiver<Vec<SocketAddr>>,
    stop: watch::Receiver<bool>,
    cursor: Option<String>,
    turn: usize,
    rng: StdRng,
}

impl Follower {
    /// A replica, another one each time; none if there will be none any more.
    async fn replica(&mut self) -> Option<SocketAddr> {
        let addresses = self.addresses.wait_for(|addresses| !addresses.is_empty()).await.ok()?.clone();
        self.turn += 1;
        Some(addresses[self.turn % addresses.len()])
    }

    /// Reads to the end of the log as it is once it is asked to stop.
    async fn by_pages(mut self) -> Reading {
        while let Some(address) = self.replica().await {
            let mut client = Client::new(address).with_timeout(TIMEOUT);
            for _ in 0..PAGES_PER_CONNECTION {
                // What was asked to stop before this page must be on it or on a later one.
                let is_last = *self.stop.borrow();
                let path = match &self.cursor {
                    Some(cursor) => format!("/api/v1/events?after={cursor}"),
                    None => "/api/v1/events".to_owned(),
                };
                let page = match client.send(&Request::new("GET", &path, &[("api-key", &self.key)])).await {
                    Ok(answer) if answer.is_success() => answer.json(),
                    _ => {
                        self.reading.failures += 1;
                        tokio::time::sleep(IDLE).await;
                        break;
                    }
                };
                let events = page["events"].as_array().map_or(&[][..], Vec::as_slice);
                self.reading.seen.extend(events.iter().map(place));
                if let Some(next) = page["next_cursor"].as_str() {
                    self.cursor = Some(next.to_owned());
                }
                if events.is_empty() {
                    if is_last {
                        return self.reading;
                    }
                    tokio::time::sleep(IDLE).await;
                }
            }
        }
        self.reading
    }
}

/// An event's place and id, from an item of the feed, which is the body of its webhook.
fn place(item: &Value) -> (i64, String) {
    let data = &item["data"];
    (data["seq"].as_i64().unwrap_or_default(), data["event_id"].as_str().unwrap_or_default().to_owned())
}
