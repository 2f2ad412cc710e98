//! `callback_hosts` and `guard`, and the keys that the format has from the start and this build does not
//! act on.
//!
//! The shapes of the latter are checked all the same, so that a file that parses today parses when they
//! are built. Those that would change a decision or its delivery are noted as unsupported, and the
//! registry refuses to install the file: nobody may believe in a rule that isn't kept. Those
//! that only describe (`actions`, `priority`, `calendar`) are accepted.

use std::time::Duration;

use super::findings::Findings;
use super::names::{name, quoted};
use super::read::{At, Fields};
use super::states::States;
use super::tree::Value;
use super::{MAX_DESCRIPTION, MAX_TITLE, hook};
use crate::schema::{Guard, OnError, UNSET};

/// Longest list of these keys.
pub(super) const MAX_ITEMS: usize = 100;

/// Longest duration: ten years, in seconds.
const MAX_SECONDS: u64 = 10 * 365 * 24 * 60 * 60;

/// Checks `retention`, `migrate` and `calendar`; reads `callback_hosts`.
pub(super) fn of_schema(fields: &Fields<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    note(fields, &["retention", "migrate"], findings);
    if let Some(at) = fields.get("retention") {
        retention(&at, findings);
    }
    if let Some(at) = fields.get("migrate") {
        migrate(&at, findings);
    }
    if let Some(at) = fields.get("calendar") {
        calendar(&at, findings);
    }
    fields.get("callback_hosts").and_then(|at| callback_hosts(&at, findings))
}

/// The hosts, each once; none if the list is empty.
fn callback_hosts(at: &At<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    let mut hosts: Vec<String> = Vec::new();
    for item in at.list(findings, "a list of host names", MAX_ITEMS).iter().flatten() {
        let Some(name) = host(item, findings) else { continue };
        if hosts.contains(&name) {
            item.error(findings, format!("{name} is listed twice"));
        } else {
            hosts.push(name);
        }
    }
    Some(hosts).filter(|hosts| !hosts.is_empty())
}

/// Reads a task type's guard, and checks the rest of its keys.
pub(super) fn of_type(fields: &Fields<'_>, states: &States, findings: &mut Findings) -> Option<Guard> {
    note(fields, &["undo", "approvals", "roles"], findings);
    if let Some(at) = fields.get("undo") {
        duration(&at, findings);
    }
    if let Some(at) = fields.get("approvals") {
        approvals(&at, states, findings);
    }
    if let Some(at) = fields.get("roles") {
        roles(&at, states, findings);
    }
    if let Some(at) = fields.get("priority") {
        at.integer(findings, i32::MIN.into(), i32::MAX.into());
    }
    if let Some(at) = fields.get("actions") {
        for item in at.list(findings, "a list of actions", MAX_ITEMS).iter().flatten() {
            action(item, states, findings);
        }
    }
    fields.get("guard").and_then(|at| guard(&at, states, findings))
}

pub(super) fn note(fields: &Fields<'_>, keys: &[&str], findings: &mut Findings) {
    for key in keys {
        if let (Some(at), Some(place)) = (fields.get(key), fields.key_place(key)) {
            findings.unsupported(place, &at.path);
        }
    }
}

/// A number and its unit: `6s`, `15m`, `2h`, `7d`, `2w`.
pub(super) fn duration(at: &At<'_>, findings: &mut Findings) -> Option<Duration> {
    const WHAT: &str = "a duration such as 6s, 15m, 2h, 7d or 2w";
    let text = at.text(findings, WHAT)?;
    let seconds = text.char_indices().next_back().and_then(|(end, unit)| {
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            'w' => 7 * 24 * 60 * 60,
            _ => return None,
        };
        let digits = text.get(..end).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<u64>().ok()?.checked_mul(factor)
    });
    match seconds {
        Some(seconds @ 1..=MAX_SECONDS) => return Some(Duration::from_secs(seconds)),
        Some(0) => at.error(findings, "is no time at all; leave the key out"),
        Some(_) => at.error(findings, "is longer than ten years"),
        None => at.error(findings, format!("{} is not {WHAT}", quoted(text))),
    }
    None
}

/// A host name, or a wildcard for one level of names below one; in lower case.
fn host(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    const WHAT: &str = "a host name such as example.com or *.example.com";
    let text = at.short_text(findings, WHAT, 253)?;
    let bare = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if bare.split('.').all(label) {
        return Some(text.to_ascii_lowercase());
    }
    at.error(findings, format!("{} is not {WHAT}", quoted(text)));
    None
}

fn retention(at: &At<'_>, findings: &mut Findings) {
    if !matches!(at.node.value, Value::Map(_)) {
        duration(at, findings);
        return;
    }
    let keys = ["tasks", "attempts"];
    let Some(fields) = at.fields(findings, "retention", &keys) else { return };
    for key in keys {
        if let Some(at) = fields.get(key) {
            duration(&at, findings);
        }
    }
}

/// How tasks of earlier versions come to this one: which, and what their types and states are
/// called here.
fn migrate(at: &At<'_>, findings: &mut Findings) {
    let Some(fields) = at.fields(findings, "migrate", &["tasks", "types", "states"]) else { return };
    if let Some(at) = fields.get("tasks") {
        at.one_of(findings, &["open", "all"]);
    }
    if let Some(at) = fields.get("types") {
        for (_, value) in at.entries(findings, "a mapping from old to new type names").iter().flatten() {
            name(value, findings, "a type's name");
        }
    }
    if let Some(at) = fields.get("states") {
        let what = "a mapping from a type to a mapping from old to new states";
        for (_, value) in at.entries(findings, what).iter().flatten() {
            for (_, state) in value.entries(findings, "a mapping from old to new states").iter().flatten() {
                name(state, findings, "a state, or unset");
            }
        }
    }
}

fn calendar(at: &At<'_>, findings: &mut Findings) {
    let keys = ["timezone", "days", "hours", "holidays"];
    let Some(fields) = at.fields(findings, "calendar", &keys) else { return };
    if let Some(at) = fields.get("timezone") {
        at.short_text(findings, "a time zone such as Europe/Berlin", 64);
    }
    if let Some(at) = fields.get("days") {
        for item in at.list(findings, "a list of days, e.g. [mon, tue]", 7).iter().flatten() {
            item.one_of(findings, &["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
        }
    }
    if let Some(at) = fields.get("hours") {
        hours(&at, findings);
    }
    if let Some(at) = fields.get("holidays") {
        for item in at.list(findings, "a list of dates", MAX_ITEMS).iter().flatten() {
            let what = "a date such as 2030-12-25";
            let Some(text) = item.text(findings, what) else { continue };
            if chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_err() {
                item.error(findings, format!("{} is not {what}", quoted(text)));
            }
        }
    }
}

fn hours(at: &At<'_>, findings: &mut Findings) {
    const WHAT: &str = "hours such as 09:00-17:30";
    let Some(text) = at.text(findings, WHAT) else { return };
    let time = |text: &str| chrono::NaiveTime::parse_from_str(text, "%H:%M").ok();
    let span = text.split_once('-').and_then(|(from, to)| Some((time(from)?, time(to)?)));
    if span.is_none_or(|(from, to)| from >= to) {
        at.error(findings, format!("{} is not {WHAT}", quoted(text)));
    }
}

/// How many different people must agree: one number, or one for each resolved state.
fn approvals(at: &At<'_>, states: &States, findings: &mut Findings) {
    const MOST: i64 = 20;
    if !matches!(at.node.value, Value::Map(_)) {
        at.integer(findings, 1, MOST);
        return;
    }
    for (key, value) in at.entries(findings, "").iter().flatten() {
        states.resolved_key(key, &value.path, findings);
        value.integer(findings, 1, MOST);
    }
}

/// Who may decide: one list of roles, or one for each state.
fn roles(at: &At<'_>, states: &States, findings: &mut Findings) {
    if !matches!(at.node.value, Value::Map(_)) {
        return role_names(at, findings);
    }
    for (key, value) in at.entries(findings, "").iter().flatten() {
        let _ = states.key_or_unset(key, &value.path, findings);
        role_names(value, findings);
    }
}

fn role_names(at: &At<'_>, findings: &mut Findings) {
    for item in at.list(findings, "a list of roles", MAX_ITEMS).iter().flatten() {
        name(item, findings, "a role's name");
    }
}

/// Whom to ask before a transition: the application server, at a URL, for some of the states or for
/// every one.
fn guard(at: &At<'_>, states: &States, findings: &mut Findings) -> Option<Guard> {
    let keys = ["url", "timeout", "on_error", "states"];
    let fields = at.fields(findings, "a guard", &keys)?;
    let url = fields.required(findings, "url", "where the application server answers");
    let url = url.and_then(|at| hook::url(&at, findings));
    let timeout = match fields.get("timeout") {
        Some(at) => guard_timeout(&at, findings),
        None => Some(Guard::TIMEOUT),
    };
    let on_error = fields.get("on_error").and_then(|at| at.one_of(findings, &["allow", "deny"]));
    let states = fields.get("states").map(|at| guarded_states(&at, states, findings));
    let on_error = if on_error == Some("allow") { OnError::Allow } else { OnError::Deny };
    Some(Guard { url: url?, timeout: timeout?, on_error, states })
}

/// A person waits for it, and so does what they wanted to do.
fn guard_timeout(at: &At<'_>, findings: &mut Findings) -> Option<Duration> {
    let timeout = duration(at, findings)?;
    if timeout > Guard::MAX_TIMEOUT {
        let most = Guard::MAX_TIMEOUT.as_secs();
        at.error(findings, format!("is longer than {most}s; somebody waits for the answer"));
        return None;
    }
    Some(timeout)
}

fn guarded_states(at: &At<'_>, states: &States, findings: &mut Findings) -> Vec<Option<String>> {
    let mut guarded = Vec::new();
    let items = at.list(findings, "a list of states, e.g. [unset]", MAX_ITEMS + 1);
    if items.as_ref().is_some_and(Vec::is_empty) {
        at.error(findings, "guards no state; leave it out to guard every one");
    }
    for item in items.iter().flatten() {
        let Ok(state) = states.state_or_unset(item, findings) else { continue };
        if guarded.contains(&state) {
            let name = state.as_deref().unwrap_or(UNSET);
            item.error(findings, format!("{name} is listed twice"));
        } else {
            guarded.push(state);
        }
    }
    guarded
}

/// How a decision is offered: a button.
fn action(at: &At<'_>, states: &States, findings: &mut Findings) {
    let keys = ["state", "label", "description", "style", "key", "confirm"];
    let Some(fields) = at.fields(findings, "an action", &keys) else { return };
    if let Some(at) = fields.get_or_null("state") {
        let _ = states.state_or_unset(&at, findings);
    } else {
        fields.required(findings, "state", "the state that it leads to");
    }
    if let Some(at) = fields.get("label") {
        at.short_text(findings, "a label", MAX_TITLE);
    }
    if let Some(at) = fields.get("description") {
        at.short_text(findings, "a description", MAX_DESCRIPTION);
    }
    if let Some(at) = fields.get("style") {
        at.one_of(findings, &["default", "primary", "danger"]);
    }
    if let Some(at) = fields.get("key") {
        at.short_text(findings, "a key of the keyboard: one character", 1);
    }
    if let Some(at) = fields.get("confirm").filter(|at| at.boolean().is_none()) {
        at.short_text(findings, "true, or a question to confirm", MAX_DESCRIPTION);
    }
}
