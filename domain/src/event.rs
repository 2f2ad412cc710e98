//! One fact: a line of history, a webhook's body and a realtime message are all made from it.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cursor::LogCursor;
use crate::schema::HookAuth;
use crate::schema::HookBody;
use crate::{Actor, Document, Task, Timestamp};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// A task was posted.
    TaskCreated,
    /// A task's state changed.
    TaskStateChanged,
    /// A schema version was installed.
    SchemaVersionCreated,
    /// A schema was removed with its tasks.
    SchemaRemoved,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 4] =
        [Self::TaskCreated, Self::TaskStateChanged, Self::SchemaVersionCreated, Self::SchemaRemoved];

    /// The wire name, e.g. `task.state_changed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskCreated => "task.created",
            Self::TaskStateChanged => "task.state_changed",
            Self::SchemaVersionCreated => "schema.version_created",
            Self::SchemaRemoved => "schema.removed",
        }
    }

    /// Whether such an event tells of a task, not of a schema.
    pub const fn is_of_a_task(self) -> bool {
        matches!(self, Self::TaskCreated | Self::TaskStateChanged)
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
    let body = TaskBody {
        task,
        ttype: &task.ttype,
        previous_state: None,
        actor,
        reason: None,
        output: None,
        update_meta: task.meta.as_ref(),
    };
    of_task(id, EventType::TaskCreated, task, &body)
}

/// The event of a transition.
pub fn state_changed(id: Uuid, before: &Task, after: &Task, actor: &Actor, reason: Option<&str>) -> Event {
    let body = TaskBody {
        task: after,
        ttype: &after.ttype,
        previous_state: before.state.as_deref(),
        actor,
        reason,
        output: after.output.as_ref(),
        update_meta: None,
    };
    of_task(id, EventType::TaskStateChanged, after, &body)
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
            (_, HookBody::Output) => {
                let parts = self.parts();
                let state = parts
                    .task
                    .and_then(|t| serde_json::from_str::<StatePart<'_>>(t.get()).ok())
                    .and_then(|t| t.state);
                format!(
                    r#"{{"task_id":{},"state":{},"output":{},"reason":{}}}"#,
                    self.task_id.map_or_else(|| "null".to_owned(), |id| format!("\"{id}\"")),
                    raw(state),
                    raw(parts.output),
                    raw(parts.reason)
                )
            }
        }
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

#[derive(serde::Deserialize)]
struct StatePart<'a> {
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
}

fn raw(part: Option<&RawValue>) -> &str {
    part.map_or("null", RawValue::get)
}

#[cfg(test)]
mod tests;
