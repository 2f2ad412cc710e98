//! Acknowledged is stored, once; refused is not; decisions form legal chains.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{REFUSED, Report};
use crate::journal::{CREATED, Call, Event, Op, Outcome, Run, STATE_CHANGED, TaskSeen};
use crate::schema;

/// The run, by what it is looked up.
struct Index<'a> {
    tasks: HashMap<&'a str, &'a TaskSeen>,
    /// Events of each task, in log order.
    histories: HashMap<&'a str, Vec<&'a Event>>,
    /// Events of each marker.
    marked: HashMap<&'a str, Vec<&'a Event>>,
}

pub(super) fn check(run: &Run, report: &mut Report) {
    let mut index = Index { tasks: HashMap::new(), histories: HashMap::new(), marked: HashMap::new() };
    for task in &run.tasks {
        if index.tasks.insert(&task.id, task).is_some() {
            report.broken("the list shows each task once", &task.id);
        }
    }
    for event in &run.events {
        if let Some(task) = &event.task {
            index.histories.entry(&task.id).or_default().push(event);
        }
        if let Some(marker) = &event.marker {
            index.marked.entry(marker).or_default().push(event);
        }
    }
    report.count("calls", run.calls.len());
    report.count("events", run.events.len());
    report.count("tasks", run.tasks.len());
    for call in &run.calls {
        check_answer(call, report);
        if let Outcome::Answered { status: 200..=299, task, .. } = &call.outcome {
            match task {
                Some(task) => check_acknowledged(call, task, &index, report),
                None => report.broken("a 2xx answer carries the task", format!("{call:?}")),
            }
        }
    }
    check_names(run, report);
    check_markers(run, &index, report);
    for (task, history) in &index.histories {
        check_history(task, history, index.tasks.get(task).copied(), report);
    }
    for task in index.tasks.keys().filter(|id| !index.histories.contains_key(*id)) {
        report.broken("every task has its events", *task);
    }
}

fn check_answer(call: &Call, report: &mut Report) {
    match &call.outcome {
        Outcome::NotSent => report.count("calls not sent", 1),
        Outcome::Unknown => report.count("calls without answer", 1),
        Outcome::Answered { status, has_retry_after, is_problem, detail, .. } => {
            if *status >= 400 && !is_problem {
                report.broken(
                    "an error is a problem document",
                    format!("{status} to {:?}: {detail:?}", call.op),
                );
            }
            match status {
                200..=299 => report.count("calls acknowledged", 1),
                503 if *has_retry_after => report.count(REFUSED, 1),
                500.. => report.broken(
                    "no 5xx but 503 with Retry-After",
                    format!("{status} to {:?}: {}", call.op, detail.as_deref().unwrap_or_default()),
                ),
                _ => report.count("calls answered 4xx", 1),
            }
            if let Some(detail) = detail.as_deref().filter(|text| text.to_lowercase().contains("deadlock")) {
                report.broken("no deadlock reaches a client", detail);
            }
        }
    }
}

fn check_acknowledged(call: &Call, answered: &TaskSeen, index: &Index<'_>, report: &mut Report) {
    let task = answered.id.as_str();
    if !index.tasks.contains_key(task) {
        report.broken("an acknowledged task is stored", format!("{task} of {:?}", call.op));
    }
    let history = index.histories.get(task).map_or(&[][..], Vec::as_slice);
    match &call.op {
        Op::Post { .. } => {
            let created: Vec<_> = history.iter().filter(|e| e.kind == CREATED).collect();
            if created.len() != 1 || created[0].marker.as_deref() != Some(&call.marker) {
                report.broken(
                    "an acknowledged post has its one event",
                    format!("{task}: {} events of posting it; {:?}", created.len(), call.op),
                );
            }
        }
        Op::Decide { task: asked, state, .. } => {
            let event = history.iter().find(|e| version(e) == Some(answered.version));
            // The same actor repeating a decision is told so by 200, without a new event.
            let holds = event.is_some_and(|event| {
                event.marker.as_deref() == Some(&call.marker) || event.actor.as_deref() == Some(&call.actor)
            });
            if asked != task
                || answered.state != *state
                || !holds
                || event.map(|e| state_of(e)) != Some(state.as_deref())
            {
                report.broken(
                    "an acknowledged decision has its event",
                    format!("{call:?}; at that version: {event:?}"),
                );
            }
        }
    }
}

fn version(event: &Event) -> Option<i64> {
    event.task.as_ref().map(|task| task.version)
}

fn state_of(event: &Event) -> Option<&str> {
    event.task.as_ref().and_then(|task| task.state.as_deref())
}

/// Each idempotency key and each external id names one task.
fn check_names(run: &Run, report: &mut Report) {
    let mut keyed: HashMap<(&str, &str), BTreeSet<&str>> = HashMap::new();
    for call in &run.calls {
        if let (Op::Post { idempotency_key: Some(key), .. }, Outcome::Answered { task: Some(task), .. }) =
            (&call.op, &call.outcome)
        {
            keyed.entry((&call.actor, key)).or_default().insert(&task.id);
        }
    }
    for ((_, key), tasks) in keyed.iter().filter(|(_, tasks)| tasks.len() > 1) {
        report.broken("an idempotency key makes one task", format!("{key}: {tasks:?}"));
    }
    report.count("idempotency keys answered", keyed.len());
    let mut external: HashSet<&str> = HashSet::new();
    for event in run.events.iter().filter(|event| event.kind == CREATED) {
        if let Some(id) = event.external_id.as_deref().filter(|id| !external.insert(id)) {
            report.broken("an external id names one task", id);
        }
    }
}

/// Each call left at most one event, none if it was refused, and nothing else left any.
///
/// A decision that names no version and is repeated, since nobody answered, is another decision once
/// somebody else's came between: then each of its tries may have left one.
fn check_markers(run: &Run, index: &Index<'_>, report: &mut Report) {
    let mut most: HashMap<&str, usize> = HashMap::new();
    for call in &run.calls {
        let most = most.entry(&call.marker).or_default();
        if !call.outcome.is_without_effect() {
            *most = if matches!(call.op, Op::Decide { expected_version: None, .. }) { *most + 1 } else { 1 };
        }
    }
    for (marker, events) in &index.marked {
        match most.get(marker) {
            None => report.broken("no event without a call", format!("{events:?}")),
            Some(0) => report.broken("a refused call leaves no event", format!("{events:?}")),
            Some(most) if events.len() > *most => {
                report.broken("a call leaves one event", format!("{events:?}"));
            }
            Some(_) => {}
        }
    }
    report.count("calls that may have had effect", most.values().filter(|most| **most > 0).count());
}

fn check_history(task: &str, history: &[&Event], stored: Option<&TaskSeen>, report: &mut Report) {
    let mut before: Option<&Event> = None;
    for event in history {
        let is_legal = match before {
            None => event.kind == CREATED && version(event) == Some(1),
            Some(before) => {
                event.kind == STATE_CHANGED
                    && version(event) == version(before).map(|v| v + 1)
                    && event.previous_state.as_deref() == state_of(before)
                    && schema::allows(state_of(before), state_of(event))
            }
        };
        if !is_legal {
            report.broken("a task's history is a legal chain", format!("{task}: {event:?} after {before:?}"));
        }
        before = Some(event);
    }
    if stored != before.and_then(|event| event.task.as_ref()) {
        report.broken("a task is as its last event says", format!("{stored:?}, but {before:?}"));
    }
}
