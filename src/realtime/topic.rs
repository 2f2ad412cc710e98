//! What can be listened to: `{resource}:{subresource}:{action}`, of everything, of one schema or of one task.

use std::fmt;

use task_inbox_domain::schema::parse::is_name;
use task_inbox_domain::{Event, EventType};
use uuid::Uuid;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A task was posted.
    TaskCreated,
    /// A task's state changed, or its sender withdrew it.
    StateUpdated,
    /// A task was given to somebody, or taken back.
    AssignmentUpdated,
    /// Somebody commented on a task.
    CommentCreated,
    /// A schema version was installed.
    SchemaVersionCreated,
    /// An attempt at a delivery failed. Not from the log: told once, by the process that made it, to those who
    /// listen there.
    AttemptFailed,
}

impl What {
    /// Everything that can be listened to.
    pub const ALL: [Self; 6] = [
        Self::TaskCreated,
        Self::StateUpdated,
        Self::AssignmentUpdated,
        Self::CommentCreated,
        Self::SchemaVersionCreated,
        Self::AttemptFailed,
    ];

    /// The wire name, e.g. `task:state:update`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskCreated => "task:create",
            Self::StateUpdated => "task:state:update",
            Self::AssignmentUpdated => "task:assignment:update",
            Self::CommentCreated => "task:comment:create",
            Self::SchemaVersionCreated => "schema:version:create",
            Self::AttemptFailed => "delivery:attempt:fail",
        }
    }

    /// What an event of the log is told as, if it is.
    const fn of(kind: EventType) -> Option<Self> {
        match kind {
            EventType::TaskCreated => Some(Self::TaskCreated),
            EventType::TaskStateChanged
            | EventType::TaskCancelled
            | EventType::TaskAmended
            | EventType::TaskExpired
            | EventType::TaskSuperseded => Some(Self::StateUpdated),
            EventType::TaskAssigned => Some(Self::AssignmentUpdated),
            EventType::TaskCommented => Some(Self::CommentCreated),
            EventType::SchemaVersionCreated => Some(Self::SchemaVersionCreated),
            EventType::TaskDue
            | EventType::TaskEscalated
            | EventType::SchemaRemoved
            | EventType::EndpointPaused
            | EventType::EndpointDisabled
            | EventType::EndpointRecovered
            | EventType::DeliveryDead => None,
        }
    }
}

/// Of what it happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// Whatever there is.
    Everything,
    /// What belongs to this schema.
    Schema(Box<str>),
    /// One task.
    Task(Uuid),
}

/// Something to listen to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// What happens.
    pub what: What,
    /// Of what.
    pub of: Of,
}

impl Topic {
    /// Reads the wire form, e.g. `task:state:update.ti:sample`. What looks like a task's id is one.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, of) = text.split_once('.').map_or((text, None), |(name, of)| (name, Some(of)));
        let what = What::ALL.into_iter().find(|what| what.as_str() == name)?;
        let of = match of {
            None => Of::Everything,
            Some(id) if id.len() == 36 && Uuid::try_parse(id).is_ok() => Of::Task(Uuid::try_parse(id).ok()?),
            Some(schema) if is_name(schema) => Of::Schema(schema.into()),
            Some(_) => return None,
        };
        // A schema's version is no task's.
        let is_odd = what == What::SchemaVersionCreated && matches!(of, Of::Task(_));
        (!is_odd).then_some(Self { what, of })
    }

    /// Where an event of the log is told.
    pub fn of_event(event: &Event) -> impl Iterator<Item = Self> {
        What::of(event.kind).into_iter().flat_map(|what| Self::all(what, &event.schema, event.task_id))
    }

    /// Where something is told that happens to a schema's task, or to the schema.
    pub fn all(what: What, schema: &str, task: Option<Uuid>) -> impl Iterator<Item = Self> + use<> {
        [Some(Of::Everything), Some(Of::Schema(schema.into())), task.map(Of::Task)]
            .into_iter()
            .flatten()
            .map(move |of| Self { what, of })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.as_str())?;
        match &self.of {
            Of::Everything => Ok(()),
            Of::Schema(name) => write!(f, ".{name}"),
            Of::Task(id) => write!(f, ".{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_come_back_from_their_texts() {
        for what in What::ALL {
            for of in [Of::Everything, Of::Schema("ti:sample".into()), Of::Task(Uuid::now_v7())] {
                let topic = Topic { what, of };
                let expected = match &topic {
                    Topic { what: What::SchemaVersionCreated, of: Of::Task(_) } => None,
                    topic => Some(topic.clone()),
                };
                assert_eq!(Topic::parse(&topic.to_string()), expected, "{topic}");
            }
        }
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        for text in [
            "",
            ".",
            "task",
            "task:",
            "task:create.",
            "task:create. x",
            "task:create.a.b",
            "Task:create",
            "task:create:",
            "task:state",
            "video-playback.lirik",
            "task:create.\u{0}",
        ] {
            assert_eq!(Topic::parse(text), None, "{text}");
        }
    }
}
