//! Posts per second by 1, 2 and 4 replicas on one PostgreSQL, with a longer way to it.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use task_inbox_testkit::postgres::url_at;
use task_inbox_testkit::{Database, Delay, Postgres};

use crate::load::{Measured, Order, Post, Until, Watched};
use crate::scale::Scale;
use crate::stage::{self, NOWHERE, SCHEMA, Stage, TYPES};
use crate::statistics::Runs;

/// Connections in all, whatever the number of replicas.
const CONNECTIONS: usize = 128;
/// Added to each direction, so that a round trip takes 1 ms more.
const EACH_WAY: Duration = Duration::from_micros(500);
const REPLICAS: [usize; 3] = [1, 2, 4];

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Replicas {
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    pub(crate) numbers: Vec<Number>,
}

/// What so many replicas do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Number {
    pub(crate) replicas: usize,
    pub(crate) runs: Vec<Measured>,
}

impl Number {
    /// Posts per second.
    pub(crate) fn rate(&self) -> Runs {
        Runs::of(&self.runs, Measured::rate)
    }
}

pub(crate) async fn measure(scale: &Scale) -> Result<Replicas> {
    let cluster = stage::cluster().await?;
    let mut numbers: Vec<_> =
        REPLICAS.iter().map(|replicas| Number { replicas: *replicas, runs: Vec::new() }).collect();
    for run in 1..=scale.runs {
        for Number { replicas, runs } in &mut numbers {
            let measured = post(&cluster, *replicas, scale).await?;
            println!("run {run}: {replicas} replicas: {:.0} posts/s", measured.rate());
            runs.push(measured);
        }
    }
    Ok(Replicas { connections: CONNECTIONS, seconds: scale.seconds, numbers })
}

async fn post(cluster: &Postgres, replicas: usize, scale: &Scale) -> Result<Measured> {
    let name = cluster.create_database().await?;
    let database = Database::Postgres(cluster.url(&name));
    let stage = Stage::on(database, stage::directory()?, &[SCHEMA], NOWHERE, "task.state_changed").await?;
    let delay = Delay::start(cluster.address(), EACH_WAY)?;
    let far = stage.installation.clone().on(Database::Postgres(url_at(delay.address(), &name)));
    let mut servers = Vec::new();
    for number in 1..=replicas {
        servers.push(far.serve(&format!("replica-{number}")).await?);
    }
    for server in &servers {
        stage.try_out(server.address()).await?;
    }
    let order = Order::Post(Post {
        addresses: servers.iter().map(task_inbox_testkit::Server::address).collect(),
        key: stage.key.clone(),
        schema: SCHEMA.to_owned(),
        task: TYPES[0].to_owned(),
        connections: CONNECTIONS,
        until: Until::Seconds(scale.seconds),
        keyed: false,
        watched: Watched {
            servers: servers.iter().map(stage::process_of).collect::<Result<_>>()?,
            database: Some(cluster.process_id()),
        },
    });
    let measured = order.run().await?;
    for server in servers {
        stage::end(server).await?;
    }
    stage.strike(cluster).await?;
    Ok(measured)
}
