//! One entry of `tasktypes`.

use std::collections::BTreeMap;

use super::findings::{Findings, Place};
use super::read::{At, Fields};
use super::states::States;
use super::{MAX_DESCRIPTION, MAX_TITLE, further, hook, json, names, waiting};
use crate::schema::TaskType;
use crate::schema::validate::Validator;

/// Keys of a task type.
const KEYS: [&str; 22] = [
    "name",
    "title",
    "description",
    "pending_states",
    "resolved_states",
    "initial_state",
    "transitions",
    "reason_required",
    "input",
    "output",
    "hook_url",
    "hook_auth",
    "hook_events",
    "actions",
    "approvals",
    "binds",
    "guard",
    "merge_key",
    "priority",
    "roles",
    "timeouts",
    "undo",
];

/// Reads a task type, and apart from it its name, which may be taken even if the rest is wrong.
pub(super) fn read<'a>(
    at: &At<'a>,
    default: &hook::Default,
    findings: &mut Findings,
) -> (Option<(&'a str, Place)>, Option<TaskType>) {
    let Some(fields) = at.fields(findings, "a task type", &KEYS) else { return (None, None) };
    let name = fields
        .required(findings, "name", "the type's name")
        .and_then(|at| names::name(&at, findings, "the type's name").map(|name| (name, at.node.place)));
    let states = States::read(&fields, findings);
    let title = fields.get("title").and_then(|at| at.short_text(findings, "a title", MAX_TITLE));
    let description =
        fields.get("description").and_then(|at| at.short_text(findings, "a description", MAX_DESCRIPTION));
    let task_type = TaskType {
        name: name.map(|(name, _)| name.to_owned()).unwrap_or_default(),
        title: title.map(str::to_owned),
        description: description.map(str::to_owned),
        initial_state: states.initial(&fields, findings),
        transitions: states.transitions(&fields, findings),
        reason_required: states.reason_required(&fields, findings),
        input: fields.get("input").and_then(|at| json::validator(&at, findings)),
        output: output(&fields, &states, findings),
        hook: default.of_type(&fields, findings),
        hook_events: hook::events(&fields, findings),
        guard: further::of_type(&fields, &states, findings),
        timeout: waiting::timeouts(&fields, &states, findings),
        binds: waiting::binds(&fields, findings),
        merge_key: waiting::merge_key(&fields, findings),
        pending_states: Vec::new(),
        resolved_states: Vec::new(),
    };
    let States { pending: pending_states, resolved: resolved_states, .. } = states;
    let task_type = TaskType { pending_states, resolved_states, ..task_type };
    waiting::check_timeout(&fields, &task_type, findings);
    (name, name.map(|_| task_type))
}

fn output(fields: &Fields<'_>, states: &States, findings: &mut Findings) -> BTreeMap<String, Validator> {
    let Some(at) = fields.get("output") else { return BTreeMap::new() };
    let what = "a mapping from each resolved state to a JSON Schema";
    let mut schemas = BTreeMap::new();
    for (key, value) in at.entries(findings, what).iter().flatten() {
        let state = states.resolved_key(key, &value.path, findings);
        if let (Some(state), Some(validator)) = (state, json::validator(value, findings)) {
            schemas.insert(state, validator);
        }
    }
    schemas
}
