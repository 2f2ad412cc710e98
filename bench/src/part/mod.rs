//! What is measured: each part by itself, with its limits in the same run.

pub(crate) mod delivered;
pub(crate) mod drain;
pub(crate) mod footprint;
pub(crate) mod latency;
pub(crate) mod neighbour;
pub(crate) mod posts;
pub(crate) mod reads;
pub(crate) mod realtime;
pub(crate) mod replicas;
pub(crate) mod storage;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::machine::{Facts, Watch, refuse_memory};
use crate::results::{Conditions, Kept, Results};
use crate::scale::Scale;

/// How long the machine is watched before a part begins.
const LOOK: Duration = Duration::from_secs(3);

/// The parts, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Posts per second, beside pgbench and fdatasync
    Posts,
    /// Webhooks of decisions per second, sustained, beside a bare signing loop
    Delivered,
    /// From a decision to its webhook on an idle server, beside a commit and a POST
    Latency,
    /// Reads of a large database beside those of a small one
    Reads,
    /// Posts per second by 1, 2 and 4 replicas, with a longer way to the database
    Replicas,
    /// Memory, and the time from start to ready
    Footprint,
    /// Healthy endpoints beside one that hangs with ten thousand queued
    Neighbour,
    /// A million deliveries over a thousand endpoints, drained
    Drain,
    /// A million deliveries and a short retention
    Storage,
    /// Ten thousand listeners to topics
    Realtime,
}

impl Part {
    pub(crate) const ALL: [Self; 10] = [
        Self::Posts,
        Self::Delivered,
        Self::Latency,
        Self::Reads,
        Self::Replicas,
        Self::Footprint,
        Self::Neighbour,
        Self::Drain,
        Self::Storage,
        Self::Realtime,
    ];
}

/// Measures one part and keeps the result in place of an older one.
pub(crate) async fn measure(part: Part, scale: &Scale, results: &mut Results) -> Result<()> {
    refuse_memory()?;
    println!("\n== {part:?}");
    match part {
        Part::Posts => results.posts = Some(keep(scale, Box::pin(posts::measure(scale))).await?),
        Part::Delivered => results.delivered = Some(keep(scale, Box::pin(delivered::measure(scale))).await?),
        Part::Latency => results.latency = Some(keep(scale, Box::pin(latency::measure(scale))).await?),
        Part::Reads => results.reads = Some(keep(scale, Box::pin(reads::measure(scale))).await?),
        Part::Replicas => results.replicas = Some(keep(scale, Box::pin(replicas::measure(scale))).await?),
        Part::Footprint => results.footprint = Some(keep(scale, Box::pin(footprint::measure(scale))).await?),
        Part::Neighbour => results.neighbour = Some(keep(scale, Box::pin(neighbour::measure(scale))).await?),
        Part::Drain => results.drain = Some(keep(scale, Box::pin(drain::measure(scale))).await?),
        Part::Realtime => results.realtime = Some(keep(scale, Box::pin(realtime::measure(scale))).await?),
        Part::Storage => results.storage = Some(keep(scale, Box::pin(storage::measure(scale))).await?),
    }
    Ok(())
}

/// Measures, and says under which conditions.
async fn keep<T>(scale: &Scale, measuring: impl Future<Output = Result<T>>) -> Result<Kept<T>> {
    let facts = Facts::gather().await;
    let watch = Watch::start().context("the machine can't be watched")?;
    tokio::time::sleep(LOOK).await;
    let before = watch.disturbance()?;
    println!("the machine before: others use {:.0} % of it", before.others * 100.0);
    if before.spoils() {
        println!("WARNING: something else is running: these figures will say less than the machine can");
    }
    let watch = Watch::start()?;
    let measured = measuring.await?;
    let during = watch.disturbance()?;
    println!("the machine meanwhile: others used {:.0} % of it", during.others * 100.0);
    let at = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string();
    Ok(Kept { conditions: Conditions { facts, at, quick: scale.quick, before, during }, measured })
}
