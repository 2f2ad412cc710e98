//! Clients that post and decide until told to stop, and write down what they were told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use task_inbox_testkit::http::{Answer, Client, Failure, Request};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::journal::{Call, Op, Outcome, TaskSeen};
use crate::schema;

/// Decisions go to tasks among the latest.
const RECENT: usize = 200;
/// About what an event of a real task weighs.
const FILLER: usize = 300;
const TRIES: u32 = 40;
const TIMEOUT: Duration = Duration::from_secs(10);

/// An API key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// New tasks, mostly named by keys of their own, and decisions on recent ones. Unanswered
    /// calls are repeated, as a real client does.
    Stream,
    /// Everybody on the same few tasks and idempotency keys.
    Contention { tasks: Vec<String>, keys: u32 },
}

/// What all clients share.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) work: Work,
    pub(crate) keys: Vec<Key>,
    /// The replicas that take requests now; a client takes any.
    pub(crate) addresses: watch::Receiver<Vec<SocketAddr>>,
    pub(crate) seed: u64,
}

/// A running load.
pub(crate) struct Load {
    clients: JoinSet<Vec<Call>>,
    stop: watch::Sender<bool>,
    acknowledged: watch::Sender<u64>,
}

struct Worker {
    plan: Plan,
    number: usize,
    rng: StdRng,
    client: Client,
    made: u64,
    recent: Arc<Mutex<VecDeque<TaskSeen>>>,
    acknowledged: watch::Sender<u64>,
    calls: Vec<Call>,
}

impl Load {
    /// Starts the clients.
    pub(crate) fn start(plan: &Plan, clients: usize) -> Self {
        let (stop, acknowledged) = (watch::Sender::new(false), watch::Sender::new(0));
        let recent = Arc::new(Mutex::default());
        let mut running = JoinSet::new();
        for number in 0..clients {
            let mut worker = Worker {
                plan: plan.clone(),
                number,
                rng: StdRng::seed_from_u64(plan.seed.wrapping_mul(1000).wrapping_add(number as u64)),
                client: Client::new(SocketAddr::from(([127, 0, 0, 1], 0))).with_timeout(TIMEOUT),
                made: 0,
                recent: Arc::clone(&recent),
                acknowledged: acknowledged.clone(),
                calls: Vec::new(),
            };
            let mut stopped = stop.subscribe();
            running.spawn(async move {
                while !*stopped.borrow_and_update() {
                    worker.step().await;
                }
                worker.calls
            });
        }
        Self { clients: running, stop, acknowledged }
    }

    /// Waits until this many more calls were answered 2xx; false if they aren't in time.
    pub(crate) async fn progress(&self, more: u64, timeout: Duration) -> bool {
        let mut seen = self.acknowledged.subscribe();
        let goal = *seen.borrow() + more;
        tokio::time::timeout(timeout, seen.wait_for(|count| *count >= goal)).await.is_ok()
    }

    /// Lets every client finish its call, and returns all calls.
    pub(crate) async fn finish(self) -> Result<Vec<Call>> {
        self.stop.send_replace(true);
        Ok(self.clients.join_all().await.into_iter().flatten().collect())
    }
}

/// A call that is about to be made.
struct Intent {
    key: Key,
    marker: String,
    op: Op,
    request: Request,
    /// Whether asking again can't make a second task.
    is_repeatable: bool,
}

impl Worker {
    async fn step(&mut self) {
        let intent = self.next();
        let tries = if intent.is_repeatable && self.rng.random_bool(0.8) { TRIES } else { 1 };
        for attempt in 1..=tries {
            let address = self.address().await;
            self.client.redirect(address);
            let outcome = outcome(self.client.send(&intent.request).await);
            let is_final = !matches!(
                outcome,
                Outcome::NotSent | Outcome::Unknown | Outcome::Answered { status: 500.., .. }
            );
            self.note(&intent, outcome);
            if is_final {
                return;
            }
            // The back-off of a well-behaved client.
            tokio::time::sleep(Duration::from_millis(10 * u64::from(attempt.min(10)))).await;
        }
    }

    async fn address(&mut self) -> SocketAddr {
        let available = match self.plan.addresses.wait_for(|addresses| !addresses.is_empty()).await {
            Ok(addresses) => addresses.clone(),
            // The scenario is over; nothing listens at port 0.
            Err(_) => vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        };
        available[self.rng.random_range(0..available.len())]
    }

    fn note(&mut self, intent: &Intent, outcome: Outcome) {
        if outcome.is_success() {
            self.acknowledged.send_modify(|count| *count += 1);
            if let Outcome::Answered { task: Some(task), .. } = &outcome {
                let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                recent.push_back(task.clone());
                if recent.len() > RECENT {
                    recent.pop_front();
                }
            }
        }
        let Intent { key, marker, op, .. } = intent;
        self.calls.push(Call { actor: key.id.clone(), marker: marker.clone(), op: op.clone(), outcome });
    }

    fn next(&mut self) -> Intent {
        self.made += 1;
        let marker = format!("m{}-{}", self.number, self.made);
        let key = self.plan.keys[self.rng.random_range(0..self.plan.keys.len())].clone();
        if self.rng.random_bool(0.6) { self.post(key, marker) } else { self.decision(key, marker) }
    }

    fn post(&mut self, key: Key, marker: String) -> Intent {
        let Work::Contention { keys, .. } = self.plan.work else {
            let name = format!("{}-{marker}", self.plan.seed);
            let idempotency_key = self.rng.random_bool(0.6).then(|| name.clone());
            let external_id = self.rng.random_bool(0.3).then_some(name);
            return intent_to_post(key, marker, idempotency_key, external_id, None, &mut self.rng);
        };
        match self.rng.random_range(0..20) {
            // Fresh tasks, so that appending to the log is contended too.
            0..4 => intent_to_post(key, marker, None, None, None, &mut self.rng),
            // Another body under a used key: to be refused, at least after the first.
            4 => {
                let shared = self.rng.random_range(0..keys);
                intent_to_post(key, marker, Some(format!("shared-{shared}")), None, None, &mut self.rng)
            }
            _ => {
                let shared = self.rng.random_range(0..keys);
                // All that has this key has this body, to the byte.
                let mut rng = StdRng::seed_from_u64(u64::from(shared));
                let marker = format!("shared-{}-{shared}", key.id);
                intent_to_post(key, marker, Some(format!("shared-{shared}")), None, None, &mut rng)
            }
        }
    }

    fn decision(&mut self, key: Key, marker: String) -> Intent {
        let target = match &self.plan.work {
            Work::Contention { tasks, .. } => {
                let id = tasks[self.rng.random_range(0..tasks.len())].clone();
                let seen = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                let version = seen.iter().rev().find(|task| task.id == id).map(|task| task.version);
                (id, version)
            }
            Work::Stream => {
                let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                if recent.is_empty() {
                    drop(recent);
                    return self.post(key, marker);
                }
                let task = &recent[self.rng.random_range(0..recent.len())];
                (task.id.clone(), Some(task.version))
            }
        };
        let (task, version) = target;
        let expected_version = version.filter(|_| self.rng.random_bool(0.5));
        let state = schema::STATES[self.rng.random_range(0..schema::STATES.len())].map(str::to_owned);
        intent_to_decide(key, marker, task, state, expected_version)
    }
}

/// Posts one task, again and again until it is acknowledged, and returns every try.
pub(crate) async fn post_until_acknowledged(
    address: SocketAddr,
    key: &Key,
    marker: &str,
) -> Result<Vec<Call>> {
    post_to(address, key, marker, None).await
}

async fn post_to(address: SocketAddr, key: &Key, marker: &str, ttype: Option<&str>) -> Result<Vec<Call>> {
    let mut rng = StdRng::seed_from_u64(0);
    let name = Some(marker.to_owned());
    let intent = intent_to_post(key.clone(), marker.to_owned(), name, None, ttype, &mut rng);
    until_acknowledged(address, intent).await
}

/// Posts one task of a type and decides it, each again and again until it is acknowledged.
pub(crate) async fn post_and_decide(
    address: SocketAddr,
    key: &Key,
    marker: &str,
    ttype: &str,
) -> Result<Vec<Call>> {
    let mut calls = post_to(address, key, marker, Some(ttype)).await?;
    let Some(Outcome::Answered { task: Some(task), .. }) = calls.last().map(|call| &call.outcome) else {
        bail!("an acknowledged post shows no task: {:?}", calls.last());
    };
    let (task, marker) = (task.id.clone(), format!("{marker}-decided"));
    let intent = intent_to_decide(key.clone(), marker, task, Some(schema::DECIDED.to_owned()), None);
    calls.extend(until_acknowledged(address, intent).await?);
    Ok(calls)
}

async fn until_acknowledged(address: SocketAddr, intent: Intent) -> Result<Vec<Call>> {
    let Intent { key, marker, op, request, .. } = intent;
    let mut client = Client::new(address).with_timeout(TIMEOUT);
    let mut calls = Vec::new();
    for _ in 0..100 {
        let outcome = outcome(client.send(&request).await);
        let is_success = outcome.is_success();
        calls.push(Call { actor: key.id.clone(), marker: marker.clone(), op: op.clone(), outcome });
        if is_success {
            return Ok(calls);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("a call was never acknowledged; at last: {:?}", calls.last())
}

fn intent_to_decide(
    key: Key,
    marker: String,
    task: String,
    state: Option<String>,
    expected_version: Option<i64>,
) -> Intent {
    let body = json!({"state": state, "reason": marker}).to_string();
    let etag = expected_version.map(|version| format!("\"{version}\""));
    let mut headers = vec![("api-key", key.secret.as_str())];
    headers.extend(etag.as_deref().map(|etag| ("if-match", etag)));
    let request = Request::json("PATCH", &format!("/api/v1/tasks/{task}/state"), &headers, &body);
    Intent { marker, op: Op::Decide { task, state, expected_version }, request, key, is_repeatable: true }
}

/// A task of this type, or of one of the load's own.
fn intent_to_post(
    key: Key,
    marker: String,
    idempotency_key: Option<String>,
    external_id: Option<String>,
    ttype: Option<&str>,
    rng: &mut StdRng,
) -> Intent {
    let (own, _) = schema::TYPES[rng.random_range(0..schema::TYPES.len())];
    let state = rng.random_bool(0.3).then_some(schema::PENDING[0]);
    let mut body = json!({
        "schema_name": schema::NAME,
        "task": ttype.unwrap_or(own),
        "state": state,
        "meta": {"marker": marker, "filler": "x".repeat(rng.random_range(0..FILLER))},
    });
    if let Some(id) = &external_id {
        body["external_id"] = id.as_str().into();
    }
    let mut headers = vec![("api-key", key.secret.as_str())];
    headers.extend(idempotency_key.as_deref().map(|key| ("idempotency-key", key)));
    let request = Request::json("POST", "/api/v1/tasks/", &headers, &body.to_string());
    let is_repeatable = idempotency_key.is_some() || external_id.is_some();
    Intent { marker, op: Op::Post { idempotency_key, external_id }, request, key, is_repeatable }
}

/// Reads what came back into the journal's terms.
fn outcome(result: Result<Answer, Failure>) -> Outcome {
    match result {
        Err(Failure::NotSent(_)) => Outcome::NotSent,
        Err(Failure::NoAnswer(_)) => Outcome::Unknown,
        Ok(answer) => {
            let is_success = answer.is_success();
            Outcome::Answered {
                status: answer.status,
                task: if is_success { task_seen(&answer.json()["task"]) } else { None },
                has_retry_after: answer.header("retry-after").is_some(),
                is_problem: answer.header("content-type") == Some("application/problem+json"),
                detail: (!is_success)
                    .then(|| String::from_utf8_lossy(answer.body()).chars().take(500).collect()),
            }
        }
    }
}

/// Reads a task as the API, a webhook or an event shows it.
pub(crate) fn task_seen(task: &Value) -> Option<TaskSeen> {
    Some(TaskSeen {
        id: task["id"].as_str()?.to_owned(),
        version: task["version"].as_i64()?,
        state: task["state"].as_str().map(str::to_owned),
    })
}
