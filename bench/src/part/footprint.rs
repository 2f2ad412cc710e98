//! Memory of the server, idle and after many posts; and the time from its start until it is ready.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::{Postgres, Server};

use crate::load::{Measured, Order, Post, Until, Watched};
use crate::machine;
use crate::part::posts::FEW;
use crate::scale::Scale;
use crate::stage::{self, Engine, NOWHERE, SCHEMA, Stage, TYPES};
use crate::statistics::Runs;

/// After this time without work, memory is what it is.
const SETTLE: Duration = Duration::from_secs(5);
/// How often memory is looked at under load.
const TICK: Duration = Duration::from_secs(1);

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Footprint {
    pub(crate) posts: u64,
    pub(crate) connections: usize,
    pub(crate) engines: Vec<OnEngine>,
}

/// Bytes and milliseconds on one engine.
#[derive(Serialize, Deserialize)]
pub(crate) struct OnEngine {
    pub(crate) engine: Engine,
    /// Of each start on a migrated, empty database, from spawn to ready.
    pub(crate) start: Runs,
    /// Of each start on the database with the posts in it.
    pub(crate) start_full: Runs,
    pub(crate) idle: u64,
    /// What of that is no page of a file.
    pub(crate) idle_anonymous: u64,
    /// Settled after the posts.
    pub(crate) after: u64,
    pub(crate) peak: u64,
    /// Under load: seconds and bytes.
    pub(crate) course: Vec<(f64, u64)>,
    pub(crate) measured: Measured,
}

pub(crate) async fn measure(scale: &Scale) -> Result<Footprint> {
    let cluster = stage::cluster().await?;
    let mut engines = Vec::new();
    for engine in Engine::ALL {
        let measured = on(engine, &cluster, scale).await?;
        println!(
            "{engine}: ready after {:.0} ms; {:.1} MB idle, {:.1} MB after {} posts",
            measured.start.median(),
            megabytes(measured.idle),
            megabytes(measured.after),
            scale.posts
        );
        engines.push(measured);
    }
    Ok(Footprint { posts: scale.posts, connections: FEW, engines })
}

/// As the targets count: a million bytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

async fn on(engine: Engine, cluster: &Postgres, scale: &Scale) -> Result<OnEngine> {
    let stage = Stage::new(engine, cluster, NOWHERE, "task.state_changed").await?;
    let start = starts(&stage, scale.starts).await?;
    let server = stage.serve().await?;
    let process = stage::process_of(&server)?;
    tokio::time::sleep(SETTLE).await;
    let (idle, idle_anonymous) = (machine::memory(process)?, machine::anonymous_memory(process)?);
    let order = Order::Post(Post {
        addresses: vec![server.address()],
        key: stage.key.clone(),
        schema: SCHEMA.to_owned(),
        task: TYPES[0].to_owned(),
        connections: FEW,
        until: Until::Posts(scale.posts),
        keyed: false,
        watched: Watched {
            servers: vec![process],
            database: (engine == Engine::Postgres).then(|| cluster.process_id()),
        },
    });
    let begun = Instant::now();
    let mut course = vec![(0.0, idle)];
    let measured = {
        let mut posting = std::pin::pin!(order.run::<Measured>());
        loop {
            if let Ok(measured) = tokio::time::timeout(TICK, &mut posting).await {
                break measured?;
            }
            course.push((begun.elapsed().as_secs_f64(), machine::memory(process)?));
        }
    };
    tokio::time::sleep(SETTLE).await;
    let (after, peak) = (machine::memory(process)?, machine::peak_memory(process)?);
    course.push((begun.elapsed().as_secs_f64(), after));
    stage::end(server).await?;
    let start_full = starts(&stage, scale.starts).await?;
    stage.strike(cluster).await?;
    Ok(OnEngine { engine, start, start_full, idle, idle_anonymous, after, peak, course, measured })
}

async fn starts(stage: &Stage, times: usize) -> Result<Runs> {
    let mut runs = Runs::default();
    // The first one is not counted: it finds nothing of the binary in memory.
    for number in 0..=times {
        let spawned = Instant::now();
        let server = stage.serve().await?;
        ready(&server).await?;
        if number > 0 {
            runs.push(spawned.elapsed().as_secs_f64() * 1000.0);
        }
        stage::end(server).await?;
    }
    Ok(runs)
}

async fn ready(server: &Server) -> Result<()> {
    let mut client = Client::new(server.address());
    let request = Request::new("GET", "/health/ready", &[]);
    loop {
        let answer = client.send(&request).await.context("it listens")?;
        if answer.status == 200 {
            return Ok(());
        }
    }
}
