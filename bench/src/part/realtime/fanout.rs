//! From one replica to another by each bus, beside Redis and NATS by themselves.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use task_inbox_testkit::{Broker, Postgres};

use super::{EACH, RATE};
use crate::load::{Listen, Listened, Order, Publish, Published};
use crate::scale::Scale;
use crate::stage::{self, Engine, NOWHERE, Stage};
use crate::statistics::Latency;

/// Tasks that are listened to, each by [`EACH`]: few enough that what is measured is the way, and not the number.
const TASKS: usize = 10;

/// What it took by one bus.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fanout {
    pub(crate) bus: String,
    pub(crate) listeners: usize,
    pub(crate) messages: u64,
    /// Milliseconds from PATCH sent to one replica to message received from the other.
    pub(crate) told: Latency,
    /// The bus's server by itself, if it is one of its own.
    pub(crate) bare: Option<Bare>,
}

/// A server that publishes to as many as listen to a task.
#[derive(Serialize, Deserialize)]
pub(crate) struct Bare {
    /// Milliseconds from publishing to message received, at the same rate.
    pub(crate) told: Latency,
    /// Messages received in a second, as many as go.
    pub(crate) rate: f64,
}

pub(super) async fn measure(cluster: &Postgres, scale: &Scale) -> Result<Vec<Fanout>> {
    let (redis, nats) = (Broker::redis().await?, Broker::nats().await?);
    let mut fanouts = Vec::new();
    for (bus, broker) in [("PostgreSQL", None), ("Redis", Some(&redis)), ("NATS", Some(&nats))] {
        let bare = match broker {
            Some(broker) => Some(by_itself(broker, scale).await?),
            None => None,
        };
        let listened = between_replicas(cluster, broker, scale).await?;
        let fanout = Fanout {
            bus: bus.to_owned(),
            listeners: TASKS * EACH,
            messages: listened.messages,
            told: Latency::of(listened.told),
            bare,
        };
        println!(
            "by {bus}: {} messages, median {:.1} ms, p99 {:.1} ms",
            fanout.messages, fanout.told.p50, fanout.told.p99
        );
        if let Some(bare) = &fanout.bare {
            println!(
                "{bus} by itself: median {:.1} ms, p99 {:.1} ms; at most {:.0} messages/s",
                bare.told.p50, bare.told.p99, bare.rate
            );
        }
        fanouts.push(fanout);
    }
    Ok(fanouts)
}

async fn by_itself(broker: &Broker, scale: &Scale) -> Result<Bare> {
    let order =
        Order::Publish(Publish { url: broker.url(), each: EACH, rate: RATE, seconds: scale.sustained });
    let Published { told, rate } = order.run().await?;
    Ok(Bare { told: Latency::of(told), rate })
}

async fn between_replicas(cluster: &Postgres, broker: Option<&Broker>, scale: &Scale) -> Result<Listened> {
    let stage = Stage::new(Engine::Postgres, cluster, NOWHERE, "task.cancelled").await?;
    let bus = broker.map_or_else(|| "postgres".to_owned(), Broker::url);
    let installation = stage.installation.clone().with("TASK_INBOX_BUS", &bus);
    let (deciding, told) = (installation.serve("deciding").await?, installation.serve("told").await?);
    let order = Order::Listen(Listen {
        address: deciding.address(),
        told: told.address(),
        server: stage::process_of(&told)?,
        key: stage.key.clone(),
        each: EACH,
        tasks: TASKS,
        rate: RATE,
        seconds: scale.sustained,
    });
    let listened: Listened = order.run().await?;
    listened.must_be_whole()?;
    for server in [deciding, told] {
        stage::end(server).await?;
    }
    stage.strike(cluster).await?;
    Ok(listened)
}
