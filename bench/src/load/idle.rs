//! Idle latency: one decision at a time, from its PATCH to its webhook, in turn with the two things
//! that no such service can do without: a commit, and a POST.
//!
//! Everything but the server is in this one process, so that both ends of a latency are read off
//! one clock.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::{Database, Receiver};

use super::loops;
use crate::baseline::Commits;
use crate::stage::{self, SCHEMA, Stage, TYPES};

/// Not measured: connections open, caches fill.
const WARM_UP: usize = 10;
/// After a webhook: until what is written about it is written (within 50 ms), and a bit.
const REST: Duration = Duration::from_millis(75);
const SOON: Duration = Duration::from_secs(20);

/// Where, and how often.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Idle {
    /// The URL of an empty PostgreSQL database; SQLite in a directory of its own otherwise.
    pub(crate) postgres: Option<String>,
    pub(crate) samples: usize,
}

/// Milliseconds, one of each for each sample.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IdleTimes {
    /// A bare commit on the same database.
    pub(crate) commit: Vec<f64>,
    /// A bare POST, from sent to received, of a body as long as the webhook's.
    pub(crate) post: Vec<f64>,
    /// From PATCH sent to PATCH answered.
    pub(crate) answered: Vec<f64>,
    /// From PATCH sent to webhook received.
    pub(crate) webhook: Vec<f64>,
}

pub(super) async fn run(order: &Idle) -> Result<IdleTimes> {
    let receiver = Receiver::start().await?;
    let directory = stage::directory()?;
    let database = match &order.postgres {
        Some(url) => Database::Postgres(url.clone()),
        None => Database::Sqlite(directory.path().join("bench.db")),
    };
    let hook = receiver.url("/hook");
    let stage = Stage::on(database.clone(), directory, &[SCHEMA], &hook, "task.state_changed").await?;
    let mut commits = Commits::open(&database).await?;
    let server = stage.serve().await?;
    let mut client = Client::new(server.address());
    let mut tasks = Vec::new();
    for _ in 0..WARM_UP + order.samples {
        tasks.push(post(&mut client, &stage.key).await?);
    }
    let bare = loops::client()?;
    let mut body = "{}".to_owned();
    let mut times = IdleTimes::default();
    for (number, task) in tasks.iter().enumerate() {
        let commit = Instant::now();
        commits.commit(number as i64).await?;
        let commit = commit.elapsed();

        let sent = Instant::now();
        let request = bare.post(receiver.url("/bare")).body(body.clone());
        ensure!(request.send().await?.status().is_success(), "the receiver takes everything");
        let posted = arrival(&receiver, 2 * number + 1, "/bare").await?.0 - sent;

        let path = format!("/api/v1/tasks/{task}/state?state=block");
        let request = Request::new("PATCH", &path, &[("api-key", &stage.key)]);
        let sent = Instant::now();
        let decide = async {
            let answer = client.send(&request).await?;
            ensure!(answer.status == 200, "a decision was answered {}", answer.status);
            Ok(sent.elapsed())
        };
        let (answered, arrived) = tokio::join!(decide, arrival(&receiver, 2 * number + 2, "/hook"));
        let (arrived, webhook) = arrived?;
        if number >= WARM_UP {
            times.commit.push(millis(commit));
            times.post.push(millis(posted));
            times.answered.push(millis(answered?));
            times.webhook.push(millis(arrived - sent));
        }
        body = webhook;
        tokio::time::sleep(REST).await;
    }
    stage::end(server).await?;
    Ok(times)
}

async fn post(client: &mut Client, key: &str) -> Result<String> {
    let body = format!(
        r#"{{"schema_name":"{SCHEMA}","task":"{}","meta":{{"url":"https://example.com/1"}}}}"#,
        TYPES[0]
    );
    let answer = client.send(&Request::json("POST", "/api/v1/tasks/", &[("api-key", key)], &body)).await?;
    ensure!(answer.status == 201, "a post was answered {}", answer.status);
    answer.json()["task"]["id"].as_str().map(str::to_owned).context("a posted task has an id")
}

/// When the request with this number, counted from 1, was complete, and its body.
async fn arrival(receiver: &Receiver, number: usize, path: &str) -> Result<(Instant, String)> {
    ensure!(receiver.wait_for_count(number, SOON).await, "nothing arrived at {path} in {SOON:?}");
    receiver.inspect(|journal| {
        let arrival = journal.get(number - 1).context("what was counted is in the journal")?;
        ensure!(arrival.path == path, "{} arrived where {path} was due", arrival.path);
        Ok((arrival.at, String::from_utf8_lossy(&arrival.body).into_owned()))
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
