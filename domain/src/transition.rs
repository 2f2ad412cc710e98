//! The only place that decides a task's change.
//!
//! [`create`] makes a task, [`apply`] moves one. Both are pure: the caller holds the lock, knows
//! the time and writes what comes out. What can be checked without the task's row (does the
//! state exist, is the output valid) is checked before any lock, by [`Decision::check`].

pub mod sender;
pub mod waiting;

use uuid::Uuid;

use crate::binding::Binding;
use crate::event::guard::Passed;
use crate::event::{self, Bound, Event, Said};
use crate::schema::validate::Problem;
use crate::schema::{TaskType, UNSET};
use crate::task::{Phase, Task};
use crate::{Actor, Document, Timestamp, merge_key};

/// What a sender posts, after parsing.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// The task's id, a UUIDv7.
    pub id: Uuid,
    /// The type's id in its schema version.
    pub ttype_id: Uuid,
    /// The schema's name.
    pub schema: String,
    /// The schema version, as written.
    pub semver: String,
    /// The state asked for; `None` takes the type's initial state.
    pub state: Option<String>,
    /// What the sender says about it.
    pub meta: Option<Document>,
    /// The sender's own name for it.
    pub external_id: Option<String>,
    /// Where its events go besides the schema's endpoints.
    pub callback_url: Option<String>,
    /// What other tasks it replaces; `None` takes it from `meta`, if the type says where it stands.
    pub merge_key: Option<String>,
}

/// What a person or program decides about a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The state to move to; `None` is unset.
    pub state: Option<String>,
    /// The result that goes with it.
    pub output: Option<Document>,
    /// Why.
    pub reason: Option<String>,
    /// The version that the decider saw, if it was said.
    pub expected_version: Option<i64>,
}

/// That a transition's guard was asked and lets it pass: of one version of the task, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The version that the application server was asked about.
    pub version: i64,
    /// Why the guard lets it pass.
    pub passed: Passed,
}

/// What became of a decision.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The same actor had decided just this already: nothing changes, nothing is recorded.
    Unchanged,
    /// The task after the change, and the event that records it.
    Changed {
        /// The task to store.
        task: Box<Task>,
        /// The event to append with it.
        event: Event,
    },
}

/// Why a decision does not hold. The caller answers with the task as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The task changed since the decider looked.
    #[error("the task is at version {current}, not at {expected}: it changed after you read it")]
    Stale {
        /// The version that was expected.
        expected: i64,
        /// The version that is.
        current: i64,
    },
    /// The task's time is over, and the service is about to end its waiting.
    #[error("the task's time was over at {0}: nobody decides it any more")]
    TooLate(Timestamp),
    /// What a decision was bound to that has been taken.
    #[error(
        "somebody has decided about what this would change ({0}): let the task go back to where it began first, or \
         withdraw it and post a new one"
    )]
    Decided(String),
    /// The type doesn't lead from the task's state to this one.
    #[error("a task in state {from} can't go to {to}")]
    NotAllowed {
        /// The task's state.
        from: String,
        /// The state asked for.
        to: String,
    },
    /// The task is cancelled, expired or superseded.
    #[error("the task is {0} and takes no more decisions")]
    Ended(&'static str),
    /// The task is resolved, cancelled, expired or superseded: its sender has no more say.
    #[error("the task is {0}: only one that waits for a decision can be changed or withdrawn")]
    Over(&'static str),
    /// A newer task has taken the task's place, so that it can't be opened again.
    #[error("the task {0} has taken its place: it can't be opened again")]
    Replaced(Uuid),
    /// The transition has a guard, which was not asked about the task as it is.
    #[error(
        "the task is at version {current}, about which the application server was not asked: it changed meanwhile"
    )]
    Unasked {
        /// The version that is.
        current: i64,
    },
}

fn shown(state: Option<&str>) -> String {
    state.unwrap_or(UNSET).to_owned()
}

/// Makes the task that was posted, and its first event.
///
/// # Errors
///
/// Lists everything that the type refuses, with JSON pointers into the request's body.
pub fn create(
    new: NewTask,
    ttype: &TaskType,
    actor: &Actor,
    event_id: Uuid,
    now: Timestamp,
) -> Result<(Task, Event), Vec<Problem>> {
    let mut problems = Vec::new();
    let state = new.state.or_else(|| ttype.initial_state.clone());
    if !ttype.has_state(state.as_deref()) {
        problems.push(unknown_state(ttype, state.as_deref()));
    }
    let resolved = ttype.is_resolved(state.as_deref());
    if let Some(state) = state.as_ref().filter(|s| ttype.output.contains_key(*s)) {
        problems.push(Problem::new(
            "/state",
            format!("a task can't be posted in {state}: it needs an output, which only a decision gives"),
        ));
    }
    if let Some(input) = &ttype.input {
        problems.extend(input.check("/meta", new.meta.as_ref()));
    }
    let merge_key = match new.merge_key {
        Some(key) => Some(key),
        None => merge_key::of(ttype, new.meta.as_ref()).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        }),
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let task = Task {
        expires_at: ttype.expiry(state.as_deref(), now),
        supersedes: None,
        superseded_by: None,
        id: new.id,
        created: now,
        updated: now,
        ttype_id: new.ttype_id,
        schema: new.schema,
        semver: new.semver,
        state,
        resolved,
        phase: if resolved { Phase::Resolved } else { Phase::Open },
        user_id: None,
        meta: new.meta,
        output: None,
        external_id: new.external_id,
        priority: None,
        due_at: None,
        callback_url: new.callback_url,
        merge_key,
        version: 1,
        ttype: ttype.name.clone(),
        decided_by: None,
        decided_at: None,
    };
    let event = event::task_created(event_id, &task, actor);
    Ok((task, event))
}

impl Decision {
    /// Checks what needs no lock: the state, the reason, the output.
    ///
    /// # Errors
    ///
    /// Lists everything that the type refuses, with JSON pointers into the request's body.
    pub fn check(&self, ttype: &TaskType) -> Result<(), Vec<Problem>> {
        let state = self.state.as_deref();
        let mut problems = Vec::new();
        if !ttype.has_state(state) {
            return Err(vec![unknown_state(ttype, state)]);
        }
        if state.is_some_and(|s| ttype.reason_required.iter().any(|r| r == s))
            && self.reason.as_deref().is_none_or(|r| r.trim().is_empty())
        {
            problems.push(Problem::new("/reason", format!("{} needs a reason", shown(state))));
        }
        match state.and_then(|s| ttype.output.get(s)) {
            Some(schema) => problems.extend(schema.check("/output", self.output.as_ref())),
            None if self.output.is_some() && !ttype.is_resolved(state) => problems.push(Problem::new(
                "/output",
                format!("{} is not a resolved state: only those take an output", shown(state)),
            )),
            None => {}
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn unknown_state(ttype: &TaskType, state: Option<&str>) -> Problem {
    let known: Vec<_> = ttype.states().flatten().collect();
    Problem::new(
        "/state",
        format!(
            "{:?} is not a state of {}; it has {}, or null for unset",
            shown(state),
            ttype.name,
            known.join(", ")
        ),
    )
}

/// Decides what `decision` does to `task`, in this order: the same actor repeating the same
/// decision changes nothing; a version other than the one seen is refused; a transition that
/// the type doesn't allow is refused; one whose guard was not asked about this very version is refused.
///
/// Without consent it so tells whether there is anything to ask a guard for. With it, the guard's version
/// comes before the one that the decider saw: that one was right when the guard was asked.
pub fn apply(
    task: &Task,
    ttype: &TaskType,
    decision: &Decision,
    actor: &Actor,
    consent: Option<Consent>,
    event_id: Uuid,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    let to = decision.state.as_deref();
    // What a bound decision was about may be another now: then it is another decision.
    let still_holds = ttype.binds.is_empty() || task.decided_at == Some(task.updated);
    let repeated = task.state.as_deref() == to
        && matches!(task.phase, Phase::Open | Phase::Resolved)
        && still_holds
        && task.decided_by.as_ref().is_some_and(|by| by.is_same(actor))
        && same_output(task.output.as_ref(), decision.output.as_ref());
    if repeated {
        return Ok(Outcome::Unchanged);
    }
    let unasked = Refusal::Unasked { current: task.version };
    if consent.is_some_and(|consent| consent.version != task.version) {
        return Err(unasked);
    }
    if let Some(expected) = decision.expected_version.filter(|v| *v != task.version) {
        return Err(Refusal::Stale { expected, current: task.version });
    }
    if !matches!(task.phase, Phase::Open | Phase::Resolved) {
        return Err(Refusal::Ended(task.phase.as_str()));
    }
    if let Some(at) = task.expires_at.filter(|at| *at <= now) {
        return Err(Refusal::TooLate(at));
    }
    if !ttype.allows(task.state.as_deref(), to) {
        return Err(Refusal::NotAllowed { from: shown(task.state.as_deref()), to: shown(to) });
    }
    let consent = match ttype.guard_of(to) {
        Some(_) => Some(consent.ok_or(unasked)?),
        None => None,
    };
    let resolved = ttype.is_resolved(to);
    // A clock that was set back must not make a history that runs backwards.
    let now = now.max(task.updated);
    let expires_at = match task.phase {
        _ if resolved || ttype.is_final(to) => None,
        Phase::Open => task.expires_at,
        _ => ttype.expiry(to, now),
    };
    let changed = Task {
        state: decision.state.clone(),
        resolved,
        phase: if resolved { Phase::Resolved } else { Phase::Open },
        output: decision.output.clone(),
        updated: now,
        expires_at,
        version: task.version + 1,
        decided_by: Some(actor.clone()),
        decided_at: Some(now),
        ..task.clone()
    };
    let binding = Binding::of(ttype, task.meta.as_ref());
    let said = Said {
        reason: decision.reason.clone(),
        guard: consent.map(|consent| consent.passed),
        bound: binding.map(|binding| Bound { version: task.version, binding }),
    };
    let event = event::state_changed(event_id, task, &changed, actor, said);
    Ok(Outcome::Changed { task: Box::new(changed), event })
}

/// Where a task may go: nowhere from its end.
pub fn allowed<'a>(task: &Task, ttype: &'a TaskType) -> Vec<Option<&'a str>> {
    match task.phase {
        Phase::Open | Phase::Resolved => ttype.allowed_transitions(task.state.as_deref()),
        Phase::Cancelled | Phase::Expired | Phase::Superseded => Vec::new(),
    }
}

fn same_output(a: Option<&Document>, b: Option<&Document>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same_value(b),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
