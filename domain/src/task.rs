//! A task: something a person must decide.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Actor, Document, Timestamp};

/// Where a task is in its life. Independent of `state`, which belongs to the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for a decision. A transition into a resolved state moves it to [`Phase::Resolved`].
    Open,
    /// Decided. A transition back to an open state (unset, where none is declared) reopens it.
    Resolved,
    /// Withdrawn by its sender. Final.
    Cancelled,
    /// Its time ran out before anyone decided. Final.
    Expired,
    /// A newer task with the same merge key took its place. Final.
    Superseded,
}

impl Phase {
    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }

    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Resolved, Self::Cancelled, Self::Expired, Self::Superseded]
            .into_iter()
            .find(|phase| phase.as_str() == text)
    }
}

/// A task as it stands after its latest change: the object of the API, of webhooks and of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// UUIDv7.
    pub id: Uuid,
    /// When it was posted.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// The task type, in the schema version that it was posted under.
    pub ttype_id: Uuid,
    /// The schema's name.
    pub schema: String,
    /// The schema version, as its author wrote it.
    pub semver: String,
    /// One of the type's states; `None` is *unset*, a state like the others.
    pub state: Option<String>,
    /// Whether `state` is one of the type's resolved states.
    pub resolved: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// The assignee.
    pub user_id: Option<Uuid>,
    /// What the sender says about it, merged over all updates.
    pub meta: Option<Document>,
    /// The result of the resolving transition.
    pub output: Option<Document>,
    /// The sender's own name for it, unique in its schema.
    pub external_id: Option<String>,
    /// How urgent; greater is more urgent.
    pub priority: Option<i32>,
    /// When it should be decided.
    pub due_at: Option<Timestamp>,
    /// Where this task's events go besides the schema's endpoints.
    pub callback_url: Option<String>,
    /// Tasks with the same key replace each other.
    pub merge_key: Option<String>,
    /// When its time is over, if its type has `timeouts` and it waits. Like the two below, only there where there is
    /// one: what every task had before has the bytes that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The task whose place it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Uuid>,
    /// The task that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<Uuid>,
    /// 1 when posted, +1 on each change.
    pub version: i64,
    /// The type's name. Beside the task on the wire (`ttype`), not in it.
    #[serde(skip)]
    pub ttype: String,
    /// Who made the last transition; not on the wire, it answers a conflict.
    #[serde(skip)]
    pub decided_by: Option<Actor>,
    /// When the last transition was made.
    #[serde(skip)]
    pub decided_at: Option<Timestamp>,
}
