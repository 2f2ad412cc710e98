//! A type's states, and what is said about them: where they lead, where they begin.

use std::collections::BTreeMap;

use super::findings::{Findings, Place};
use super::names::{name, nearest, quoted};
use super::read::{At, Fields};
use super::tree::Key;
use crate::schema::UNSET;

/// Most states of a type, pending and resolved together.
const MAX_STATES: usize = 100;

/// The value is wrong, and that was said.
#[derive(Debug)]
pub(super) struct Reported;

/// The states that a type names.
#[derive(Debug)]
pub(super) struct States {
    pub(super) pending: Vec<String>,
    pub(super) resolved: Vec<String>,
    /// Whether all of them could be read; else nobody can say that a name isn't among them.
    complete: bool,
}

impl States {
    pub(super) fn read(fields: &Fields<'_>, findings: &mut Findings) -> Self {
        let mut seen = Vec::new();
        let what = "a list of at least one state";
        let pending = match fields.get("pending_states") {
            Some(at) => list(&at, &mut seen, findings),
            None => Some(Vec::new()),
        };
        let resolved = fields.required(findings, "resolved_states", what).and_then(|at| {
            let states = list(&at, &mut seen, findings)?;
            if states.is_empty() {
                at.error(
                    findings,
                    format!("is empty; expected {what}: a task that nothing resolves stays open for ever"),
                );
            }
            Some(states)
        });
        if seen.len() > MAX_STATES {
            let place = fields.key_place("resolved_states").unwrap_or(fields.place);
            let message = format!("the type has {} states; at most {MAX_STATES} are allowed", seen.len());
            findings.error(place, &fields.path, message);
        }
        let complete = pending.is_some() && resolved.is_some();
        Self { pending: pending.unwrap_or_default(), resolved: resolved.unwrap_or_default(), complete }
    }

    fn all(&self) -> Vec<&str> {
        self.pending.iter().chain(&self.resolved).map(String::as_str).collect()
    }

    /// A state or unset, which null means as well.
    pub(super) fn state_or_unset(
        &self,
        at: &At<'_>,
        findings: &mut Findings,
    ) -> Result<Option<String>, Reported> {
        if at.node.is_null() {
            return Ok(None);
        }
        let text = at.text(findings, "a state, or unset").ok_or(Reported)?;
        self.or_unset(text, at.node.place, &at.path, findings)
    }

    /// A state, not unset.
    pub(super) fn state(&self, at: &At<'_>, findings: &mut Findings) -> Option<String> {
        let text = at.text(findings, "a state")?;
        self.known(text, at.node.place, &at.path, findings)
    }

    /// A resolved state, as a mapping's key.
    pub(super) fn resolved_key(&self, key: &Key, path: &str, findings: &mut Findings) -> Option<String> {
        if self.pending.contains(&key.text) {
            let message = format!("{} is a pending state; expected a resolved one", key.text);
            findings.error(key.place, path, message);
            return None;
        }
        self.known(&key.text, key.place, path, findings)
    }

    /// A state or unset, as a mapping's key.
    pub(super) fn key_or_unset(
        &self,
        key: &Key,
        path: &str,
        findings: &mut Findings,
    ) -> Result<Option<String>, Reported> {
        self.or_unset(&key.text, key.place, path, findings)
    }

    fn or_unset(
        &self,
        text: &str,
        place: Place,
        path: &str,
        findings: &mut Findings,
    ) -> Result<Option<String>, Reported> {
        if text == UNSET {
            return Ok(None);
        }
        self.known(text, place, path, findings).map(Some).ok_or(Reported)
    }

    fn known(&self, text: &str, place: Place, path: &str, findings: &mut Findings) -> Option<String> {
        let all = self.all();
        if all.contains(&text) {
            return Some(text.to_owned());
        }
        if self.complete {
            let near = if findings.are_told() { nearest(text, &all) } else { String::new() };
            let hint = match near {
                hint if hint.is_empty() => format!("; it has {}", shown(&all)),
                hint => hint,
            };
            findings.error(place, path, format!("{} is not a state of this type{hint}", quoted(text)));
        }
        None
    }

    /// `transitions`: from each state that is named, the states that may follow.
    pub(super) fn transitions(
        &self,
        fields: &Fields<'_>,
        findings: &mut Findings,
    ) -> Option<BTreeMap<Option<String>, Vec<Option<String>>>> {
        let at = fields.get("transitions")?;
        let mut map = BTreeMap::new();
        let mut whole = self.complete;
        for (key, value) in at.entries(findings, "a mapping from each state to a list of states")? {
            let from = self.key_or_unset(key, &value.path, findings);
            let items = value.list(findings, "a list of states, e.g. [unset]", MAX_STATES + 1);
            let mut targets = Vec::new();
            for item in items.iter().flatten() {
                let Ok(to) = self.state_or_unset(item, findings) else {
                    whole = false;
                    continue;
                };
                if targets.contains(&to) {
                    let to = to.as_deref().unwrap_or(UNSET);
                    item.error(findings, format!("{to} is listed twice"));
                } else {
                    targets.push(to);
                }
            }
            whole &= from.is_ok() && items.is_some();
            if let Ok(from) = from {
                map.insert(from, targets);
            }
        }
        let resolves = |to: &Option<String>| to.as_ref().is_some_and(|s| self.resolved.contains(s));
        if whole && !map.values().flatten().any(resolves) {
            at.error(findings, "no transition leads to a resolved state, so that no task could be decided");
        }
        Some(map)
    }

    /// `initial_state`: pending, or unset.
    pub(super) fn initial(&self, fields: &Fields<'_>, findings: &mut Findings) -> Option<String> {
        let at = fields.get("initial_state")?;
        let state = self.state_or_unset(&at, findings).ok()??;
        if self.resolved.contains(&state) {
            at.error(
                findings,
                format!("{state} is a resolved state; a task begins in a pending one, or in unset"),
            );
        }
        Some(state)
    }

    /// `reason_required`: a list of states, or `true` for all resolved ones.
    pub(super) fn reason_required(&self, fields: &Fields<'_>, findings: &mut Findings) -> Vec<String> {
        let Some(at) = fields.get("reason_required") else { return Vec::new() };
        match at.boolean() {
            Some(true) => return self.resolved.clone(),
            Some(false) => return Vec::new(),
            None => {}
        }
        let what = "a list of states, or true for every resolved state";
        let mut states = Vec::new();
        for item in at.list(findings, what, MAX_STATES).iter().flatten() {
            let Some(state) = self.state(item, findings) else { continue };
            if states.contains(&state) {
                item.error(findings, format!("{state} is listed twice"));
            } else {
                states.push(state);
            }
        }
        states
    }
}

fn shown(states: &[&str]) -> String {
    const MOST: usize = 10;
    let more = if states.len() > MOST { ", …" } else { "" };
    format!("{}{more}", states[..states.len().min(MOST)].join(", "))
}

fn list(at: &At<'_>, seen: &mut Vec<String>, findings: &mut Findings) -> Option<Vec<String>> {
    let items = at.list(findings, "a list of states", 10 * MAX_STATES)?;
    let mut states = Vec::new();
    let mut whole = true;
    for item in &items {
        let Some(state) = name(item, findings, "a state's name") else {
            whole = false;
            continue;
        };
        if state == UNSET {
            item.error(findings, "unset is the state that every task has anyway; it can't be declared");
        } else if seen.iter().any(|s| s == state) {
            item.error(findings, format!("{state} is a state of this type already"));
        } else {
            seen.push(state.to_owned());
            states.push(state.to_owned());
        }
    }
    whole.then_some(states)
}
