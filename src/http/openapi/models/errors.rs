//! Problem documents.

use serde_json::Value;
use utoipa::ToSchema;

use super::{Actor, Task};

/// One thing that is wrong with a body.
#[derive(ToSchema)]
pub(in crate::http) struct Invalid {
    /// Where, as a JSON pointer (RFC 6901); empty is the whole body.
    #[schema(example = "/meta/url")]
    pointer: String,
    /// What.
    #[schema(example = "is required")]
    detail: String,
}

/// An error (RFC 9457).
#[derive(ToSchema)]
pub(in crate::http) struct Problem {
    /// What kind: stable, relative to this service.
    #[schema(example = "/problems/invalid")]
    r#type: String,
    /// The kind in words.
    title: String,
    /// The status code.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// The path that was asked for.
    #[schema(example = "/api/v1/tasks")]
    instance: String,
    /// Everything that is wrong with the body.
    errors: Option<Vec<Invalid>>,
}

/// What the application server said when it refused.
#[derive(ToSchema)]
pub(in crate::http) struct GuardRefusal {
    /// Why, in its words: at most 4096 characters, on one line.
    #[schema(required = true, max_length = 4096)]
    reason: Option<String>,
}

/// A conflict with the task as it stands, which comes with it where one is concerned.
#[derive(ToSchema)]
pub(in crate::http) struct ConflictProblem {
    #[schema(inline)]
    #[serde(flatten)]
    problem: Problem,
    /// The task.
    current: Option<Task>,
    /// Who made its last transition.
    decided_by: Option<Actor>,
    /// When.
    #[schema(format = DateTime)]
    decided_at: Option<String>,
    /// The states that it can go to from here.
    allowed_transitions: Option<Vec<Option<String>>>,
    /// Only where the task has changed since `If-Match`: what is another now, without the version itself.
    changes: Option<Vec<ChangeSince>>,
    /// Only where the type's guard refused.
    guard: Option<GuardRefusal>,
}

/// A value of a task that is another now.
#[derive(ToSchema)]
pub(in crate::http) struct ChangeSince {
    /// Where: a JSON pointer (RFC 6901) into the task.
    #[schema(example = "/meta/amount")]
    pointer: String,
    /// What was there; absent if nothing was.
    from: Option<Value>,
    /// What is there now; absent if nothing is.
    to: Option<Value>,
}

/// A cursor whose part of the log has been trimmed.
#[derive(ToSchema)]
pub(in crate::http) struct GoneProblem {
    #[schema(inline)]
    #[serde(flatten)]
    problem: Problem,
    /// The last trimmed event's number.
    floor: i64,
    /// What is kept begins after this.
    cursor: String,
}
