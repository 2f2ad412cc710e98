//! History and events.

use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

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

/// What a decision is bound to.
#[derive(ToSchema)]
pub(in crate::http) struct Bound {
    /// The version that was decided about.
    #[schema(minimum = 1)]
    version: i64,
    /// `sha256:` and the SHA-256 of the JSON object `{path: value}`, in its canonical form (RFC 8785).
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    hash: String,
    /// JSON pointers (RFC 6901) into the task.
    paths: Vec<String>,
}

/// Why a guarded transition was let pass.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum GuardPassed {
    /// The application server allowed it.
    Allowed,
    /// The application server could not be asked, and the guard's `on_error` is `allow`.
    Unreachable,
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
    /// Why its guard let it pass; absent where it has none.
    guard: Option<GuardPassed>,
    /// What the decision is bound to; absent where its type binds none.
    bound: Option<Bound>,
    /// The event's place in the log.
    seq: i64,
}

/// Everything that happened to a task.
#[derive(ToSchema)]
pub(in crate::http) struct TaskHistory {
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
    /// A task was given to somebody, or taken back. Not made by this version yet.
    #[schema(rename = "task.assigned")]
    TaskAssigned,
    /// Somebody commented on a task. Not made by this version yet.
    #[schema(rename = "task.commented")]
    TaskCommented,
    /// A task's time to be decided has come. Not made by this version yet.
    #[schema(rename = "task.due")]
    TaskDue,
    /// A task was passed on because nobody decided it in time. Not made by this version yet.
    #[schema(rename = "task.escalated")]
    TaskEscalated,
    /// Its sender withdrew a task.
    #[schema(rename = "task.cancelled")]
    TaskCancelled,
    /// Its sender changed what a task says.
    #[schema(rename = "task.amended")]
    TaskAmended,
    /// A task's time ran out, and its type says of no state where it should go.
    #[schema(rename = "task.expired")]
    TaskExpired,
    /// A newer task took a task's place.
    #[schema(rename = "task.superseded")]
    TaskSuperseded,
    /// A schema version was installed.
    #[schema(rename = "schema.version_created")]
    SchemaVersionCreated,
    /// A schema was removed with its tasks.
    #[schema(rename = "schema.removed")]
    SchemaRemoved,
    /// An endpoint takes nothing for now: somebody paused it, or it failed again and again.
    #[schema(rename = "endpoint.paused")]
    EndpointPaused,
    /// An endpoint takes nothing until somebody resumes it: it answered 410, or failed for days.
    #[schema(rename = "endpoint.disabled")]
    EndpointDisabled,
    /// An endpoint takes deliveries again.
    #[schema(rename = "endpoint.recovered")]
    EndpointRecovered,
    /// A delivery was given up.
    #[schema(rename = "delivery.dead")]
    DeliveryDead,
}

/// What an event says. Events of a task carry it with its type; events of a schema its name; events of an endpoint
/// or a delivery what concerns them.
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
    /// Why its guard let it pass, in events of guarded transitions.
    guard: Option<GuardPassed>,
    /// What the decision is bound to, in events of transitions whose type binds decisions.
    bound: Option<Bound>,
    /// The schema's name, in events of a schema.
    schema: Option<String>,
    /// The version, in events of a schema.
    semver: Option<String>,
    /// The endpoint, in events of one; its `url` is the origin alone.
    #[schema(value_type = Option<Object>)]
    endpoint: Option<Value>,
    /// The delivery, in `delivery.dead`.
    #[schema(value_type = Option<Object>)]
    delivery: Option<Value>,
    /// What a person said, in events of an endpoint.
    message: Option<String>,
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
