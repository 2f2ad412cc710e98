//! Ten thousand listeners to topics on one server, a hundred of whom hear of each of 200 events a second; and listeners
//! to one replica while another is decided at.

mod fanout;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::load::{Listen, Listened, Order};
use crate::part::footprint::megabytes;
use crate::scale::Scale;
use crate::stage::{self, Engine, NOWHERE, Stage};
use crate::statistics::Latency;
pub(crate) use fanout::{Bare, Fanout};

/// Listeners to each task.
pub(crate) const EACH: usize = 100;
/// Events a second.
pub(crate) const RATE: u64 = 200;

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Realtime {
    pub(crate) listeners: usize,
    pub(crate) engines: Vec<OnEngine>,
    /// From one replica to another, by each bus.
    #[serde(default)]
    pub(crate) fanouts: Vec<Fanout>,
}

/// What it took on one engine.
#[derive(Serialize, Deserialize)]
pub(crate) struct OnEngine {
    pub(crate) engine: Engine,
    /// Milliseconds from PATCH sent to message received.
    pub(crate) told: Latency,
    pub(crate) messages: u64,
    /// Bytes of the server before the first listener, with all at rest, and after the load.
    pub(crate) before: u64,
    pub(crate) at_rest: u64,
    pub(crate) after: u64,
    /// CPU seconds of the server for each second of load.
    pub(crate) cpu: f64,
}

impl Realtime {
    /// Bytes of the server for each listener, after the load.
    pub(crate) fn bytes_each(&self, on: &OnEngine) -> f64 {
        on.after.max(on.at_rest).saturating_sub(on.before) as f64 / self.listeners as f64
    }
}

pub(crate) async fn measure(scale: &Scale) -> Result<Realtime> {
    let cluster = stage::cluster().await?;
    let mut engines = Vec::new();
    for engine in Engine::ALL {
        let stage = Stage::new(engine, &cluster, NOWHERE, "task.cancelled").await?;
        let server = stage.serve().await?;
        let order = Order::Listen(Listen {
            address: server.address(),
            told: server.address(),
            key: stage.key.clone(),
            server: stage::process_of(&server)?,
            each: EACH,
            tasks: scale.listeners / EACH,
            rate: RATE,
            seconds: scale.sustained,
        });
        let listened: Listened = order.run().await?;
        listened.must_be_whole()?;
        let told = Latency::of(listened.told);
        println!(
            "{engine}: {} messages, median {:.1} ms, p99 {:.1} ms; {:.1} MB before, {:.1} MB with {} listeners, \
             {:.1} MB after the load; {:.2} cores",
            listened.messages,
            told.p50,
            told.p99,
            megabytes(listened.before),
            megabytes(listened.at_rest),
            scale.listeners,
            megabytes(listened.after),
            listened.cpu
        );
        let Listened { messages, before, at_rest, after, cpu, .. } = listened;
        engines.push(OnEngine { engine, told, messages, before, at_rest, after, cpu });
        stage::end(server).await?;
        stage.strike(&cluster).await?;
    }
    let fanouts = fanout::measure(&cluster, scale).await?;
    Ok(Realtime { listeners: scale.listeners, engines, fanouts })
}
