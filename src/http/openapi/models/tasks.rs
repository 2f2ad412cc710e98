//! Tasks and their types.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// A task that is posted.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PostTask {
    /// The schema's name.
    #[schema(example = "ti:sample", min_length = 1, max_length = 64)]
    schema_name: String,
    /// The task type's name in the schema's latest version.
    #[schema(example = "flag-content", min_length = 1, max_length = 64)]
    task: String,
    /// The state that it begins in; absent: the type's initial state, which is unset if it
    /// declares none.
    #[schema(max_length = 64)]
    state: Option<String>,
    /// What is to be decided about: any object of at most 256 KiB that matches the type's `input`.
    meta: Option<Map<String, Value>>,
    /// The sender's own name for it, unique in its schema: posting the same content again gets
    /// the task that is there.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    external_id: Option<String>,
    /// Where else the task's events go, by a host among the schema's `callback_hosts`; signed with the schema's key.
    #[schema(
        min_length = 8,
        max_length = 2048,
        pattern = "^[hH][tT][tT][pP][sS]?://",
        example = "https://hooks.shop.example/order/4711"
    )]
    callback_url: Option<String>,
    /// Takes the place of the task of this type that waits under the same key; absent: what the type's `merge_key` finds
    /// in `meta`, if it declares one.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    merge_key: Option<String>,
}

/// A decision.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Decide {
    /// The state to move to; null is unset. May be absent only if the query has it.
    #[schema(max_length = 64, example = "allow")]
    state: Option<String>,
    /// The result: any JSON value that matches the type's `output` of that state.
    #[schema(value_type = Option<Value>)]
    output: Option<Value>,
    /// Why.
    #[schema(max_length = 4096)]
    reason: Option<String>,
    /// For whom a program decides; recorded as claimed, not proven.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    on_behalf_of: Option<String>,
}

/// A change of what a task says.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Amend {
    /// What is merged into the task's `meta` (RFC 7396).
    meta: Map<String, Value>,
    /// Why.
    #[schema(max_length = 4096)]
    reason: Option<String>,
    /// For whom a program does it; recorded as claimed, not proven.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    on_behalf_of: Option<String>,
}

/// A withdrawal.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Cancel {
    /// Why.
    #[schema(max_length = 4096)]
    reason: Option<String>,
    /// For whom a program does it; recorded as claimed, not proven.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    on_behalf_of: Option<String>,
}

/// Where a task is in its life.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum Phase {
    /// Waits for a decision.
    Open,
    /// Decided.
    Resolved,
    /// Withdrawn by its sender.
    Cancelled,
    /// Its time ran out.
    Expired,
    /// A newer task took its place.
    Superseded,
}

/// Which tasks a list holds.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum Resolved {
    /// Those that still wait.
    Un,
    /// Every one.
    All,
}

/// Something that a person must decide.
#[derive(ToSchema)]
pub(in crate::http) struct Task {
    /// UUIDv7.
    id: Uuid,
    /// When it was posted.
    #[schema(format = DateTime, example = "2026-11-21T10:00:00.000000Z")]
    created: String,
    /// When it last changed.
    #[schema(format = DateTime, example = "2026-11-21T10:00:00.000000Z")]
    updated: String,
    /// Its type in the version that it was posted under.
    ttype_id: Uuid,
    /// Its schema's name.
    #[schema(example = "ti:sample")]
    schema: String,
    /// Its schema's version, as the author wrote it.
    #[schema(example = "1")]
    semver: String,
    /// One of the type's states; null is unset.
    #[schema(required = true)]
    state: Option<String>,
    /// Whether the state is a resolved one.
    resolved: bool,
    /// Where it is in its life.
    phase: Phase,
    /// The assignee.
    #[schema(required = true)]
    user_id: Option<Uuid>,
    /// What its sender said, as it was sent.
    #[schema(required = true)]
    meta: Option<Map<String, Value>>,
    /// The result of the resolving decision.
    #[schema(required = true)]
    output: Option<Value>,
    /// The sender's own name for it.
    #[schema(required = true)]
    external_id: Option<String>,
    /// How urgent. Not available yet.
    #[schema(required = true)]
    priority: Option<i32>,
    /// When it should be decided. Not available yet.
    #[schema(required = true, format = DateTime)]
    due_at: Option<String>,
    /// Where else its events go.
    #[schema(required = true)]
    callback_url: Option<String>,
    /// Of the tasks of a type that have the same key, the newest takes the place of the one that waits.
    #[schema(required = true)]
    merge_key: Option<String>,
    /// When its time is over. Only while it waits, and if its type has `timeouts`.
    #[schema(format = DateTime, nullable = false)]
    expires_at: Option<String>,
    /// The task whose place it took. Only if there is one.
    #[schema(nullable = false)]
    supersedes: Option<Uuid>,
    /// The task that took its place. Only if there is one.
    #[schema(nullable = false)]
    superseded_by: Option<Uuid>,
    /// 1 when posted, +1 on each change; the `ETag`.
    #[schema(minimum = 1)]
    version: i64,
    /// The states that it can go to from here; null is unset. In the API only.
    allowed_transitions: Vec<Option<String>>,
    /// What a decision about it is bound to. In the API only, and only if its type declares `binds`.
    #[schema(nullable = false)]
    binding: Option<Binding>,
}

/// The values that a decision is bound to.
#[derive(ToSchema)]
pub(in crate::http) struct Binding {
    /// `sha256:` and the SHA-256 of the JSON object `{path: value}`, in its canonical form (RFC 8785).
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    hash: String,
    /// JSON pointers (RFC 6901) into the task.
    #[schema(example = json!(["/meta/amount"]))]
    paths: Vec<String>,
}

/// A task with the name of its type.
#[derive(ToSchema)]
pub(in crate::http) struct TaskAnswer {
    /// The task.
    task: Task,
    /// Its type's name.
    #[schema(example = "flag-content")]
    ttype: String,
}

/// A task after a decision.
#[derive(ToSchema)]
pub(in crate::http) struct Decided {
    /// The task.
    task: Task,
}

/// A task type in one schema version.
#[derive(ToSchema)]
pub(in crate::http) struct TaskType {
    /// Its schema's name.
    schema_name: String,
    /// The version that declares it.
    semver: String,
    /// Its name.
    name: String,
    /// What people see.
    #[schema(required = true)]
    title: Option<String>,
    /// What it is for.
    #[schema(required = true)]
    description: Option<String>,
    /// States of a task that waits.
    pending_states: Vec<String>,
    /// States of a task that is decided.
    resolved_states: Vec<String>,
    /// The state of a task that is posted without one; null is unset.
    #[schema(required = true)]
    initial_state: Option<String>,
    /// States that need a reason.
    reason_required: Vec<String>,
    /// How long its tasks wait, and what becomes of them then; null: for ever.
    #[schema(required = true)]
    timeouts: Option<Timeouts>,
    /// What a decision is bound to: JSON pointers (RFC 6901) into the task.
    binds: Vec<String>,
    /// JSON pointers into `meta`: tasks that have the same values there replace each other.
    merge_key: Vec<String>,
    /// JSON Schema (2020-12) of `meta`.
    #[schema(required = true)]
    input: Option<Value>,
    /// JSON Schema of `output`, by resolved state.
    output: BTreeMap<String, Value>,
}

/// How long tasks of a type wait.
#[derive(ToSchema)]
pub(in crate::http) struct Timeouts {
    /// How long, from when a task was posted or reopened.
    #[schema(example = "24h")]
    after: String,
    /// Whether a task expires then, in whatever state it is.
    expires: bool,
    /// Else, the state that it goes to; null is unset.
    #[schema(required = true)]
    final_state: Option<String>,
}

/// A page of tasks.
#[derive(ToSchema)]
pub(in crate::http) struct TaskList {
    /// Oldest first.
    tasks: Vec<Task>,
    /// The types that these tasks are of, by `ttype_id`.
    types: BTreeMap<String, TaskType>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}
