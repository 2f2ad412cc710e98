//! What a run saw, from every side: what clients were told, what the service then says it holds,
//! what the receiver got, what readers of the log read.
//!
//! Collected first and judged afterwards, by [`crate::audit`] alone: a run can be kept as a
//! directory of JSON lines and judged again.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One request of a client, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Who made it: an API key's id, or `cli`.
    pub(crate) actor: String,
    /// Written into the task's `meta`, or given as the decision's reason: finds the event again.
    /// A repeated call keeps its marker.
    pub(crate) marker: String,
    pub(crate) op: Op,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Op {
    Post { idempotency_key: Option<String>, external_id: Option<String> },
    Decide { task: String, state: Option<String>, expected_version: Option<i64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It had no effect, certainly.
    NotSent,
    /// It may have had its effect.
    Unknown,
    /// The service answered.
    Answered {
        status: u16,
        /// The task in a 2xx answer.
        task: Option<TaskSeen>,
        has_retry_after: bool,
        /// Whether it is `application/problem+json`.
        is_problem: bool,
        /// The body of any other answer.
        detail: Option<String>,
    },
}

impl Outcome {
    pub(crate) const fn is_success(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }

    /// Whether the request was surely refused or never arrived.
    pub(crate) const fn is_without_effect(&self) -> bool {
        matches!(self, Self::NotSent | Self::Answered { status: 400..=499, .. })
    }
}

/// A task as an answer or the list showed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskSeen {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) state: Option<String>,
}

/// An event as the feed lists it, once everything is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) task: Option<TaskSeen>,
    pub(crate) previous_state: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) external_id: Option<String>,
    /// The marker of the call that made it.
    pub(crate) marker: Option<String>,
    /// SHA-256 of the JSON value that the feed lists.
    pub(crate) value: String,
}

pub(crate) const CREATED: &str = "task.created";
pub(crate) const STATE_CHANGED: &str = "task.state_changed";

/// One delivery attempt, in order of arrival.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Arrival {
    pub(crate) path: String,
    pub(crate) webhook_id: String,
    pub(crate) is_authentic: Option<bool>,
    /// SHA-256 of the body's bytes.
    pub(crate) body: String,
    /// SHA-256 of the JSON value in the body.
    pub(crate) value: String,
    /// What it was answered; none for those left hanging.
    pub(crate) status: Option<u16>,
}

impl Arrival {
    pub(crate) fn is_accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// What one reader of the feed saw while everything happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) reader: String,
    /// `seq` and event id, in the order read.
    pub(crate) seen: Vec<(i64, String)>,
    /// How often it had to connect anew.
    pub(crate) failures: u64,
}

/// A delivery in the database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) endpoint: String,
    /// `delivered`, `dead` and so on; none while it lives.
    pub(crate) outcome: Option<String>,
    pub(crate) attempts: i64,
}

/// A settled attempt in the database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) delivery: String,
    pub(crate) number: i64,
    pub(crate) lease: String,
    pub(crate) status: Option<u16>,
}

/// An endpoint that the scenario never lets recover: what goes there waits, or ends dead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) endpoint: String,
}

/// What `task-inbox audit verify` said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Verification {
    pub(crate) ok: bool,
    pub(crate) events: i64,
    pub(crate) text: String,
}

/// Everything about a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) calls: Vec<Call>,
    pub(crate) events: Vec<Event>,
    pub(crate) tasks: Vec<TaskSeen>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) readings: Vec<Reading>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) verification: Verification,
}

impl Run {
    /// Whether a delivery goes where nothing can arrive.
    pub(crate) fn is_lost(&self, delivery: &Delivery) -> bool {
        self.lost.iter().any(|lost| lost.endpoint == delivery.endpoint)
    }

    /// Writes one file for each part.
    pub(crate) fn save(&self, directory: &Path) -> Result<()> {
        write(directory, "calls", &self.calls)?;
        write(directory, "events", &self.events)?;
        write(directory, "tasks", &self.tasks)?;
        write(directory, "arrivals", &self.arrivals)?;
        write(directory, "readings", &self.readings)?;
        write(directory, "deliveries", &self.deliveries)?;
        write(directory, "attempts", &self.attempts)?;
        write(directory, "lost", &self.lost)?;
        write(directory, "verification", std::slice::from_ref(&self.verification))
    }

    /// Reads what [`Run::save`] wrote.
    pub(crate) fn load(directory: &Path) -> Result<Self> {
        Ok(Self {
            calls: read(directory, "calls")?,
            events: read(directory, "events")?,
            tasks: read(directory, "tasks")?,
            arrivals: read(directory, "arrivals")?,
            readings: read(directory, "readings")?,
            deliveries: read(directory, "deliveries")?,
            attempts: read(directory, "attempts")?,
            lost: read(directory, "lost")?,
            verification: read(directory, "verification")?.pop().context("verification.jsonl is empty")?,
        })
    }
}

fn write<T: Serialize>(directory: &Path, name: &str, items: &[T]) -> Result<()> {
    let mut file = BufWriter::new(File::create(directory.join(format!("{name}.jsonl")))?);
    for item in items {
        serde_json::to_writer(&mut file, item)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Vec<T>> {
    let path = directory.join(format!("{name}.jsonl"));
    let file = File::open(&path).with_context(|| format!("{} is missing", path.display()))?;
    BufReader::new(file).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}
