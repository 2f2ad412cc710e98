//! Healthy endpoints beside one that hangs with a long queue: how much later their webhooks come.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::receiver::Behaviour;
use task_inbox_testkit::{Postgres, Receiver};
use tokio::task::JoinSet;

use crate::scale::Scale;
use crate::stage::{self, Engine, Stage, TYPES};
use crate::statistics::{Latency, Runs};

/// Healthy endpoints, each its own schema's.
const HEALTHY: usize = 9;
/// The schema whose endpoint hangs.
const HANGING: &str = "ti:hanging";
/// Between two posts for one healthy endpoint: three hundred a second in all.
const PAUSE: Duration = Duration::from_millis(30);
/// Connections that fill the hanging endpoint's queue.
const FILLERS: usize = 64;
/// What comes first is posted and not counted: connections and plans are made then.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last webhooks may take to come.
const LAST: Duration = Duration::from_secs(30);

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Neighbour {
    pub(crate) healthy: usize,
    pub(crate) queued: u64,
    pub(crate) seconds: u64,
    pub(crate) cases: Vec<Case>,
}

/// One engine and number of replicas.
#[derive(Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) engine: Engine,
    pub(crate) replicas: usize,
    /// Without the hanging endpoint, and beside it.
    pub(crate) alone: Vec<Latency>,
    pub(crate) beside: Vec<Latency>,
}

impl Case {
    /// How many times the healthy ones' p99 is what it is without the other.
    pub(crate) fn ratio(&self) -> f64 {
        let p99 = |runs: &[Latency]| Runs::of(runs, |latency| latency.p99).median();
        p99(&self.beside) / p99(&self.alone)
    }
}

pub(crate) async fn measure(scale: &Scale) -> Result<Neighbour> {
    let cluster = stage::cluster().await?;
    let case = |engine, replicas| Case { engine, replicas, alone: Vec::new(), beside: Vec::new() };
    let mut cases = vec![case(Engine::Postgres, 1), case(Engine::Postgres, 2), case(Engine::Sqlite, 1)];
    for run in 1..=scale.runs {
        for case in &mut cases {
            let alone = post(&cluster, case.engine, case.replicas, 0, scale).await?;
            let beside = post(&cluster, case.engine, case.replicas, scale.queued, scale).await?;
            println!(
                "run {run}: {} x {}: p99 {:.1} ms alone, {:.1} ms beside one that hangs with {} queued",
                case.engine, case.replicas, alone.p99, beside.p99, scale.queued
            );
            case.alone.push(alone);
            case.beside.push(beside);
        }
    }
    Ok(Neighbour { healthy: HEALTHY, queued: scale.queued, seconds: scale.seconds, cases })
}

/// From a post to its webhook, for the healthy endpoints, with so many queued for the other.
async fn post(
    cluster: &Postgres,
    engine: Engine,
    replicas: usize,
    queued: u64,
    scale: &Scale,
) -> Result<Latency> {
    let (receiver, hanging) = (Receiver::start().await?, Receiver::start_counting().await?);
    hanging.behave(Behaviour::Hang);
    let names: Vec<String> = (1..=HEALTHY).map(|number| format!("ti:healthy-{number}")).collect();
    let schemas: Vec<&str> = names.iter().map(String::as_str).collect();
    let directory = stage::directory()?;
    let database = stage::database(engine, cluster, directory.path()).await?;
    let stage = Stage::on(database, directory, &schemas, &receiver.url("/hook"), "task.created").await?;
    stage.add(HANGING, &hanging.url("/hook"), "task.created").await?;
    let mut servers = Vec::new();
    for number in 1..=replicas {
        servers.push(stage.installation.serve(&format!("replica-{number}")).await?);
    }
    let addresses: Vec<SocketAddr> = servers.iter().map(task_inbox_testkit::Server::address).collect();
    fill(&addresses, &stage.key, queued).await?;
    let begun = Instant::now();
    let mut posting = JoinSet::new();
    for (number, schema) in names.into_iter().enumerate() {
        let (address, key) = (addresses[number % addresses.len()], stage.key.clone());
        // Not all at the same moment.
        let first = begun + PAUSE.mul_f64(number as f64 / HEALTHY as f64);
        let until = begun + WARM_UP + Duration::from_secs(scale.seconds);
        posting.spawn(async move { steadily(address, &key, &schema, first, until).await });
    }
    let mut posted: HashMap<String, Instant> = HashMap::new();
    while let Some(done) = posting.join_next().await {
        posted.extend(done??);
    }
    ensure!(
        receiver.wait_for_count(posted.len(), LAST).await,
        "{} of {} webhooks of healthy endpoints came",
        receiver.count(),
        posted.len()
    );
    posted.retain(|_, posted| posted.saturating_duration_since(begun) >= WARM_UP);
    let mut latencies = Vec::with_capacity(posted.len());
    for arrival in receiver.journal() {
        let body: serde_json::Value = serde_json::from_slice(&arrival.body)?;
        let id = body["data"]["task"]["id"].as_str().context("a webhook names its task")?;
        if let Some(begun) = posted.remove(id) {
            latencies.push(arrival.at.saturating_duration_since(begun).as_secs_f64() * 1000.0);
        }
    }
    drop(servers);
    stage.strike(cluster).await?;
    Ok(Latency::of(latencies))
}

/// Posts for the hanging endpoint, as fast as it goes.
async fn fill(addresses: &[SocketAddr], key: &str, count: u64) -> Result<()> {
    let body = format!(r#"{{"schema_name":"{HANGING}","task":"{}"}}"#, TYPES[0]);
    let request = Arc::new(Request::json("POST", "/api/v1/tasks/", &[("api-key", key)], &body));
    let mut filling = JoinSet::new();
    for filler in 0..FILLERS as u64 {
        let (address, request) = (addresses[filler as usize % addresses.len()], request.clone());
        let share = count / FILLERS as u64 + u64::from(filler < count % FILLERS as u64);
        filling.spawn(async move {
            let mut client = Client::new(address);
            for _ in 0..share {
                let answer = client.send(&request).await?;
                ensure!(answer.status == 201, "a post was answered {}", answer.status);
            }
            Ok(())
        });
    }
    while let Some(done) = filling.join_next().await {
        done??;
    }
    Ok(())
}

/// Posts at an even pace, whatever the answers take; returns when each task's post began.
async fn steadily(
    address: SocketAddr,
    key: &str,
    schema: &str,
    first: Instant,
    until: Instant,
) -> Result<Vec<(String, Instant)>> {
    let body = format!(r#"{{"schema_name":"{schema}","task":"{}"}}"#, TYPES[0]);
    let request = Request::json("POST", "/api/v1/tasks/", &[("api-key", key)], &body);
    let mut client = Client::new(address);
    let mut posted = Vec::new();
    let mut next = first;
    while next < until {
        tokio::time::sleep_until(next.into()).await;
        // From when it should have been sent: what is late because of an answer that was is late, too.
        let begun = next;
        let answer = client.send(&request).await?;
        ensure!(answer.status == 201, "a post was answered {}", answer.status);
        let id = answer.json()["task"]["id"].as_str().context("a task has an id")?.to_owned();
        posted.push((id, begun));
        next += PAUSE;
    }
    Ok(posted)
}
