//! The load generator: as many connections as told, each with one request under way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use tokio::task::JoinSet;

use crate::machine;

/// Not measured: connections open, caches and pools fill.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// The server
    #[arg(long)]
    address: SocketAddr,
    /// An API key
    #[arg(long)]
    key: String,
    /// The schema to post to
    #[arg(long)]
    schema: String,
    /// The task type to post
    #[arg(long)]
    task: String,
    /// Connections
    #[arg(long)]
    connections: usize,
    /// Seconds to measure, after the warm-up
    #[arg(long)]
    seconds: u64,
    /// The server's process, to see what CPU time it uses
    #[arg(long)]
    server: u32,
    /// Send an Idempotency-Key with each post
    #[arg(long)]
    keyed: bool,
}

/// What was measured, as JSON on stdout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Posts acknowledged with 201 in the measured time.
    pub(crate) posts: u64,
    pub(crate) seconds: f64,
    /// Latency in microseconds: half, and 99 of 100, were answered within.
    pub(crate) p50: u32,
    pub(crate) p99: u32,
    /// CPU time of the server and of the load generator in that time.
    pub(crate) server_cpu: f64,
    pub(crate) load_cpu: f64,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(options.seconds);
    let mut connections = JoinSet::new();
    for number in 0..options.connections {
        connections.spawn(connection(options.clone(), number, begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let server = options.server.to_string();
    let (server_before, load_before) = (machine::cpu_seconds(&server)?, machine::cpu_seconds("self")?);
    tokio::time::sleep_until(end.into()).await;
    let server_cpu = machine::cpu_seconds(&server)? - server_before;
    let load_cpu = machine::cpu_seconds("self")? - load_before;
    let mut latencies = Vec::new();
    while let Some(ended) = connections.join_next().await {
        latencies.extend(ended??);
    }
    latencies.sort_unstable();
    let percentile = |percent: usize| {
        latencies.get(latencies.len() * percent / 100).copied().context("no post was acknowledged")
    };
    let measured = Measured {
        posts: latencies.len() as u64,
        seconds: (end - begin).as_secs_f64(),
        p50: percentile(50)?,
        p99: percentile(99)?,
        server_cpu,
        load_cpu,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Posts until the end; the latencies of what was acknowledged in the measured time.
async fn connection(options: Options, number: usize, begin: Instant, end: Instant) -> Result<Vec<u32>> {
    let mut client = Client::new(options.address);
    let mut latencies = Vec::with_capacity(32 * 1024);
    for made in 0u64.. {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        let name = format!("{number}-{made}");
        let answer = client.send(&request(&options, &name)).await?;
        ensure!(
            answer.status == 201,
            "a post was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(answer.body())
        );
        let now = Instant::now();
        if now >= begin && now < end {
            latencies.push((now - sent).as_micros() as u32);
        }
    }
    Ok(latencies)
}

fn request(options: &Options, name: &str) -> Request {
    let Options { schema, task, .. } = options;
    let body = format!(
        r#"{{"schema_name":"{schema}","task":"{task}","meta":{{"content_id":"{name}","url":"https://example.com/content/{name}","reported_by":"somebody","reason":"looks like spam to me"}}}}"#
    );
    let mut headers = vec![("api-key", options.key.as_str())];
    if options.keyed {
        headers.push(("idempotency-key", name));
    }
    Request::json("POST", "/api/v1/tasks/", &headers, &body)
}
