//! Task schemas: what an author writes in YAML, what it means, and how versions follow another.
//!
//! [`parse`] reads a file into a [`Schema`] or tells everything that is wrong with it;
//! [`registry`] decides whether it may follow what is installed; [`validate`] checks a task's
//! `meta` and a decision's `output` against it. A [`Schema`] in hand is valid: nothing past
//! `parse` asks again.

mod guard;
pub mod parse;
pub mod registry;
mod relax;
pub mod validate;
pub mod version;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{EventType, Timestamp};
pub use guard::{Guard, OnError};
use validate::Validator;
pub use version::SchemaVersion;

/// A parsed, valid schema file.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The schema's name, e.g. `ti:sample`.
    pub name: String,
    /// Its version.
    pub version: SchemaVersion,
    /// What it is for.
    pub description: Option<String>,
    /// `default_hook_url` with the schema's `hook_auth`.
    pub hook: Option<Hook>,
    /// Events that the default endpoint wants.
    pub hook_events: Vec<EventType>,
    /// What of an event is sent.
    pub hook_body: HookBody,
    /// Where a task's `callback_url` may lead.
    pub callback: Option<Callback>,
    /// The task types, in file order; names are unique.
    pub task_types: Vec<TaskType>,
    /// Keys that the format knows and this build does not act on yet, as `tasktypes[0].roles`, with
    /// their place. Installing such a file is refused: nobody may decide by a rule that is not kept.
    pub unsupported: Vec<Unsupported>,
}

/// A key whose behaviour this build lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Path of the key, e.g. `tasktypes[0].roles`.
    pub path: String,
    /// 1-based line.
    pub line: u64,
    /// 1-based column.
    pub column: u64,
}

/// Where webhooks go and how they prove where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Absolute http or https URL.
    pub url: String,
    /// How a webhook is authenticated.
    pub auth: HookAuth,
}

/// `callback_hosts`, with the schema's `hook_auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Hosts, or `*.` and the name that theirs is one level below; lower case, at least one.
    pub hosts: Vec<String>,
    /// How a webhook is authenticated.
    pub auth: HookAuth,
}

impl Callback {
    /// The first of the hosts that stands for this one.
    pub fn host_for(&self, host: &str) -> Option<&str> {
        let host = host.to_ascii_lowercase();
        let exact = self.hosts.iter().find(|known| **known == host);
        let below = || {
            let (label, parent) = host.split_once('.')?;
            let fits = |known: &&String| known.strip_prefix("*.") == Some(parent) && !label.is_empty();
            self.hosts.iter().find(fits)
        };
        exact.or_else(below).map(String::as_str)
    }
}

/// `hook_auth`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum HookAuth {
    /// Standard Webhooks signatures (the default).
    #[default]
    Hmac,
    /// The original's shared secret in a header of this name.
    Head {
        /// Header name.
        header: String,
    },
}

impl HookAuth {
    /// Its name in a schema file.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Head { .. } => "head",
        }
    }
}

/// `hook_body`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HookBody {
    /// The whole event (the default).
    #[default]
    Full,
    /// Only the decision; of what is no task's, the whole event.
    Output,
}

impl HookBody {
    /// Its name in a schema file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Output => "output",
        }
    }
}

/// One kind of task.
#[derive(Clone, Debug)]
pub struct TaskType {
    /// Its name in the schema.
    pub name: String,
    /// What people see.
    pub title: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// States of a task that still waits, in file order.
    pub pending_states: Vec<String>,
    /// States of a decided task, in file order; at least one.
    pub resolved_states: Vec<String>,
    /// The state of a task that is posted without one; `None` is unset.
    pub initial_state: Option<String>,
    /// Declared transitions: from a state (`None` is unset) to states. `None`: the default rule.
    pub transitions: Option<BTreeMap<Option<String>, Vec<Option<String>>>>,
    /// States that can't be entered without a reason.
    pub reason_required: Vec<String>,
    /// JSON Schema of `meta`.
    pub input: Option<Validator>,
    /// JSON Schema of `output`, by resolved state.
    pub output: BTreeMap<String, Validator>,
    /// The type's own endpoint, in place of the schema's.
    pub hook: Option<Hook>,
    /// Events that the type's endpoint wants; `None`: the schema's.
    pub hook_events: Option<Vec<EventType>>,
    /// Whom to ask before a task of it is moved.
    pub guard: Option<Guard>,
    /// How long a task waits, and what becomes of it then.
    pub timeout: Option<Timeout>,
    /// What a decision is bound to: JSON pointers (RFC 6901) into the task, all of them into `meta`.
    pub binds: Vec<String>,
    /// JSON pointers into `meta`: tasks that have the same values there replace each other.
    pub merge_key: Vec<String>,
}

/// `timeouts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// How long a task waits for a decision, from when it was posted or reopened.
    pub after: Duration,
    /// What becomes of it then.
    pub then: OnTimeout,
}

impl Timeout {
    /// How long a task waits, as a schema file has it: `90m`, `2h`.
    pub fn span(&self) -> String {
        let seconds = self.after.as_secs();
        let units = [(7 * 24 * 60 * 60, "w"), (24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m")];
        let (factor, unit) =
            units.into_iter().find(|(factor, _)| seconds.is_multiple_of(*factor)).unwrap_or((1, "s"));
        format!("{}{unit}", seconds / factor)
    }
}

/// What becomes of a task that nobody decided in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// It is over, in whatever state it is.
    Expire,
    /// The service moves it to its `final_state`; `None` is unset.
    Move(Option<String>),
}

/// The word for the absent state where one must be written: in `transitions` and in texts.
pub const UNSET: &str = "unset";

impl TaskType {
    /// Whether `state` is one of the type's, unset included.
    pub fn has_state(&self, state: Option<&str>) -> bool {
        state.is_none_or(|s| self.is_resolved(Some(s)) || self.pending_states.iter().any(|p| p == s))
    }

    /// Whether a task in `state` is decided.
    pub fn is_resolved(&self, state: Option<&str>) -> bool {
        state.is_some_and(|s| self.resolved_states.iter().any(|r| r == s))
    }

    /// Every state in the schema's order, unset first.
    pub fn states(&self) -> impl Iterator<Item = Option<&str>> {
        std::iter::once(None)
            .chain(self.pending_states.iter().chain(&self.resolved_states).map(|s| Some(s.as_str())))
    }

    /// Whether a task may go from one state to another.
    ///
    /// Where the type declares no transitions, every open state leads to every other, and a
    /// resolved one only back to unset.
    pub fn allows(&self, from: Option<&str>, to: Option<&str>) -> bool {
        match &self.transitions {
            Some(declared) => declared
                .get(&from.map(str::to_owned))
                .is_some_and(|targets| targets.iter().any(|t| t.as_deref() == to)),
            None if self.is_resolved(from) => to.is_none(),
            None => from != to,
        }
    }

    /// The guard that is asked before a task goes to a state, if there is one.
    pub fn guard_of(&self, to: Option<&str>) -> Option<&Guard> {
        self.guard.as_ref().filter(|guard| guard.is_of(to))
    }

    /// When the time of a task is over that begins to wait at `now` in `state`; none if it doesn't wait, or is where
    /// time would move it.
    pub fn expiry(&self, state: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        let timeout = self.timeout.as_ref().filter(|_| !self.is_resolved(state) && !self.is_final(state))?;
        Some(now.plus(timeout.after))
    }

    /// Whether time moves tasks to this state.
    pub fn is_final(&self, state: Option<&str>) -> bool {
        self.timeout.as_ref().is_some_and(|timeout| match &timeout.then {
            OnTimeout::Move(to) => to.as_deref() == state,
            OnTimeout::Expire => false,
        })
    }

    /// The states that a task in `from` may go to, in the schema's order.
    pub fn allowed_transitions(&self, from: Option<&str>) -> Vec<Option<&str>> {
        self.states().filter(|to| self.allows(from, *to)).collect()
    }
}

impl Schema {
    /// The type of this name.
    pub fn task_type(&self, name: &str) -> Option<&TaskType> {
        self.task_types.iter().find(|t| t.name == name)
    }
}
