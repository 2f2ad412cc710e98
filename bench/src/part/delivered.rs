//! Decisions whose webhooks a receiver gets, sustained, in turn with a bare loop that signs and posts.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::Postgres;
use task_inbox_testkit::http::{Client, Request};

use crate::fill::{self, Content};
use crate::load::{Decide, Decided, HookLoop, HooksPosted, Order, Watched};
use crate::nginx::Nginx;
use crate::scale::Scale;
use crate::stage::{self, Engine, Stage};
use crate::statistics::Runs;

/// Connections that decide, each with one decision under way.
const CONNECTIONS: usize = 64;
/// As many as the service has under way to one endpoint.
const CONCURRENCY: usize = 128;

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Delivered {
    pub(crate) connections: usize,
    pub(crate) concurrency: usize,
    pub(crate) seconds: u64,
    /// Of a webhook's body.
    pub(crate) bytes: usize,
    /// The bare loop's posts per second.
    pub(crate) bare: Runs,
    pub(crate) runs: Vec<Decided>,
}

pub(crate) async fn measure(scale: &Scale) -> Result<Delivered> {
    let cluster = stage::cluster().await?;
    let nginx = Nginx::start().await?;
    let mut delivered = Delivered {
        connections: CONNECTIONS,
        concurrency: CONCURRENCY,
        seconds: scale.sustained,
        bytes: 0,
        bare: Runs::default(),
        runs: Vec::new(),
    };
    for run in 1..=scale.runs {
        let (decided, body) = decide(&cluster, &nginx, scale).await?;
        let (begun, ended) = decided.backlog();
        println!(
            "run {run}: {:.0} decisions/s, {:.0} webhooks/s received; behind by {begun} at first, {ended} at last",
            decided.decided(),
            decided.received()
        );
        delivered.bytes = body.len();
        delivered.runs.push(decided);
        let order = Order::Hooks(HookLoop {
            url: nginx.url(),
            body,
            concurrency: CONCURRENCY,
            seconds: scale.seconds,
        });
        let posted: HooksPosted = order.run().await?;
        println!("run {run}: the bare loop: {:.0} posts/s", posted.per_second);
        delivered.bare.push(posted.per_second);
    }
    Ok(delivered)
}

/// Decides for a while; also returns one of the webhooks' bodies.
async fn decide(cluster: &Postgres, nginx: &Nginx, scale: &Scale) -> Result<(Decided, String)> {
    let stage = Stage::new(Engine::Postgres, cluster, &nginx.url(), "task.state_changed").await?;
    fill::fill(stage.installation.database(), &Content::open(scale.decidable)).await?;
    let server = stage.serve().await?;
    let order = Order::Decide(Decide {
        address: server.address(),
        key: stage.key.clone(),
        first: 0,
        tasks: scale.decidable,
        connections: CONNECTIONS,
        seconds: scale.sustained,
        receiver: nginx.address(),
        watched: Watched { servers: vec![stage::process_of(&server)?], database: Some(cluster.process_id()) },
    });
    let decided = order.run().await?;
    // An event's item is its webhook's body.
    let path = format!("/api/v1/events?task={}&type=task.state_changed", fill::task_id(0));
    let mut cursor = String::new();
    let mut client = Client::new(server.address());
    let body = loop {
        let path = format!("{path}&after={cursor}");
        let page = client.send(&Request::new("GET", &path, &[("api-key", &stage.key)])).await?.json();
        if let Some(event) = page["events"].get(0) {
            break event.to_string();
        }
        let next = page["next_cursor"].as_str().context("there is a next page")?;
        ensure!(next != cursor, "the first task was never decided");
        next.clone_into(&mut cursor);
    };
    stage::end(server).await?;
    stage.strike(cluster).await?;
    Ok((decided, body))
}
