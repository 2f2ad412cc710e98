//! Decisions: open tasks that are there already are resolved, each once, while somebody watches
//! how many webhooks the receiver has got.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use tokio::task::JoinSet;

use super::post::{Cpu, WARM_UP, Watched};
use crate::fill;
use crate::nginx::Count;
use crate::statistics::Latency;

/// How often the receiver is asked.
const TICK: Duration = Duration::from_millis(500);
/// How long what is left may take.
const DRAIN: Duration = Duration::from_mins(1);

/// Which tasks are decided where.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Decide {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    /// The tasks, by their numbers in what the database was filled with.
    pub(crate) first: u64,
    pub(crate) tasks: u64,
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    /// The receiver that counts.
    pub(crate) receiver: SocketAddr,
    pub(crate) watched: Watched,
}

/// How far both were at a moment of the measured time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) seconds: f64,
    pub(crate) decided: u64,
    pub(crate) received: u64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Decided {
    /// From the end of the warm-up to the end of the load, both included.
    pub(crate) course: Vec<Moment>,
    /// Of the decisions, in milliseconds.
    pub(crate) latency: Latency,
    pub(crate) cpu: Cpu,
    /// Seconds after the load's end until the receiver had everything.
    pub(crate) drained: f64,
}

impl Decided {
    fn ends(&self) -> Option<(Moment, Moment, f64)> {
        let (first, last) = (*self.course.first()?, *self.course.last()?);
        Some((first, last, last.seconds - first.seconds))
    }

    /// Decisions per second.
    pub(crate) fn decided(&self) -> f64 {
        self.ends().map_or(0.0, |(first, last, seconds)| (last.decided - first.decided) as f64 / seconds)
    }

    /// Webhooks per second at the receiver.
    pub(crate) fn received(&self) -> f64 {
        self.ends().map_or(0.0, |(first, last, seconds)| (last.received - first.received) as f64 / seconds)
    }

    /// Microseconds of CPU time for one decision and its webhook.
    pub(crate) fn cpu_of_one(&self) -> Cpu {
        self.cpu.micros_of(self.ends().map_or(0, |(first, last, _)| last.decided - first.decided))
    }

    /// Decided and not yet received, at the beginning and at the end.
    pub(crate) fn backlog(&self) -> (u64, u64) {
        let of = |moment: Moment| moment.decided.saturating_sub(moment.received);
        self.ends().map_or((0, 0), |(first, last, _)| (of(first), of(last)))
    }
}

pub(super) async fn run(order: &Decide) -> Result<Decided> {
    let decided = Arc::new(AtomicU64::new(0));
    let mut count = Count::new(order.receiver);
    let received_before = count.requests().await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(order.seconds);
    let mut connections = JoinSet::new();
    for number in 0..order.connections {
        connections.spawn(connection(order.clone(), number, begin, end, Arc::clone(&decided)));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = order.watched.cpu()?;
    let mut course = Vec::new();
    loop {
        let received = count.requests().await? - received_before;
        let now = Instant::now();
        course.push(Moment {
            seconds: (now - begin).as_secs_f64(),
            decided: decided.load(Ordering::Relaxed),
            received,
        });
        if now >= end {
            break;
        }
        tokio::time::sleep_until((now + TICK).min(end).into()).await;
    }
    let cpu = order.watched.cpu()?.since(before);
    let mut latencies = Vec::new();
    while let Some(ended) = connections.join_next().await {
        latencies.extend(ended??);
    }
    let all = decided.load(Ordering::Relaxed);
    while count.requests().await? - received_before < all {
        ensure!(end.elapsed() < DRAIN, "webhooks are missing {DRAIN:?} after the last decision");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(Decided { course, latency: Latency::of(latencies), cpu, drained: end.elapsed().as_secs_f64() })
}

/// Decides its share of the tasks; the latencies in milliseconds in the measured time.
async fn connection(
    order: Decide,
    number: usize,
    begin: Instant,
    end: Instant,
    decided: Arc<AtomicU64>,
) -> Result<Vec<f64>> {
    let mut client = Client::new(order.address);
    let mut latencies = Vec::with_capacity(16 * 1024);
    let mut tasks = (order.first + number as u64..order.first + order.tasks).step_by(order.connections);
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(latencies);
        }
        let task = tasks.next();
        ensure!(task.is_some(), "{} open tasks were too few", order.tasks);
        let path = format!("/api/v1/tasks/{}/state?state=block", fill::task_id(task.unwrap_or_default()));
        let answer = client.send(&Request::new("PATCH", &path, &[("api-key", &order.key)])).await?;
        ensure!(
            answer.status == 200,
            "a decision was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(answer.body())
        );
        decided.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        if now >= begin && now < end {
            latencies.push((now - sent).as_secs_f64() * 1000.0);
        }
    }
}
