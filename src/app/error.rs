//! What a caller can be told when a use case doesn't end well.

use std::time::Duration;

use task_inbox_domain::binding::Binding;
use task_inbox_domain::changes::Change;
use task_inbox_domain::schema::validate::Problem;
use task_inbox_domain::transition;
use task_inbox_domain::{Actor, Task, Timestamp};

use super::App;
use super::vault::VaultError;
use crate::store::StoreError;
use crate::store::commit::CommitError;
use crate::store::registry::InstalledType;

/// A task as it stands, for whoever decided on an older one.
#[derive(Clone, Debug, PartialEq)]
pub struct CurrentTask {
    /// The task.
    pub task: Task,
    /// Who made its last transition.
    pub decided_by: Option<Actor>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// Where it may go from here.
    pub allowed_transitions: Vec<Option<String>>,
    /// What a decision about it is bound to, if its type binds any.
    pub binding: Option<Binding>,
}

/// Why a use case was refused or failed. Every text is for the caller, but that of
/// [`AppError::Internal`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppError {
    /// Well-formed, but not valid.
    #[error("{detail}")]
    Invalid {
        /// What is wrong, in one sentence.
        detail: String,
        /// Everything that is wrong, each with its place.
        problems: Vec<Problem>,
    },
    /// There is no such thing, or none that the caller may see.
    #[error("{0}")]
    NotFound(String),
    /// It conflicts with what is.
    #[error("{detail}")]
    Conflict {
        /// With what.
        detail: String,
        /// The task it conflicts with.
        current: Option<Box<CurrentTask>>,
    },
    /// The application server was asked, and refused.
    #[error("the application server refused: {}", .reason.as_deref().unwrap_or("it gave no reason"))]
    RefusedByGuard {
        /// Why, in its words, if it said so.
        reason: Option<String>,
        /// The task as it stands.
        current: Box<CurrentTask>,
    },
    /// The task changed since the caller read it.
    #[error("{detail}")]
    Stale {
        /// Which version was expected and which there is.
        detail: String,
        /// The task as it stands.
        current: Box<CurrentTask>,
        /// What has changed since; `None` where the log doesn't tell any more.
        changes: Option<Vec<Change>>,
    },
    /// A decision that doesn't say what was seen, though it is bound to it.
    #[error("{0}")]
    Unseen(String),
    /// That part of the log has been trimmed.
    #[error("{detail}")]
    Gone {
        /// What is gone.
        detail: String,
        /// The last trimmed event's number.
        floor: i64,
    },
    /// No credential.
    #[error("{0}")]
    Unauthenticated(String),
    /// A credential that does not do.
    #[error("{0}")]
    Forbidden(String),
    /// The key's rate is used up.
    #[error("this key's rate is used up; try again in {:.1} s", retry_after.as_secs_f64())]
    TooManyRequests {
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// The inbox, or the schema that is concerned, is in maintenance.
    #[error("{message}")]
    Maintenance {
        /// What goes on.
        message: String,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// Not now: overload, or a database that can't be reached.
    #[error("{detail}")]
    Unavailable {
        /// What is the matter.
        detail: String,
    },
    /// A fault of the service. The text is for the operator alone.
    #[error("{0}")]
    Internal(String),
}

/// Shorthand of this layer.
pub(crate) type Result<T> = std::result::Result<T, AppError>;

impl AppError {
    /// An [`AppError::Invalid`] about one place.
    pub(crate) fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::Invalid { detail: detail.clone(), problems: vec![Problem::new(pointer, detail)] }
    }

    /// An [`AppError::Invalid`] about several places.
    pub(crate) fn problems(what: &str, problems: Vec<Problem>) -> Self {
        let detail = match problems.as_slice() {
            [one] if one.pointer.is_empty() => format!("{what}: {}", one.detail),
            [one] => format!("{what}: {}: {}", one.pointer, one.detail),
            many => format!("{what}: {} problems", many.len()),
        };
        Self::Invalid { detail, problems }
    }

    /// A conflict that has no task.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict { detail: detail.into(), current: None }
    }

    /// There is no room for what is to be written.
    fn full() -> Self {
        let detail =
            "the database's disk is full, and nothing of this was written; try again once there is room";
        Self::Unavailable { detail: detail.to_owned() }
    }

    /// The registry changed under a request again and again.
    pub(crate) fn registry_keeps_moving() -> Self {
        Self::Unavailable { detail: "schemas are being changed right now; try again".to_owned() }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Contended(_) | StoreError::Unavailable(_) => {
                // The caller is told less than the operator, who finds the cause here.
                tracing::warn!(%error, "the database did not answer");
                Self::Unavailable { detail: "the database can't be reached right now; try again".to_owned() }
            }
            StoreError::Full(_) => {
                tracing::error!(%error, "there is no room to write");
                Self::full()
            }
            StoreError::Data(_) | StoreError::Corrupt(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<VaultError> for AppError {
    fn from(error: VaultError) -> Self {
        match error {
            // Nobody but the operator can do something about it, and the text holds no secret.
            VaultError::Missing | VaultError::Ring(_) => Self::Unavailable { detail: error.to_string() },
            VaultError::UnknownKey(_) | VaultError::Refused(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<CommitError> for AppError {
    /// For the errors that no use case treats on its own.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::IdempotencyMismatch
            | CommitError::ExternalIdTaken(_)
            | CommitError::Refused { .. } => Self::conflict(error.to_string()),
            CommitError::NoSuchTask => Self::NotFound("there is no such task".to_owned()),
            CommitError::RegistryMoved => Self::registry_keeps_moving(),
            CommitError::Overloaded => {
                Self::Unavailable { detail: "too many requests are waiting; try again".to_owned() }
            }
            CommitError::Unavailable(cause) => {
                tracing::warn!(cause, "a commit failed");
                Self::Unavailable {
                    detail: "the database can't be reached right now, and whether this was written is not \
                             known; repeat it with the same Idempotency-Key or external_id"
                        .to_owned(),
                }
            }
            CommitError::Full(cause) => {
                tracing::error!(cause, "there is no room to write; nothing but reading works until there is");
                Self::full()
            }
            CommitError::Data(cause) => Self::Internal(cause),
        }
    }
}

impl App {
    /// A task as it stands, with where it may go.
    pub(super) fn current(&self, task: Task) -> Box<CurrentTask> {
        let registry = self.registry.current();
        let ttype = registry.type_by_id(task.ttype_id).map(InstalledType::ttype);
        let allowed_transitions = ttype.map_or_else(Vec::new, |ttype| {
            let allowed = transition::allowed(&task, ttype);
            allowed.into_iter().map(|s| s.map(str::to_owned)).collect()
        });
        Box::new(CurrentTask {
            decided_by: task.decided_by.clone(),
            decided_at: task.decided_at,
            allowed_transitions,
            binding: ttype.and_then(|ttype| Binding::of(ttype, task.meta.as_ref())),
            task,
        })
    }
}
