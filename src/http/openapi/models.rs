//! The shapes of bodies and answers, for the description alone.
//!
//! Bodies are read and answers written by hand elsewhere, for exact errors and for speed. These
//! types are never made: the API's tests check every answer that they see against the schema
//! that is generated from them.
#![expect(dead_code, reason = "only the schemas generated from these are used")]

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// A task that is posted.
#[derive(ToSchema)]
pub(in crate::http) struct PostTask {
    /// The schema's name.
    #[schema(example = "ti:sample", min_length = 1, max_length = 64)]
    schema_name: String,
    /// The task type's name in the schema's latest version.
    #[schema(example = "flag-content", min_length = 1, max_length = 64)]
    task: String,
    /// The state that it begins in; absent: the type's initial state, which is unset if it
    /// declares none.
    state: Option<String>,
    /// What is to be decided about: any object of at most 256 KiB that matches the type's `input`.
    meta: Option<Map<String, Value>>,
    /// The sender's own name for it, unique in its schema: posting the same content again gets
    /// the task that is there.
    #[schema(min_length = 1, max_length = 256)]
    external_id: Option<String>,
}

/// A decision.
#[derive(ToSchema)]
pub(in crate::http) struct Decide {
    /// The state to move to; null is unset.
    #[schema(required = true, example = "allow")]
    state: Option<String>,
    /// The result: any JSON value that matches the type's `output` of that state.
    #[schema(value_type = Option<Value>)]
    output: Option<Value>,
    /// Why.
    #[schema(max_length = 4096)]
    reason: Option<String>,
    /// For whom a program decides; recorded as claimed, not proven.
    #[schema(min_length = 1, max_length = 256)]
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
    /// Where else its events go. Not available yet.
    #[schema(required = true)]
    callback_url: Option<String>,
    /// Tasks with the same key replace each other. Not available yet.
    #[schema(required = true)]
    merge_key: Option<String>,
    /// 1 when posted, +1 on each change; the `ETag`.
    #[schema(minimum = 1)]
    version: i64,
    /// The states that it can go to from here; null is unset. In the API only.
    allowed_transitions: Vec<Option<String>>,
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
    /// JSON Schema (2020-12) of `meta`.
    #[schema(required = true)]
    input: Option<Value>,
    /// JSON Schema of `output`, by resolved state.
    output: BTreeMap<String, Value>,
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

/// The kind of principal behind a change.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum ActorKind {
    /// An API key.
    Key,
    /// A signed-in person.
    User,
    /// An operator at the command line.
    Cli,
    /// The service itself.
    System,
}

/// Who acted.
#[derive(ToSchema)]
pub(in crate::http) struct Actor {
    /// What kind of principal.
    kind: ActorKind,
    /// The key's or the person's id.
    #[schema(required = true)]
    id: Option<Uuid>,
    /// Its name when it acted.
    #[schema(required = true)]
    name: Option<String>,
    /// For whom a program said that it acted; claimed, not proven.
    on_behalf_of: Option<String>,
}

/// One change of a task. What was erased is null.
#[derive(ToSchema)]
pub(in crate::http) struct HistoryItem {
    /// The event's id.
    id: Uuid,
    /// When.
    #[schema(format = DateTime)]
    created: String,
    /// The task.
    task_id: Uuid,
    /// Its state after the change.
    #[schema(required = true)]
    state: Option<String>,
    /// Whether that is a resolved one.
    #[schema(required = true)]
    resolved: Option<bool>,
    /// The id of who did it.
    #[schema(required = true)]
    editor_id: Option<Uuid>,
    /// The assignee after it.
    #[schema(required = true)]
    assigned_id: Option<Uuid>,
    /// What was added to `meta`.
    #[schema(required = true)]
    update_meta: Option<Map<String, Value>>,
    /// Who did it.
    #[schema(required = true)]
    actor: Option<Actor>,
    /// Why.
    #[schema(required = true)]
    reason: Option<String>,
    /// With which result.
    #[schema(required = true)]
    output: Option<Value>,
    /// The event's place in the log.
    seq: i64,
}

/// Everything that happened to a task.
#[derive(ToSchema)]
pub(in crate::http) struct History {
    /// Oldest first.
    history: Vec<HistoryItem>,
}

/// What an event is about.
#[derive(ToSchema)]
pub(in crate::http) enum EventType {
    /// A task was posted.
    #[schema(rename = "task.created")]
    TaskCreated,
    /// A task's state changed.
    #[schema(rename = "task.state_changed")]
    TaskStateChanged,
    /// A schema version was installed.
    #[schema(rename = "schema.version_created")]
    SchemaVersionCreated,
    /// A schema was removed with its tasks.
    #[schema(rename = "schema.removed")]
    SchemaRemoved,
}

/// What an event says. Events of a task carry it with its type; events of a schema its name.
#[derive(ToSchema)]
pub(in crate::http) struct EventData {
    /// Deduplicate by this.
    event_id: Uuid,
    /// Its place in the log: 1, 2, 3 ...
    seq: i64,
    /// Reading on after this event: pass it as `after`.
    cursor: String,
    /// The task after the event, as the API shows it but without `allowed_transitions`.
    #[schema(value_type = Option<Object>)]
    task: Option<Value>,
    /// The task type's name.
    ttype: Option<String>,
    /// The task's state before it.
    previous_state: Option<String>,
    /// Who did it.
    actor: Option<Actor>,
    /// Why.
    reason: Option<String>,
    /// With which result.
    output: Option<Value>,
    /// What was added to `meta`.
    #[schema(value_type = Option<Object>)]
    update_meta: Option<Value>,
    /// The schema's name, in events of a schema.
    schema: Option<String>,
    /// The version, in events of a schema.
    semver: Option<String>,
}

/// One event, in the envelope that its webhook has too.
#[derive(ToSchema)]
pub(in crate::http) struct Event {
    /// What happened.
    r#type: EventType,
    /// When.
    #[schema(format = DateTime)]
    timestamp: String,
    /// The rest.
    data: EventData,
}

/// A page of the log.
#[derive(ToSchema)]
pub(in crate::http) struct EventList {
    /// In the log's order.
    events: Vec<Event>,
    /// Where the next page begins.
    next_cursor: String,
}

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

/// What installing a schema file did, or would do.
#[derive(ToSchema)]
pub(in crate::http) struct Installation {
    /// The schema's name.
    name: String,
    /// The version, as its author wrote it.
    semver: String,
    /// Counts the schema's versions from 1.
    version: i32,
    /// Whether old senders or receivers may fail with it.
    breaking: bool,
    /// What differs from the version before.
    changes: Vec<String>,
    /// What works otherwise than its author may think.
    warnings: Vec<String>,
}

/// What removing a schema did, or would do.
#[derive(ToSchema)]
pub(in crate::http) struct Removal {
    /// The schema's name.
    name: String,
    /// How many versions there were.
    versions: i64,
    /// How many tasks.
    tasks: i64,
    /// Whether it is gone.
    deleted: bool,
}

/// Where a schema's webhooks go.
#[derive(ToSchema)]
pub(in crate::http) struct Endpoint {
    /// Its id.
    id: Uuid,
    /// The type whose own it is; null: the schema's default.
    #[schema(required = true)]
    ttype: Option<String>,
    /// Where.
    url: String,
    /// `active`, or `disabled` after it answered 410.
    status: String,
    /// Why deliveries wait, if they do: `no_key`, `disabled`.
    #[schema(required = true)]
    held: Option<String>,
}

/// An installed schema.
#[derive(ToSchema)]
pub(in crate::http) struct SchemaAnswer {
    /// Its name.
    name: String,
    /// Its latest version, as its author wrote it.
    semver: String,
    /// Counts its versions from 1.
    version: i32,
    /// When the latest was installed.
    #[schema(format = DateTime)]
    installed: String,
    /// What it is for.
    #[schema(required = true)]
    description: Option<String>,
    /// Its types.
    types: Vec<TaskType>,
    /// Where its webhooks go.
    endpoints: Vec<Endpoint>,
    /// The file, as installed; not in the list.
    source: Option<String>,
}

/// The schemas that a key sees.
#[derive(ToSchema)]
pub(in crate::http) struct SchemaList {
    /// By name.
    schemas: Vec<SchemaAnswer>,
}
