//! Reads of a large database beside the same reads of a small one.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use task_inbox_testkit::{Database, Postgres, Server};

use crate::fill::{self, Content, SCHEMAS};
use crate::load::{Answers, Order, Reads as ReadOrder, Site};
use crate::scale::Scale;
use crate::stage::{self, Engine, NOWHERE, Stage};
use crate::statistics::{Latency, Runs};

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Reads {
    /// Tasks in the small and in the large database; each has three events.
    pub(crate) few: u64,
    pub(crate) many: u64,
    /// Requests of each kind in each run, where they didn't take too long.
    pub(crate) requests: usize,
    pub(crate) engines: Vec<OnEngine>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct OnEngine {
    pub(crate) engine: Engine,
    pub(crate) kinds: Vec<Kind>,
}

/// One kind of read. Times are in milliseconds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) items: (usize, usize),
    pub(crate) small: Side,
    pub(crate) large: Side,
}

/// The medians and 99th percentiles of each run.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) p50: Runs,
    pub(crate) p99: Runs,
    /// The fewest requests that a run made.
    pub(crate) samples: usize,
}

impl Kind {
    /// How many times as long the large one takes.
    pub(crate) fn growth(&self) -> f64 {
        self.large.p99.median() / self.small.p99.median()
    }
}

impl Side {
    fn add(&mut self, run: &Latency) {
        self.p50.push(run.p50);
        self.p99.push(run.p99);
        let is_first = self.samples == 0;
        self.samples = if is_first { run.samples } else { self.samples.min(run.samples) };
    }
}

/// A server on a database that was filled.
struct Filled {
    stage: Stage,
    files: PathBuf,
    server: Server,
    tasks: u64,
    events: u64,
}

impl Filled {
    async fn new(engine: Engine, cluster: &Postgres, tasks: u64) -> Result<Self> {
        let directory = stage::directory()?;
        let database = stage::database(engine, cluster, directory.path()).await?;
        let stage = Stage::on(database.clone(), directory, &SCHEMAS, NOWHERE, "task.state_changed").await?;
        let begun = Instant::now();
        let events = fill::fill(&database, &Content::decided(tasks)).await?;
        println!("{engine}: {tasks} tasks and {events} events in {} s", begun.elapsed().as_secs());
        let server = stage.serve().await?;
        let files = match database {
            Database::Postgres(_) => cluster.files(),
            Database::Sqlite(path) => path,
        };
        Ok(Self { stage, files, server, tasks, events })
    }

    fn site(&self) -> Site {
        let Self { stage, server, tasks, events, .. } = self;
        Site { address: server.address(), key: stage.key.clone(), tasks: *tasks, events: *events }
    }
}

/// Fills a database that is empty, for whoever wants to look at it, and prints a key to it.
pub(crate) async fn fill(database: &str, tasks: u64) -> Result<()> {
    let database = if database.starts_with("postgres") {
        Database::Postgres(database.to_owned())
    } else {
        Database::Sqlite(std::path::absolute(database)?)
    };
    let stage =
        Stage::on(database.clone(), stage::directory()?, &SCHEMAS, NOWHERE, "task.state_changed").await?;
    fill::fill(&database, &Content::decided(tasks)).await?;
    println!("{}", stage.key);
    Ok(())
}

pub(crate) async fn measure(scale: &Scale) -> Result<Reads> {
    let mut engines = Vec::new();
    for engine in Engine::ALL {
        engines.push(on(engine, scale).await?);
    }
    Ok(Reads { few: scale.few, many: scale.many, requests: scale.reads, engines })
}

async fn on(engine: Engine, scale: &Scale) -> Result<OnEngine> {
    let cluster = stage::cluster().await?;
    let small = Filled::new(engine, &cluster, scale.few).await?;
    let large = Filled::new(engine, &cluster, scale.many).await?;
    let mut files = vec![small.files.clone(), large.files.clone()];
    files.dedup();
    let mut kinds: Vec<Kind> = Vec::new();
    for run in 1..=scale.runs {
        let order = Order::Reads(ReadOrder {
            small: small.site(),
            large: large.site(),
            files: files.clone(),
            requests: scale.reads,
            seconds: scale.read_seconds,
        });
        for (place, answers) in order.run::<Vec<Answers>>().await?.into_iter().enumerate() {
            let Answers { name, items, small, large } = answers;
            println!("run {run}: {engine}: {name}: p99 {:.2} ms, large {:.2} ms", small.p99, large.p99);
            if place == kinds.len() {
                kinds.push(Kind { name, items, small: Side::default(), large: Side::default() });
            }
            kinds[place].small.add(&small);
            kinds[place].large.add(&large);
        }
    }
    for filled in [small, large] {
        stage::end(filled.server).await?;
    }
    Ok(OnEngine { engine, kinds })
}
