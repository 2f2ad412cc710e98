//! Who acted.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kind of principal behind a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// An API key.
    Key,
    /// A signed-in person.
    User,
    /// An operator with access to the database, by the command line.
    Cli,
    /// The service itself: time-outs, housekeeping.
    System,
}

impl ActorKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }
}

/// Who acted, as the log's payload names it.
///
/// Names live in the payload, which can be erased; the log's permanent header carries only
/// [`Actor::pseudonym`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of principal.
    pub kind: ActorKind,
    /// Its id: an API key's or a user's; none for the command line and the service.
    pub id: Option<Uuid>,
    /// Its name when it acted.
    pub name: Option<String>,
    /// Whom a program says it acted for; claimed by the caller, not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

impl Actor {
    /// The operator at the command line.
    pub fn cli() -> Self {
        Self { kind: ActorKind::Cli, id: None, name: None, on_behalf_of: None }
    }

    /// The service itself.
    pub fn system() -> Self {
        Self { kind: ActorKind::System, id: None, name: None, on_behalf_of: None }
    }

    /// An API key.
    pub fn key(id: Uuid, name: impl Into<String>) -> Self {
        Self { kind: ActorKind::Key, id: Some(id), name: Some(name.into()), on_behalf_of: None }
    }

    /// A signed-in person.
    pub fn user(id: Uuid, name: impl Into<String>) -> Self {
        Self { kind: ActorKind::User, id: Some(id), name: Some(name.into()), on_behalf_of: None }
    }

    /// A name that tells nobody who it is without the database: `key:{id}`, `cli`.
    pub fn pseudonym(&self) -> String {
        match self.id {
            Some(id) => format!("{}:{id}", self.kind.as_str()),
            None => self.kind.as_str().to_owned(),
        }
    }

    /// Whether both are the same principal acting for the same person; a changed display name
    /// makes nobody somebody else.
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.id == other.id && self.on_behalf_of == other.on_behalf_of
    }
}
