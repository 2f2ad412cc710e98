//! One fact: a line of history, a webhook's body and a realtime message are all made from it.

pub mod guard;
pub mod operational;

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::binding::Binding;
use crate::cursor::LogCursor;
use crate::schema::HookAuth;
use crate::schema::HookBody;
use crate::{Actor, Document, Task, Timestamp};
use guard::Passed;

/// What happened.
///
/// Everything that endpoints can ask for has its name here, whether or not this build has a use case
/// that makes it happen yet: an endpoint that asks for comments gets the first one there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// A task was posted.
    TaskCreated,
    /// A task's state changed.
    TaskStateChanged,
    /// A task was given to somebody, or taken back.
    TaskAssigned,
    /// Somebody commented on a task.
    TaskCommented,
    /// A task's time to be decided has come.
    TaskDue,
    /// A task was passed on because nobody decided it in time.
    TaskEscalated,
    /// Its sender withdrew a task.
    TaskCancelled,
    /// Its sender changed what a task says.
    TaskAmended,
    /// A task's time ran out, and its type says of no state where it should go.
    TaskExpired,
    /// A newer task took a task's place.
    TaskSuperseded,
    /// A schema version was installed.
    SchemaVersionCreated,
    /// A schema was removed with its tasks.
    SchemaRemoved,
    /// An endpoint takes nothing for now: somebody paused it, or it failed again and again.
    EndpointPaused,
    /// An endpoint takes nothing until somebody enables it: it answered 410, or failed for days.
    EndpointDisabled,
    /// An endpoint takes deliveries again.
    EndpointRecovered,
    /// A delivery was given up.
    DeliveryDead,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 16] = [
        Self::TaskCreated,
        Self::TaskStateChanged,
        Self::TaskAssigned,
        Self::TaskCommented,
        Self::TaskDue,
        Self::TaskEscalated,
        Self::TaskCancelled,
        Self::TaskAmended,
        Self::TaskExpired,
        Self::TaskSuperseded,
        Self::SchemaVersionCreated,
        Self::SchemaRemoved,
        Self::EndpointPaused,
        Self::EndpointDisabled,
        Self::EndpointRecovered,
        Self::DeliveryDead,
    ];

    /// The wire name, e.g. `task.state_changed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskCreated => "task.created",
            Self::TaskStateChanged => "task.state_changed",
            Self::TaskAssigned => "task.assigned",
            Self::TaskCommented => "task.commented",
            Self::TaskDue => "task.due",
            Self::TaskEscalated => "task.escalated",
            Self::TaskCancelled => "task.cancelled",
            Self::TaskAmended => "task.amended",
            Self::TaskExpired => "task.expired",
            Self::TaskSuperseded => "task.superseded",
            Self::SchemaVersionCreated => "schema.version_created",
            Self::SchemaRemoved => "schema.removed",
            Self::EndpointPaused => "endpoint.paused",
            Self::EndpointDisabled => "endpoint.disabled",
            Self::EndpointRecovered => "endpoint.recovered",
            Self::DeliveryDead => "delivery.dead",
        }
    }

    /// Whether such an event tells of a task, not of a schema or of the service's own work.
    pub const fn is_of_a_task(self) -> bool {
        matches!(
            self,
            Self::TaskCreated
                | Self::TaskStateChanged
                | Self::TaskAssigned
                | Self::TaskCommented
                | Self::TaskDue
                | Self::TaskEscalated
                | Self::TaskCancelled
                | Self::TaskAmended
                | Self::TaskExpired
                | Self::TaskSuperseded
        )
    }

    /// Whether a task is over with such an event, without a decision.
    pub const fn is_an_end(self) -> bool {
        matches!(self, Self::TaskCancelled | Self::TaskExpired | Self::TaskSuperseded)
    }

    /// Whether such an event tells operators how delivering goes. Endpoints get these only where they
    /// name them, and what becomes of such a delivery makes no further event.
    pub const fn is_operational(self) -> bool {
        matches!(
            self,
            Self::EndpointPaused | Self::EndpointDisabled | Self::EndpointRecovered | Self::DeliveryDead
        )
    }

    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fact that is about to be appended to the log, or was read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// UUIDv7; `webhook-id` is `evt_{id}`.
    pub id: Uuid,
    /// What happened.
    pub kind: EventType,
    /// When.
    pub created: Timestamp,
    /// Who did it, as a pseudonym: `key:{id}`, `cli`.
    pub actor: String,
    /// The schema it concerns.
    pub schema: String,
    /// The task type's name, for events of a task.
    pub ttype: Option<String>,
    /// The task, for events of a task.
    pub task_id: Option<Uuid>,
    /// The task's version after it; orders deliveries of one task.
    pub version: Option<i64>,
    /// A JSON object, exactly as hashed, stored and sent: what a webhook's `data` holds after
    /// `event_id`, `seq` and `cursor`.
    pub body: String,
}

#[derive(Serialize)]
struct TaskBody<'a> {
    task: &'a Task,
    ttype: &'a str,
    previous_state: Option<&'a str>,
    actor: &'a Actor,
    reason: Option<&'a str>,
    output: Option<&'a Document>,
    update_meta: Option<&'a Document>,
    /// Only if there is a guard: other events have the bytes that they had before there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<Passed>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<Bound>,
}

impl<'a> TaskBody<'a> {
    /// What is said of every task.
    fn of(task: &'a Task, previous_state: Option<&'a str>, actor: &'a Actor) -> Self {
        Self {
            task,
            ttype: &task.ttype,
            previous_state,
            actor,
            reason: None,
            output: None,
            update_meta: None,
            guard: None,
            bound: None,
        }
    }
}

/// What is said of a transition beside the task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Why.
    pub reason: Option<String>,
    /// Why its guard let it pass, if it has one.
    pub guard: Option<Passed>,
    /// What it is bound to, if its type binds decisions.
    pub bound: Option<Bound>,
}

/// What a decision is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// The version that was decided about.
    pub version: i64,
    /// The values.
    #[serde(flatten)]
    pub binding: Binding,
}

fn of_task(id: Uuid, kind: EventType, task: &Task, body: &TaskBody<'_>) -> Event {
    Event {
        id,
        kind,
        created: task.updated,
        actor: body.actor.pseudonym(),
        schema: task.schema.clone(),
        ttype: Some(task.ttype.clone()),
        task_id: Some(task.id),
        version: Some(task.version),
        body: to_json(body),
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("bodies have string keys and documents hold valid JSON")
}

/// The event of a task that was posted.
pub fn task_created(id: Uuid, task: &Task, actor: &Actor) -> Event {
    let body = TaskBody { update_meta: task.meta.as_ref(), ..TaskBody::of(task, None, actor) };
    of_task(id, EventType::TaskCreated, task, &body)
}

/// The event of a transition.
pub fn state_changed(id: Uuid, before: &Task, after: &Task, actor: &Actor, said: Said) -> Event {
    let Said { reason, guard, bound } = said;
    let body = TaskBody {
        reason: reason.as_deref(),
        output: after.output.as_ref(),
        guard,
        bound,
        ..TaskBody::of(after, before.state.as_deref(), actor)
    };
    of_task(id, EventType::TaskStateChanged, after, &body)
}

/// The event of a task that its sender withdrew.
pub fn task_cancelled(id: Uuid, before: &Task, after: &Task, actor: &Actor, reason: Option<&str>) -> Event {
    let body = TaskBody { reason, ..TaskBody::of(after, before.state.as_deref(), actor) };
    of_task(id, EventType::TaskCancelled, after, &body)
}

/// The event of a task whose sender changed what it says; `patch` is what was merged into it.
pub fn task_amended(id: Uuid, after: &Task, actor: &Actor, reason: Option<&str>, patch: &Document) -> Event {
    let body =
        TaskBody { reason, update_meta: Some(patch), ..TaskBody::of(after, after.state.as_deref(), actor) };
    of_task(id, EventType::TaskAmended, after, &body)
}

/// The event of a task whose time ran out.
pub fn task_expired(id: Uuid, before: &Task, after: &Task, actor: &Actor, said: &str) -> Event {
    let body = TaskBody { reason: Some(said), ..TaskBody::of(after, before.state.as_deref(), actor) };
    of_task(id, EventType::TaskExpired, after, &body)
}

/// The event of a task whose place a newer one took: `superseded_by` of the task says which.
pub fn task_superseded(id: Uuid, before: &Task, after: &Task, actor: &Actor) -> Event {
    let body = TaskBody::of(after, before.state.as_deref(), actor);
    of_task(id, EventType::TaskSuperseded, after, &body)
}

/// The event of an installed schema version.
pub fn schema_version_created(id: Uuid, schema: &str, semver: &str, actor: &Actor, now: Timestamp) -> Event {
    of_schema(id, EventType::SchemaVersionCreated, schema, Some(semver), actor, now)
}

/// The event of a schema's removal.
pub fn schema_removed(id: Uuid, schema: &str, actor: &Actor, now: Timestamp) -> Event {
    of_schema(id, EventType::SchemaRemoved, schema, None, actor, now)
}

fn of_schema(
    id: Uuid,
    kind: EventType,
    schema: &str,
    semver: Option<&str>,
    actor: &Actor,
    now: Timestamp,
) -> Event {
    let mut body = serde_json::json!({ "schema": schema, "actor": actor });
    if let Some(semver) = semver {
        body["semver"] = semver.into();
    }
    Event {
        id,
        kind,
        created: now,
        actor: actor.pseudonym(),
        schema: schema.to_owned(),
        ttype: None,
        task_id: None,
        version: None,
        body: body.to_string(),
    }
}

/// The fields of an event's body that readers of the log take out again.
#[derive(serde::Deserialize)]
struct BodyParts<'a> {
    #[serde(borrow, default)]
    task: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ttype: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
}

impl Event {
    /// The event with its place in the log, as the events feed lists it and as a webhook's `data`.
    ///
    /// The body's text is spliced in unparsed: every reader, at any time, gets the same bytes.
    pub fn data(&self, seq: i64) -> String {
        let head =
            format!(r#"{{"event_id":"{}","seq":{seq},"cursor":"{}""#, self.id, LogCursor(seq).encode());
        match self.body.strip_prefix('{') {
            Some("}") | None => head + "}",
            Some(rest) => format!("{head},{rest}"),
        }
    }

    /// The event in its envelope: `{"type","timestamp","data"}`, after Standard Webhooks.
    pub fn envelope(&self, seq: i64) -> String {
        format!(r#"{{"type":"{}","timestamp":"{}","data":{}}}"#, self.kind, self.created, self.data(seq))
    }

    /// The bytes of its webhook, the same on every attempt.
    pub fn webhook_body(&self, seq: i64, auth: &HookAuth, shape: HookBody) -> String {
        match (auth, shape) {
            (HookAuth::Hmac, HookBody::Full) => self.envelope(seq),
            (HookAuth::Head { .. }, HookBody::Full) => head_body(&self.body),
            // Of what is no task's there is no decision, and five nulls tell nothing.
            (_, HookBody::Output) if !self.kind.is_of_a_task() => self.envelope(seq),
            (_, HookBody::Output) => {
                let parts = self.parts();
                let StandParts { phase, state } =
                    parts.task.and_then(|task| serde_json::from_str(task.get()).ok()).unwrap_or_default();
                format!(
                    r#"{{"task_id":{},"phase":{},"state":{},"output":{},"reason":{}}}"#,
                    self.task_id.map_or_else(|| "null".to_owned(), |id| format!("\"{id}\"")),
                    raw(phase),
                    raw(state),
                    raw(parts.output),
                    raw(parts.reason)
                )
            }
        }
    }

    /// What its way depends on, of the task as it was after the event; empty if it tells of none or was
    /// erased.
    pub fn task_facts(&self) -> TaskFacts {
        self.parts().task.and_then(|task| serde_json::from_str(task.get()).ok()).unwrap_or_default()
    }

    fn parts(&self) -> BodyParts<'_> {
        parts(&self.body)
    }
}

/// The body of the original's webhook, out of what an event says: its body, or its `data` as readers of
/// the log get it.
pub fn head_body(data: &str) -> String {
    let parts = parts(data);
    format!(r#"{{"task":{},"ttype":{}}}"#, raw(parts.task), raw(parts.ttype))
}

fn parts(body: &str) -> BodyParts<'_> {
    serde_json::from_str(body).unwrap_or(BodyParts { task: None, ttype: None, reason: None, output: None })
}

#[derive(Default, serde::Deserialize)]
struct StandParts<'a> {
    #[serde(borrow, default)]
    phase: Option<&'a RawValue>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
}

/// What an event's way depends on, of its task.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct TaskFacts {
    /// Its type, in the schema version that it was posted under.
    pub ttype_id: Option<Uuid>,
    /// Its state; `None` is unset.
    pub state: Option<String>,
    /// Where it wants to be called back.
    pub callback_url: Option<String>,
}

fn raw(part: Option<&RawValue>) -> &str {
    part.map_or("null", RawValue::get)
}

#[cfg(test)]
mod tests;
