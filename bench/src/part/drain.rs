//! A long queue over many endpoints, drained: whether looking for what is due gets slower on the way.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::Database;
use task_inbox_testkit::http::{Client, Request};

use crate::nginx::{Count, Nginx};
use crate::scale::Scale;
use crate::stage::{self, Engine, NOWHERE, Stage};

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// How long it may take to send nothing at all before it counts as stuck.
const STUCK: Duration = Duration::from_mins(1);

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Drain {
    pub(crate) queues: Vec<Queue>,
}

/// One engine's queue.
#[derive(Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) engine: Engine,
    pub(crate) endpoints: u64,
    pub(crate) deliveries: u64,
    pub(crate) seconds: f64,
    /// Of each tenth of the deliveries.
    pub(crate) tenths: Vec<Tenth>,
}

/// What looking for due deliveries took while a tenth of them was sent.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Tenth {
    pub(crate) claims: f64,
    pub(crate) rows: f64,
    /// In milliseconds, of all of these claims.
    pub(crate) millis: f64,
    /// How long the tenth took in all.
    pub(crate) seconds: f64,
}

impl Tenth {
    /// Milliseconds of one claim.
    pub(crate) fn of_one(&self) -> f64 {
        self.millis / self.claims.max(1.0)
    }
}

impl Queue {
    /// How many times the first tenth's claims the last tenth's took.
    pub(crate) fn ratio(&self) -> f64 {
        self.last_beside_first(Tenth::of_one)
    }

    /// The same of all that sending a tenth took: claims that get smaller get quicker.
    pub(crate) fn ratio_in_all(&self) -> f64 {
        self.last_beside_first(|tenth| tenth.seconds)
    }

    fn last_beside_first(&self, of: impl Fn(&Tenth) -> f64) -> f64 {
        match (self.tenths.first(), self.tenths.last()) {
            (Some(first), Some(last)) => of(last) / of(first),
            _ => f64::NAN,
        }
    }
}

pub(crate) async fn measure(scale: &Scale) -> Result<Drain> {
    let mut queues = Vec::new();
    for engine in Engine::ALL {
        let queue = drain(engine, scale).await?;
        println!(
            "{engine}: {} deliveries over {} endpoints in {:.0} s; a claim took {:.2} ms at first, {:.2} ms at last",
            queue.deliveries,
            queue.endpoints,
            queue.seconds,
            queue.tenths.first().map_or(0.0, Tenth::of_one),
            queue.tenths.last().map_or(0.0, Tenth::of_one)
        );
        queues.push(queue);
    }
    Ok(Drain { queues })
}

async fn drain(engine: Engine, scale: &Scale) -> Result<Queue> {
    let cluster = stage::cluster().await?;
    let nginx = Nginx::start().await?;
    let stage = Stage::new(engine, &cluster, NOWHERE, "task.due").await?;
    let key = stage.new_key(&["endpoints:write", "endpoints:read", "tasks:write"]).await?;
    // Without a dispatcher, so that nothing is sent yet.
    let quiet = stage.installation.clone().with("TASK_INBOX_ROLES", "api").serve("quiet").await?;
    let mut client = Client::new(quiet.address());
    for number in 0..scale.endpoints {
        let url = format!("{}?endpoint={number}", nginx.url());
        let body = serde_json::json!({ "url": url, "event_types": ["task.due"] }).to_string();
        let answer =
            client.send(&Request::json("POST", "/api/v1/endpoints", &[("api-key", &key)], &body)).await?;
        ensure!(answer.status == 201, "an endpoint was answered {}: {}", answer.status, answer.json());
    }
    let events = scale.deliveries / scale.endpoints;
    for _ in 0..events {
        stage.try_out(quiet.address()).await?;
    }
    stage::end(quiet).await?;
    queue(stage.installation.database()).await?;
    let counted = Count::new(nginx.address()).requests().await?;
    let server = stage.serve().await?;
    let begun = Instant::now();
    let tenths = watch(&nginx, counted, &server, events * scale.endpoints).await?;
    let seconds = begun.elapsed().as_secs_f64();
    stage::end(server).await?;
    stage.strike(&cluster).await?;
    Ok(Queue { engine, endpoints: scale.endpoints, deliveries: events * scale.endpoints, seconds, tenths })
}

/// Queues every event for every registered endpoint, under ids that begin with the event's time as the service's
/// do.
async fn queue(database: &Database) -> Result<()> {
    let (id, now) = match database {
        Database::Postgres(_) => (
            "(substr(replace(v.id::text, '-', ''), 1, 12) || '7'
                || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid",
            "(extract(epoch FROM now()) * 1000000)::bigint",
        ),
        Database::Sqlite(_) => (
            "CAST(substr(v.id, 1, 6) || x'70' || randomblob(9) AS blob)",
            "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
        ),
    };
    let insert = format!(
        "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, task_id, version, attempts, due_at,
            created_at)
         SELECT {id}, e.id, v.id, v.schema_name, v.task_id, v.version, 0, {now}, {now}
         FROM events v CROSS JOIN endpoints e WHERE e.origin = 'registered' AND v.kind = 'task.created'"
    );
    database.execute(&insert).await?;
    if let Database::Postgres(_) = database {
        database.execute("ANALYZE deliveries").await?;
    }
    Ok(())
}

/// Follows the draining; returns what each tenth took.
async fn watch(
    nginx: &Nginx,
    counted: u64,
    server: &task_inbox_testkit::Server,
    deliveries: u64,
) -> Result<Vec<Tenth>> {
    let (mut count, mut client) = (Count::new(nginx.address()), Client::new(server.address()));
    let mut tenths = Vec::new();
    let (mut last, mut since) = (claims(&mut client).await?, Instant::now());
    let (mut seen, mut moved) = (0, Instant::now());
    while (tenths.len() as u64) < 10 {
        tokio::time::sleep(LOOK).await;
        let sent = count.requests().await?.saturating_sub(counted);
        if sent != seen {
            (seen, moved) = (sent, Instant::now());
        }
        ensure!(moved.elapsed() < STUCK, "nothing was sent for a minute; {sent} of {deliveries} were");
        if sent * 10 < deliveries * (tenths.len() as u64 + 1) {
            continue;
        }
        let now = claims(&mut client).await?;
        tenths.push(Tenth {
            claims: now.0 - last.0,
            rows: now.1 - last.1,
            millis: (now.2 - last.2) * 1000.0,
            seconds: since.elapsed().as_secs_f64(),
        });
        (last, since) = (now, Instant::now());
    }
    Ok(tenths)
}

/// How many claims there were, how many deliveries they found, and their seconds.
async fn claims(client: &mut Client) -> Result<(f64, f64, f64)> {
    let answer = client.send(&Request::new("GET", "/metrics", &[])).await?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(Ok(0.0), |value| value.trim().parse().with_context(|| format!("{name} is a number")))
    };
    Ok((
        value("task_inbox_claim_duration_seconds_count")?,
        value("task_inbox_claim_batch_size_sum")?,
        value("task_inbox_claim_duration_seconds_sum")?,
    ))
}
