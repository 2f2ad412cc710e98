//! Deliveries without end and a short retention: whether what is kept stops growing.
//!
//! Tasks and events are a record that grows with use. So that growth of deliveries and attempts shows by
//! itself, a few thousand events are sent again and again by replays.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::Server;
use task_inbox_testkit::http::{Client, Request};

use crate::nginx::{Count, Nginx};
use crate::scale::Scale;
use crate::stage::{self, Engine, NOWHERE, Stage};

/// How long ended deliveries are kept here.
const KEPT: &str = "10s";
/// Endpoints, each with a job of its own, so that there is always one to go on with.
const ENDPOINTS: usize = 2;
/// PostgreSQL clears up once a minute (`autovacuum_naptime`): so many times the deliveries, so that each half of the
/// course has several of these in it.
const LONGER_ON_POSTGRES: u64 = 3;
const LOOK: Duration = Duration::from_millis(250);
const STUCK: Duration = Duration::from_mins(1);

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(crate) kept: String,
    pub(crate) courses: Vec<Course>,
}

/// One engine's course.
#[derive(Serialize, Deserialize)]
pub(crate) struct Course {
    pub(crate) engine: Engine,
    pub(crate) deliveries: u64,
    pub(crate) moments: Vec<Moment>,
}

/// What is stored at a moment.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) deliveries: u64,
    /// Bytes, by table with its indexes or by file.
    pub(crate) bytes: BTreeMap<String, f64>,
    /// PostgreSQL: dead rows of the hot table.
    pub(crate) dead: f64,
    /// PostgreSQL: seconds of the oldest transaction.
    pub(crate) oldest: f64,
}

/// What grows with deliveries and attempts.
pub(crate) fn parts(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgres => &["deliveries", "finished_deliveries", "attempts"],
        Engine::Sqlite => &["file", "write_ahead_log"],
    }
}

impl Moment {
    pub(crate) fn size(&self, engine: Engine) -> f64 {
        parts(engine).iter().filter_map(|part| self.bytes.get(*part)).sum()
    }
}

impl Course {
    /// The most of the second half beside the most of the first.
    pub(crate) fn growth(&self) -> f64 {
        let most = |moments: &[Moment]| moments.iter().map(|m| m.size(self.engine)).fold(0.0, f64::max);
        let (first, second) = self.moments.split_at(self.moments.len() / 2);
        most(second) / most(first)
    }
}

pub(crate) async fn measure(scale: &Scale) -> Result<Storage> {
    let mut courses = Vec::new();
    for engine in Engine::ALL {
        let course = run(engine, scale).await?;
        println!("{engine}: the second half's most is {:.2} x the first half's", course.growth());
        courses.push(course);
    }
    Ok(Storage { kept: KEPT.to_owned(), courses })
}

async fn run(engine: Engine, scale: &Scale) -> Result<Course> {
    let cluster = stage::cluster().await?;
    let nginx = Nginx::start().await?;
    let stage = Stage::new(engine, &cluster, NOWHERE, "task.due").await?;
    let key = stage.new_key(&["endpoints:write", "endpoints:read", "tasks:write"]).await?;
    let installation = stage.installation.clone().with("TASK_INBOX_KEEP_DELIVERIES", KEPT);
    let server = installation.serve("server").await?;
    for _ in 0..scale.replayed {
        stage.try_out(server.address()).await?;
    }
    let mut client = Client::new(server.address());
    // Registered after what it asks for has happened.
    let mut endpoints = Vec::new();
    for number in 0..ENDPOINTS {
        let url = format!("{}?endpoint={number}", nginx.url());
        let body = serde_json::json!({ "url": url, "event_types": ["task.created"] }).to_string();
        let made =
            client.send(&Request::json("POST", "/api/v1/endpoints", &[("api-key", &key)], &body)).await?;
        endpoints.push(made.json()["id"].as_str().with_context(|| made.json().to_string())?.to_owned());
    }
    let deliveries = match engine {
        Engine::Postgres => scale.deliveries * LONGER_ON_POSTGRES,
        Engine::Sqlite => scale.deliveries,
    };
    let moments = follow(&nginx, &server, &key, &endpoints, deliveries).await?;
    stage::end(server).await?;
    stage.strike(&cluster).await?;
    Ok(Course { engine, deliveries, moments })
}

async fn follow(
    nginx: &Nginx,
    server: &Server,
    key: &str,
    endpoints: &[String],
    deliveries: u64,
) -> Result<Vec<Moment>> {
    let mut count = Count::new(nginx.address());
    let counted = count.requests().await?;
    let mut client = Client::new(server.address());
    let mut moments = Vec::new();
    let (mut seen, mut moved) = (0, Instant::now());
    while (moments.len() as u64) < 20 {
        let busy = busy(&mut client, key).await?;
        for endpoint in endpoints.iter().filter(|endpoint| !busy.contains(*endpoint)) {
            let job =
                serde_json::json!({ "endpoint": endpoint, "what": "since", "since": "2020-01-01T00:00:00Z" });
            let job = Request::json("POST", "/api/v1/replays", &[("api-key", key)], &job.to_string());
            let answer = client.send(&job).await?;
            ensure!(answer.status == 201, "a replay was answered {}: {}", answer.status, answer.json());
        }
        tokio::time::sleep(LOOK).await;
        let sent = count.requests().await?.saturating_sub(counted);
        if sent != seen {
            (seen, moved) = (sent, Instant::now());
        }
        ensure!(moved.elapsed() < STUCK, "nothing was sent for a minute; {sent} were");
        if sent * 20 >= deliveries * (moments.len() as u64 + 1) {
            moments.push(moment(&mut client, sent).await?);
        }
    }
    Ok(moments)
}

/// The endpoints whose job is under way.
async fn busy(client: &mut Client, key: &str) -> Result<Vec<String>> {
    let answer = client.send(&Request::new("GET", "/api/v1/replays", &[("api-key", key)])).await?.json();
    let jobs = answer["replays"].as_array().with_context(|| answer.to_string())?;
    let running = jobs.iter().filter(|job| job["status"] == "running");
    Ok(running.filter_map(|job| Some(job["endpoint_id"].as_str()?.to_owned())).collect())
}

async fn moment(client: &mut Client, deliveries: u64) -> Result<Moment> {
    let answer = client.send(&Request::new("GET", "/metrics", &[])).await?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let value = |line: &str| -> Result<f64> {
        let value = line.rsplit(' ').next().unwrap_or_default();
        value.parse().with_context(|| format!("{line} ends in a number"))
    };
    let mut moment = Moment { deliveries, bytes: BTreeMap::new(), dead: 0.0, oldest: 0.0 };
    for line in text.lines() {
        if let Some(part) = line.strip_prefix("task_inbox_database_bytes{part=\"") {
            let name = part.split('"').next().unwrap_or_default();
            moment.bytes.insert(name.to_owned(), value(line)?);
        }
        if line.starts_with("task_inbox_database_dead_tuples{table=\"deliveries\"") {
            moment.dead = value(line)?;
        }
        if line.starts_with("task_inbox_database_oldest_transaction_seconds") {
            moment.oldest = value(line)?;
        }
    }
    ensure!(!moment.bytes.is_empty(), "/metrics tells no sizes: {text}");
    Ok(moment)
}
