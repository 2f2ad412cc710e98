//! What a request hands to the group commit, and what it gets back.

use std::sync::Arc;

use task_inbox_domain::log::{Hash, digest};
use task_inbox_domain::transition::sender::{Amendment, Cancellation};
use task_inbox_domain::transition::{Consent, Decision, Refusal};
use task_inbox_domain::{Actor, Event, Task, Timestamp};

use crate::store::registry::{InstalledType, Registry};

/// An event with its salt and digest, hashed before anything is locked.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// The event.
    pub event: Arc<Event>,
    pub(crate) salt: [u8; 32],
    pub(crate) digest: Hash,
}

impl LogEntry {
    /// Salts and hashes an event.
    pub fn new(event: Event) -> Self {
        let salt: [u8; 32] = rand::random();
        let digest = digest(&salt, event.body.as_bytes());
        Self { event: Arc::new(event), salt, digest }
    }
}

/// An `Idempotency-Key` with what it was sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// SHA-256 over API key id, method, path and the header's value.
    pub key_hash: Hash,
    /// SHA-256 of the raw body.
    pub body_hash: Hash,
}

/// One request's write.
#[derive(Debug)]
pub struct Member {
    /// The snapshot that it was validated against.
    pub registry: Arc<Registry>,
    /// Its idempotency key, if it has one.
    pub idempotency: Option<Idempotency>,
    /// What to do.
    pub operation: Operation,
}

/// What a member wants done.
#[derive(Debug)]
pub enum Operation {
    /// Keep a task that was posted.
    Create(Box<Create>),
    /// Change a task.
    Change(Box<Change>),
}

impl Operation {
    /// The task that is kept or changed, as it was before.
    pub(super) fn task(&self) -> &Task {
        match self {
            Self::Create(create) => &create.task,
            Self::Change(change) => &change.seen,
        }
    }
}

/// A task to keep.
#[derive(Debug)]
pub struct Create {
    /// The task, version 1.
    pub task: Task,
    /// Its `task.created`.
    pub entry: LogEntry,
    /// Its type, for routing its event.
    pub ttype: InstalledType,
    /// SHA-256 of what the sender sent, by meaning: decides whether a second post with the same
    /// `external_id` is the same.
    pub content_hash: Hash,
    /// The state that the sender asked for, if one was.
    pub asked_state: Option<String>,
    /// Who posts it.
    pub actor: Actor,
}

impl Create {
    /// Whether a task that waits says just this already, so that this one need not take its place.
    pub(super) fn repeats(&self, pending: &Task) -> bool {
        let meta = match (&self.task.meta, &pending.meta) {
            (None, None) => true,
            (Some(new), Some(old)) => new.same_value(old),
            _ => false,
        };
        meta && self.task.ttype_id == pending.ttype_id
            && self.task.external_id == pending.external_id
            && self.task.callback_url == pending.callback_url
            && (self.asked_state.is_none() || self.asked_state == pending.state)
    }
}

/// A task to change.
#[derive(Debug)]
pub struct Change {
    /// The task, as it was read a moment ago. If it still stands so at the commit, it need not be read
    /// again.
    pub seen: Task,
    /// The task's type. A task keeps its type for life.
    pub ttype: InstalledType,
    /// What becomes of it.
    pub what: What,
    /// Who wants that.
    pub actor: Actor,
}

impl Change {
    /// Whether a task that is over may wait again after it.
    pub(super) fn may_open(&self) -> bool {
        match &self.what {
            What::Decided { decision, .. } => !self.ttype.ttype().is_resolved(decision.state.as_deref()),
            What::Cancelled(_) | What::Amended(_) | What::TimedOut(_) => false,
        }
    }
}

/// What becomes of a task.
#[derive(Debug)]
pub enum What {
    /// It moves. The decision has passed [`Decision::check`].
    Decided {
        /// Where it shall go.
        decision: Decision,
        /// What the transition's guard said, and of which version, if one was asked.
        consent: Option<Consent>,
    },
    /// Its sender withdraws it.
    Cancelled(Cancellation),
    /// Its sender changes what it says.
    Amended(Amendment),
    /// The time is over that it had.
    TimedOut(Timestamp),
}

/// What became of a member, once it is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The task was kept just now (or, with an idempotency key, the first time).
    Created(Task),
    /// The same content had been posted under this `external_id` before, or waits under this merge key: the task as it
    /// stands.
    Existing(Task),
    /// It was changed (or had been changed so before).
    Changed(Task),
}

impl Reply {
    /// The task in it.
    pub fn task(&self) -> &Task {
        match self {
            Self::Created(task) | Self::Existing(task) | Self::Changed(task) => task,
        }
    }
}

/// Why a member was not committed. Nothing of it was written, unless it says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The idempotency key was used with another body.
    #[error("this Idempotency-Key was used with another body; use a new key for a new request")]
    IdempotencyMismatch,
    /// Another task of the schema has this external id, with other content.
    #[error("another task has this external_id")]
    ExternalIdTaken(Box<Task>),
    /// The state machine refused.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The task as it stands.
        current: Box<Task>,
    },
    /// There is no such task.
    #[error("there is no such task")]
    NoSuchTask,
    /// Schemas or endpoints changed between validation and commit: prepare again and resubmit.
    #[error("schemas or endpoints changed meanwhile")]
    RegistryMoved,
    /// Too many requests wait.
    #[error("too many requests are waiting for the database")]
    Overloaded,
    /// The database failed; whether it was written is not known. Safe to repeat with an
    /// idempotency key or an `external_id`.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Nothing was written, because there is no room for it.
    #[error("the database's disk is full: {0}")]
    Full(String),
    /// The database refused this member's data.
    #[error("the database refused the data: {0}")]
    Data(String),
}
