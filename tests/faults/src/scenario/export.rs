//! NATS, and the replicas that export to it, are killed in turn at random points under load: every event of the log is
//! in the stream once and in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use task_inbox_testkit::Broker;
use task_inbox_testkit::http::{Client, Request};

use crate::Options;
use crate::audit::Report;
use crate::collect;
use crate::journal::Event;
use crate::load::Work;
use crate::stage::{Engine, Stage};

const CLIENTS: usize = 4;
/// How long the stream may take to have everything: who stands by looks twice, and who lost the server waits.
const COMPLETE: Duration = Duration::from_mins(1);
const RULE: &str = "the stream holds every event of the log once and in order";

pub(super) async fn run(options: &Options) -> Result<Report> {
    let options = Options { clients: options.clients.or(Some(CLIENTS)), ..options.clone() };
    let mut stage = Stage::build(&options).await?;
    let mut nats = Broker::jetstream().await?;
    stage.installation = stage
        .installation
        .clone()
        .with("TASK_INBOX_ROLES", "api,realtime,dispatcher,exporter")
        .with("TASK_INBOX_EXPORT_URL", &nats.url());
    let installation = stage.installation.clone();
    let replicas = if options.engine == Engine::Postgres { 2 } else { 1 };
    for _ in 0..replicas {
        stage.serve(&installation).await?;
    }
    stage.begin(Work::Stream);
    let mut rng = StdRng::seed_from_u64(options.seed);
    for round in 0..options.rounds.unwrap_or(40) {
        if !stage.expect_progress(50, Duration::from_secs(30)).await? {
            break;
        }
        // The random point.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..500))).await;
        if round % 2 == 0 {
            nats.kill()?;
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..1000))).await;
            nats.start().await?;
            stage.count("kills of NATS", 1);
        } else {
            stage.kill_and_restart(rng.random_range(0..replicas)).await?;
            stage.count("kills of an exporting replica", 1);
        }
    }
    stage.expect_progress(50, Duration::from_secs(30)).await?;
    let report = stage.audit(Vec::new()).await?;
    let (address, key) = (stage.server(0)?.address(), stage.keys[0].secret.clone());
    let log = collect::events(address, &key).await?;
    compare(&mut stage, &log, &nats).await?;
    for place in 0..replicas {
        let address = stage.server(place)?.address();
        if !tells_no_lag(address).await? {
            stage.broken("metrics tell how far the export is", format!("replica {place} tells of a lag"));
        }
    }
    Ok(stage.conclude(report))
}

/// Waits until a replica's metrics say that it reaches the stream, and that nothing is missing there.
async fn tells_no_lag(address: SocketAddr) -> Result<bool> {
    let (mut client, begun) = (Client::new(address), Instant::now());
    while begun.elapsed() < COMPLETE {
        let answer = client.send(&Request::new("GET", "/metrics", &[])).await?;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let told = |line: &str| text.lines().any(|told| told == line);
        if told("task_inbox_export_lag_events 0") && told("task_inbox_export_up 1") {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(false)
}

/// The stream beside the log.
async fn compare(stage: &mut Stage, log: &[Event], nats: &Broker) -> Result<()> {
    let context = jetstream::new(async_nats::connect(nats.url()).await?);
    let begun = Instant::now();
    let stream = loop {
        let stream = context.get_stream("TASK_INBOX").await?;
        let last = stream.cached_info().state.last_sequence;
        if last >= log.len() as u64 {
            break stream;
        }
        if begun.elapsed() > COMPLETE {
            stage.broken(RULE, format!("it has {last} messages, and the log {} events", log.len()));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let held = &stream.cached_info().state;
    if held.messages != log.len() as u64 || held.first_sequence != 1 {
        stage.broken(RULE, format!("{held:?}, and {} events", log.len()));
    }
    stage.count("ms until the stream had everything", begun.elapsed().as_millis() as usize);
    for (event, sequence) in log.iter().zip(1..) {
        let message = stream.get_raw_message(sequence).await?;
        let payload: Value = serde_json::from_slice(&message.payload)?;
        let exported = collect::event(&payload)?;
        let id = message.headers.get("Nats-Msg-Id").context("a message has an id")?;
        let is_it = (exported.seq, &exported.id, &exported.value) == (event.seq, &event.id, &event.value)
            && id.as_str() == event.id;
        let ends_right = message.subject.ends_with(&format!(".{}", event.kind.replace('.', "%2E")));
        if !is_it || !ends_right {
            stage.broken(RULE, format!("{sequence}: {} {exported:?}, in the log {event:?}", message.subject));
            return Ok(());
        }
    }
    stage.count("events in the stream", log.len());
    Ok(())
}
