//! Posts per second, in turn with pgbench and with fdatasync.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use task_inbox_testkit::Postgres;

use crate::baseline::{fdatasync, pgbench};
use crate::load::{Measured, Order, Post, Until, WARM_UP, Watched};
use crate::nginx::Nginx;
use crate::scale::Scale;
use crate::stage::{self, Engine, NOWHERE, SCHEMA, Stage, TYPES};
use crate::statistics::Runs;

/// The connections that targets are set for.
pub(crate) const FEW: usize = 32;
pub(crate) const MANY: usize = 256;

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Variant {
    /// Tasks whose creation no webhook wants, as in the sample schema.
    Plain,
    /// The same, each with an Idempotency-Key.
    Keyed,
    /// Tasks whose creation goes out to a receiver by a signed webhook.
    Hooked,
}

impl Variant {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Plain => "posts",
            Self::Keyed => "posts with an Idempotency-Key",
            Self::Hooked => "posts, each with a signed webhook",
        }
    }
}

/// What is measured: engine, connections, variant.
const CELLS: &[(Engine, usize, Variant)] = &[
    (Engine::Postgres, FEW, Variant::Plain),
    (Engine::Postgres, MANY, Variant::Plain),
    (Engine::Sqlite, FEW, Variant::Plain),
    (Engine::Postgres, FEW, Variant::Keyed),
    (Engine::Sqlite, FEW, Variant::Keyed),
    (Engine::Postgres, FEW, Variant::Hooked),
];

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Posts {
    pub(crate) seconds: u64,
    /// pgbench's transactions per second and average latency in milliseconds, by connections.
    pub(crate) pgbench: Vec<(usize, Runs, Runs)>,
    /// Writes of 8 KiB with fdatasync per second.
    pub(crate) fdatasync: Runs,
    pub(crate) cells: Vec<Cell>,
}

/// One variant on one engine.
#[derive(Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) engine: Engine,
    pub(crate) connections: usize,
    pub(crate) variant: Variant,
    pub(crate) runs: Vec<Measured>,
}

impl Cell {
    /// Posts per second.
    pub(crate) fn rate(&self) -> Runs {
        Runs::of(&self.runs, Measured::rate)
    }
}

impl Posts {
    pub(crate) fn cell(&self, engine: Engine, connections: usize) -> Option<&Cell> {
        self.cells.iter().find(|cell| {
            cell.engine == engine && cell.connections == connections && cell.variant == Variant::Plain
        })
    }

    /// pgbench's transactions per second with so many connections.
    pub(crate) fn pgbench(&self, connections: usize) -> Option<&Runs> {
        self.pgbench.iter().find(|(known, ..)| *known == connections).map(|(_, rate, _)| rate)
    }
}

pub(crate) async fn measure(scale: &Scale) -> Result<Posts> {
    let cluster = stage::cluster().await?;
    let database = cluster.create_database().await?;
    let directory = stage::directory()?;
    let mut posts = Posts {
        seconds: scale.seconds,
        pgbench: [FEW, MANY].map(|connections| (connections, Runs::default(), Runs::default())).into(),
        fdatasync: Runs::default(),
        cells: CELLS
            .iter()
            .map(|(engine, connections, variant)| Cell {
                engine: *engine,
                connections: *connections,
                variant: *variant,
                runs: Vec::new(),
            })
            .collect(),
    };
    for run in 1..=scale.runs {
        for (connections, rates, latencies) in &mut posts.pgbench {
            // As long as the service's runs with their warm-up: 256 connections take a while to open.
            let seconds = scale.seconds + WARM_UP.as_secs();
            let measured = pgbench(&cluster, &database, *connections, seconds, directory.path()).await?;
            println!("run {run}: pgbench -c {connections}: {:.0} transactions/s", measured.per_second);
            rates.push(measured.per_second);
            latencies.push(measured.latency);
        }
        let writes = fdatasync(cluster.tools(), directory.path(), scale.seconds.min(2)).await?;
        println!("run {run}: fdatasync: {writes:.0}/s");
        posts.fdatasync.push(writes);
        for cell in &mut posts.cells {
            let measured = post(&cluster, cell, scale).await?;
            let Cell { engine, connections, variant, runs } = cell;
            println!(
                "run {run}: {engine}, {}, {connections} connections: {:.0}/s",
                variant.title(),
                measured.rate()
            );
            runs.push(measured);
        }
    }
    Ok(posts)
}

async fn post(cluster: &Postgres, cell: &Cell, scale: &Scale) -> Result<Measured> {
    let nginx = match cell.variant {
        Variant::Hooked => Some(Nginx::start().await?),
        Variant::Plain | Variant::Keyed => None,
    };
    let (hook, events) = match &nginx {
        Some(nginx) => (nginx.url(), "task.created, task.state_changed"),
        None => (NOWHERE.to_owned(), "task.state_changed"),
    };
    let stage = Stage::new(cell.engine, cluster, &hook, events).await?;
    let server = stage.serve().await?;
    stage.try_out(server.address()).await?;
    let order = Order::Post(Post {
        addresses: vec![server.address()],
        key: stage.key.clone(),
        schema: SCHEMA.to_owned(),
        task: TYPES[0].to_owned(),
        connections: cell.connections,
        until: Until::Seconds(scale.seconds),
        keyed: cell.variant == Variant::Keyed,
        watched: Watched {
            servers: vec![stage::process_of(&server)?],
            database: (cell.engine == Engine::Postgres).then(|| cluster.process_id()),
        },
    });
    let measured = order.run().await?;
    stage::end(server).await?;
    stage.strike(cluster).await?;
    Ok(measured)
}
