//! `timeouts`, `binds` and `merge_key`: what a task's waiting leads to, what a decision about it is bound to,
//! and which later task takes its place.

use super::findings::Findings;
use super::names::quoted;
use super::read::{At, Fields};
use super::states::States;
use super::tree::Value;
use super::{MAX_TITLE, further};
use crate::schema::{OnTimeout, TaskType, Timeout, UNSET};

/// Most pointers of a list.
const MAX_POINTERS: usize = 32;

/// Reads `timeouts`. Reminding and escalating are checked and noted as unsupported.
pub(super) fn timeouts(fields: &Fields<'_>, states: &States, findings: &mut Findings) -> Option<Timeout> {
    let at = fields.get("timeouts")?;
    let keys = ["after", "remind", "escalate_to", "final_state"];
    let fields = at.fields(findings, "timeouts", &keys)?;
    further::note(&fields, &["remind", "escalate_to"], findings);
    if let Some(at) = fields.get("remind") {
        if matches!(at.node.value, Value::List(_)) {
            for item in at.list(findings, "a list of durations", further::MAX_ITEMS).iter().flatten() {
                further::duration(item, findings);
            }
        } else {
            further::duration(&at, findings);
        }
    }
    if let Some(at) = fields.get("escalate_to") {
        at.short_text(findings, "a person or a role", MAX_TITLE);
    }
    let after = fields
        .required(findings, "after", "how long a task waits, e.g. 24h")
        .and_then(|at| further::duration(&at, findings));
    let then = match fields.get_or_null("final_state") {
        Some(at) => OnTimeout::Move(states.state_or_unset(&at, findings).ok()?),
        None => OnTimeout::Expire,
    };
    Some(Timeout { after: after?, then })
}

/// Refuses a final state that a task could not be moved to when its time is over: nobody is there then who could
/// give an output, or be asked.
pub(super) fn check_timeout(fields: &Fields<'_>, ttype: &TaskType, findings: &mut Findings) {
    let Some(Timeout { then: OnTimeout::Move(to), .. }) = &ttype.timeout else { return };
    let to = to.as_deref();
    let shown = to.unwrap_or(UNSET);
    let place = fields.key_place("timeouts").unwrap_or(fields.place);
    let mut error = |message: String| findings.error(place, &format!("{}.timeouts", fields.path), message);
    if to.and_then(|to| ttype.output.get(to)).is_some_and(|output| !output.check("", None).is_empty()) {
        error(format!("final_state is {shown}, which needs an output: nobody gives one when time is over"));
    }
    if ttype.guard_of(to).is_some() {
        error(format!(
            "final_state is {shown}, which the guard is asked about: it might refuse, and the task would wait for ever"
        ));
    }
    let stuck: Vec<_> = ttype
        .states()
        .filter(|from| !ttype.is_resolved(*from) && *from != to && !ttype.allows(*from, to))
        .map(|from| from.unwrap_or(UNSET))
        .collect();
    if !stuck.is_empty() {
        error(format!("final_state is {shown}, but transitions lead there from {} not", stuck.join(", ")));
    }
}

/// Reads `binds`: pointers to `meta` or into it.
pub(super) fn binds(fields: &Fields<'_>, findings: &mut Findings) -> Vec<String> {
    let Some(at) = fields.get("binds") else { return Vec::new() };
    let what = "a list of JSON pointers into the task, e.g. [/meta/amount]";
    let pointers = pointers(&at, what, findings);
    for (pointer, item) in &pointers {
        if *pointer != "/meta" && !pointer.starts_with("/meta/") {
            let message = format!("{} is not a pointer into meta, e.g. /meta/amount", quoted(pointer));
            item.error(findings, message);
        }
    }
    pointers.into_iter().map(|(pointer, _)| pointer.to_owned()).collect()
}

/// Reads `merge_key`: a pointer into `meta`, or a list of them.
pub(super) fn merge_key(fields: &Fields<'_>, findings: &mut Findings) -> Vec<String> {
    let Some(at) = fields.get("merge_key") else { return Vec::new() };
    let what = "a JSON pointer into meta, e.g. /user_id, or a list of them";
    if matches!(at.node.value, Value::List(_)) {
        let found = pointers(&at, what, findings);
        return found.into_iter().map(|(pointer, _)| pointer.to_owned()).collect();
    }
    pointer(&at, what, findings).map(str::to_owned).into_iter().collect()
}

/// A list of pointers, each once.
fn pointers<'a>(at: &At<'a>, what: &str, findings: &mut Findings) -> Vec<(&'a str, At<'a>)> {
    let mut found: Vec<(&str, At<'_>)> = Vec::new();
    let items = at.list(findings, what, MAX_POINTERS);
    if items.as_ref().is_some_and(Vec::is_empty) {
        at.error(findings, format!("is empty; expected {what}, or leave the key out"));
    }
    for item in items.into_iter().flatten() {
        let Some(pointer) = pointer(&item, "a JSON pointer", findings) else { continue };
        if found.iter().any(|(known, _)| *known == pointer) {
            item.error(findings, format!("{pointer} is listed twice"));
        } else {
            found.push((pointer, item));
        }
    }
    found
}

/// A JSON pointer (RFC 6901) to a member.
fn pointer<'a>(at: &At<'a>, what: &str, findings: &mut Findings) -> Option<&'a str> {
    let text = at.short_text(findings, what, MAX_TITLE)?;
    let mut after_tilde = text.split('~').skip(1);
    let message = if !text.starts_with('/') {
        format!("{} is not a JSON pointer (RFC 6901): it begins with /", quoted(text))
    } else if !after_tilde.all(|rest| rest.starts_with(['0', '1'])) {
        format!("{} is not a JSON pointer (RFC 6901): ~ is written ~0, and / in a name ~1", quoted(text))
    } else {
        return Some(text);
    };
    at.error(findings, message);
    None
}
