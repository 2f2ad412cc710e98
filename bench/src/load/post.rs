//! Posts: as many connections as told, each with one request under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use tokio::task::JoinSet;

use crate::machine;
use crate::statistics::Latency;

/// Not measured: connections open, caches and pools fill.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// When to end.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Until {
    /// After so many seconds, which begin after a warm-up.
    Seconds(u64),
    /// After so many posts, all of which are measured.
    Posts(u64),
}

/// Whose CPU time is counted.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// The servers' processes.
    pub(crate) servers: Vec<u32>,
    /// The database's first process, where it is not the server that is the database.
    pub(crate) database: Option<u32>,
}

/// What is posted where.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Post {
    /// The servers, which get an equal share of the connections.
    pub(crate) addresses: Vec<SocketAddr>,
    /// An API key.
    pub(crate) key: String,
    pub(crate) schema: String,
    pub(crate) task: String,
    pub(crate) connections: usize,
    pub(crate) until: Until,
    /// Whether each post has an Idempotency-Key.
    pub(crate) keyed: bool,
    pub(crate) watched: Watched,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Requests acknowledged in the measured time.
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// In milliseconds.
    pub(crate) latency: Latency,
    /// Seconds of CPU time in that time.
    pub(crate) cpu: Cpu,
}

impl Measured {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Microseconds of CPU time for one request.
    pub(crate) fn cpu_of_one(&self) -> Cpu {
        self.cpu.micros_of(self.requests)
    }
}

/// Seconds of CPU time, by process.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cpu {
    pub(crate) server: f64,
    pub(crate) load: f64,
    pub(crate) database: f64,
}

impl Watched {
    /// What they have used so far.
    pub(super) fn cpu(&self) -> Result<Cpu> {
        let sum = |ids: &mut dyn Iterator<Item = u32>| ids.map(machine::cpu_of_tree).sum::<Result<f64>>();
        Ok(Cpu {
            server: sum(&mut self.servers.iter().copied())?,
            load: machine::cpu_of_tree(std::process::id())?,
            database: sum(&mut self.database.into_iter())?,
        })
    }
}

impl Cpu {
    /// Microseconds for one of so many.
    pub(crate) fn micros_of(self, count: u64) -> Self {
        let each = |seconds: f64| seconds * 1e6 / count.max(1) as f64;
        Self { server: each(self.server), load: each(self.load), database: each(self.database) }
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            server: self.server - before.server,
            load: self.load - before.load,
            database: self.database - before.database,
        }
    }
}

pub(super) async fn run(order: &Post) -> Result<Measured> {
    ensure!(!order.addresses.is_empty(), "there is nowhere to post to");
    let now = Instant::now();
    let (begin, end) = match order.until {
        Until::Seconds(seconds) => (now + WARM_UP, Some(now + WARM_UP + Duration::from_secs(seconds))),
        Until::Posts(_) => (now, None),
    };
    let budget = Arc::new(AtomicU64::new(match order.until {
        Until::Seconds(_) => u64::MAX,
        Until::Posts(posts) => posts,
    }));
    let mut connections = JoinSet::new();
    for number in 0..order.connections {
        connections.spawn(connection(order.clone(), number, begin, end, Arc::clone(&budget)));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = order.watched.cpu()?;
    let mut cpu = Cpu::default();
    if let Some(end) = end {
        tokio::time::sleep_until(end.into()).await;
        cpu = order.watched.cpu()?.since(before);
    }
    let mut latencies = Vec::new();
    while let Some(ended) = connections.join_next().await {
        latencies.extend(ended??);
    }
    let ended = end.unwrap_or_else(Instant::now);
    if end.is_none() {
        cpu = order.watched.cpu()?.since(before);
    }
    ensure!(!latencies.is_empty(), "no post was acknowledged");
    Ok(Measured {
        requests: latencies.len() as u64,
        seconds: (ended - begin).as_secs_f64(),
        latency: Latency::of(latencies.into_iter().map(|micros| f64::from(micros) / 1000.0).collect()),
        cpu,
    })
}

/// Posts until the end; the latencies in microseconds of what was acknowledged in the measured time.
async fn connection(
    order: Post,
    number: usize,
    begin: Instant,
    end: Option<Instant>,
    budget: Arc<AtomicU64>,
) -> Result<Vec<u32>> {
    let mut client = Client::new(order.addresses[number % order.addresses.len()]);
    let mut latencies = Vec::with_capacity(32 * 1024);
    for made in 0u64.. {
        let sent = Instant::now();
        let is_spent = budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if end.is_some_and(|end| sent >= end) || is_spent.is_err() {
            break;
        }
        let name = format!("{number}-{made}");
        let answer = client.send(&request(&order, &name)).await?;
        ensure!(
            answer.status == 201,
            "a post was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(answer.body())
        );
        let now = Instant::now();
        if now >= begin && end.is_none_or(|end| now < end) {
            latencies.push((now - sent).as_micros() as u32);
        }
    }
    Ok(latencies)
}

fn request(order: &Post, name: &str) -> Request {
    let Post { schema, task, .. } = order;
    let body = format!(
        r#"{{"schema_name":"{schema}","task":"{task}","meta":{{"content_id":"{name}","url":"https://example.com/content/{name}","reported_by":"somebody","reason":"looks like spam to me"}}}}"#
    );
    let mut headers = vec![("api-key", order.key.as_str())];
    if order.keyed {
        headers.push(("idempotency-key", name));
    }
    Request::json("POST", "/api/v1/tasks/", &headers, &body)
}
