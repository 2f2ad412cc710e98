//! What a task's sender does about it after posting it: withdraws it, or changes what it says.

use uuid::Uuid;

use super::{Outcome, Refusal};
use crate::binding::Binding;
use crate::schema::TaskType;
use crate::schema::validate::Problem;
use crate::task::{Phase, Task};
use crate::{Actor, Document, Timestamp, event, merge_key, merge_patch};

/// A task that its sender withdraws.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancellation {
    /// Why.
    pub reason: Option<String>,
    /// The version that the sender saw, if it was said.
    pub expected_version: Option<i64>,
}

/// What a sender changes of what a task says.
#[derive(Clone, Debug, PartialEq)]
pub struct Amendment {
    /// What to merge into `meta`: a JSON Merge Patch (RFC 7396).
    pub patch: Document,
    /// `meta` of the version that was read, with that merged in.
    pub meta: Document,
    /// Why.
    pub reason: Option<String>,
    /// The version that was read. What is merged is so of no other.
    pub version: i64,
}

/// Withdraws a task that waits. To withdraw what is withdrawn changes nothing, whoever does it.
///
/// # Errors
///
/// The task has another version than was seen, or does not wait any more.
pub fn cancel(
    task: &Task,
    cancellation: &Cancellation,
    actor: &Actor,
    event_id: Uuid,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    if task.phase == Phase::Cancelled {
        return Ok(Outcome::Unchanged);
    }
    if let Some(expected) = cancellation.expected_version.filter(|v| *v != task.version) {
        return Err(Refusal::Stale { expected, current: task.version });
    }
    waits(task)?;
    let changed = Task { phase: Phase::Cancelled, expires_at: None, ..next(task, now) };
    let event = event::task_cancelled(event_id, task, &changed, actor, cancellation.reason.as_deref());
    Ok(Outcome::Changed { task: Box::new(changed), event })
}

/// Changes what a task says that waits. Where it says so already, nothing changes.
///
/// # Errors
///
/// The task has another version than the one that was merged into, or does not wait any more; or somebody has taken a
/// step on the way that is bound to what would change.
pub fn amend(
    task: &Task,
    ttype: &TaskType,
    amendment: &Amendment,
    actor: &Actor,
    event_id: Uuid,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    if task.version != amendment.version {
        return Err(Refusal::Stale { expected: amendment.version, current: task.version });
    }
    waits(task)?;
    if task.meta.as_ref().is_some_and(|meta| meta.same_value(&amendment.meta)) {
        return Ok(Outcome::Unchanged);
    }
    // A step that was taken on the way holds for what was seen, like the last one.
    let is_on_the_way = task.decided_by.is_some() && task.state != ttype.initial_state;
    if is_on_the_way && Binding::of(ttype, task.meta.as_ref()) != Binding::of(ttype, Some(&amendment.meta)) {
        return Err(Refusal::Decided(ttype.binds.join(", ")));
    }
    let changed = Task { meta: Some(amendment.meta.clone()), ..next(task, now) };
    let event = event::task_amended(event_id, &changed, actor, amendment.reason.as_deref(), &amendment.patch);
    Ok(Outcome::Changed { task: Box::new(changed), event })
}

impl Amendment {
    /// Merges a patch into what a task says, if what comes of it fits the task's type.
    ///
    /// # Errors
    ///
    /// Lists everything that the type refuses, with JSON pointers into the merged `meta`; or says that it is too large.
    pub fn of(
        task: &Task,
        ttype: &TaskType,
        patch: Document,
        reason: Option<String>,
    ) -> Result<Self, Vec<Problem>> {
        let meta = Document::parse_object(&merge_patch::merge(task.meta.as_ref(), &patch))
            .map_err(|error| vec![Problem::new("/meta", format!("with this merged in, it {error}"))])?;
        let mut problems =
            ttype.input.as_ref().map(|input| input.check("/meta", Some(&meta))).unwrap_or_default();
        // What other tasks know it by stays: it would take another's place, or leave its own. A key that was given
        // with the post doesn't depend on what it says.
        let is_found = merge_key::of(ttype, task.meta.as_ref()).is_ok_and(|key| key == task.merge_key);
        match merge_key::of(ttype, Some(&meta)) {
            Err(problem) => problems.push(problem),
            Ok(key) if is_found && key != task.merge_key => {
                let pointers = ttype.merge_key.join(", ");
                let detail =
                    format!("tasks are merged by {pointers}, which therefore can't change: post a new task");
                problems.push(Problem::new("/meta", detail));
            }
            Ok(_) => {}
        }
        if problems.is_empty() {
            Ok(Self { patch, meta, reason, version: task.version })
        } else {
            Err(problems)
        }
    }
}

fn waits(task: &Task) -> Result<(), Refusal> {
    match task.phase {
        Phase::Open => Ok(()),
        phase => Err(Refusal::Over(phase.as_str())),
    }
}

/// The task as its next version, changed in nothing else.
pub(super) fn next(task: &Task, now: Timestamp) -> Task {
    Task { updated: now.max(task.updated), version: task.version + 1, ..task.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{document, task_type};
    use crate::transition::{Decision, NewTask, apply, create};
    use crate::{Event, EventType};

    fn ttype() -> TaskType {
        task_type(
            "pending_states: [p]\nresolved_states: [r]\ninput: {type: object, required: [url], properties: {n: {type: integer}}}",
        )
    }

    fn posted() -> Task {
        let new = NewTask {
            id: Uuid::from_u128(1),
            ttype_id: Uuid::from_u128(2),
            schema: "x".to_owned(),
            semver: "1".to_owned(),
            state: None,
            meta: Some(document(r#"{"url":"http://a","n":1}"#)),
            external_id: None,
            callback_url: None,
            merge_key: None,
        };
        create(new, &ttype(), &Actor::cli(), Uuid::nil(), Timestamp::from_micros(100)).expect("valid").0
    }

    fn changed(outcome: Result<Outcome, Refusal>) -> (Task, Event) {
        match outcome {
            Ok(Outcome::Changed { task, event }) => (*task, event),
            other => panic!("{other:?}"),
        }
    }

    fn withdraw(task: &Task, expected_version: Option<i64>) -> Result<Outcome, Refusal> {
        let cancellation = Cancellation { reason: Some("done elsewhere".to_owned()), expected_version };
        cancel(task, &cancellation, &Actor::cli(), Uuid::nil(), Timestamp::from_micros(50))
    }

    fn change(task: &Task, patch: &str) -> Result<Outcome, Refusal> {
        let amendment = Amendment::of(task, &ttype(), document(patch), None).expect("it fits");
        amend(task, &ttype(), &amendment, &Actor::cli(), Uuid::nil(), Timestamp::from_micros(200))
    }

    #[test]
    fn what_is_withdrawn_stays_so_and_is_so_once() {
        let task = posted();
        assert_eq!(withdraw(&task, Some(2)).err(), Some(Refusal::Stale { expected: 2, current: 1 }));
        let (cancelled, event) = changed(withdraw(&task, Some(1)));
        assert_eq!((cancelled.phase, cancelled.version, &cancelled.state), (Phase::Cancelled, 2, &None));
        assert_eq!(cancelled.updated, task.updated, "a history never runs backwards");
        assert_eq!((event.kind, event.version), (EventType::TaskCancelled, Some(2)));
        assert!(event.body.contains("done elsewhere"));
        assert!(matches!(withdraw(&cancelled, Some(1)), Ok(Outcome::Unchanged)));
        let amendment = Amendment::of(&cancelled, &ttype(), document("{}"), None).expect("it fits");
        let amended =
            amend(&cancelled, &ttype(), &amendment, &Actor::cli(), Uuid::nil(), Timestamp::default());
        assert_eq!(amended.err(), Some(Refusal::Over("cancelled")));
        for phase in [Phase::Resolved, Phase::Expired, Phase::Superseded] {
            let over = Task { phase, ..task.clone() };
            assert_eq!(withdraw(&over, None).err(), Some(Refusal::Over(phase.as_str())));
        }
    }

    #[test]
    fn what_is_changed_says_what_was() {
        let task = posted();
        let (amended, event) = changed(change(&task, r#"{"n":2,"more":[1.0]}"#));
        assert_eq!(amended.meta, Some(document(r#"{"url":"http://a","n":2,"more":[1.0]}"#)));
        assert_eq!((amended.version, amended.phase), (2, Phase::Open));
        assert_eq!((event.kind, event.version), (EventType::TaskAmended, Some(2)));
        assert!(event.body.contains(r#""update_meta":{"n":2,"more":[1.0]}"#), "{}", event.body);
        assert!(matches!(change(&amended, r#"{"n":2}"#), Ok(Outcome::Unchanged)));
    }

    #[test]
    fn what_was_merged_into_another_version_is_refused() {
        let task = posted();
        let amendment = Amendment::of(&task, &ttype(), document(r#"{"n":2}"#), None).expect("it fits");
        let (later, _) = changed(change(&task, r#"{"n":3}"#));
        let stale = amend(&later, &ttype(), &amendment, &Actor::cli(), Uuid::nil(), Timestamp::default());
        assert_eq!(stale.err(), Some(Refusal::Stale { expected: 1, current: 2 }));
    }

    #[test]
    fn a_step_that_was_taken_holds_for_what_was_seen() {
        let ttype = task_type("pending_states: [p]\nresolved_states: [r]\nbinds: [/meta/n]");
        let decide = |task: &Task, state: Option<&str>, expected_version: i64| {
            let state = state.map(str::to_owned);
            let decision =
                Decision { state, output: None, reason: None, expected_version: Some(expected_version) };
            apply(task, &ttype, &decision, &Actor::cli(), None, Uuid::nil(), Timestamp::from_micros(300))
        };
        let change = |task: &Task, patch: &str, now: i64| {
            let amendment = Amendment::of(task, &ttype, document(patch), None).expect("it fits");
            amend(task, &ttype, &amendment, &Actor::cli(), Uuid::nil(), Timestamp::from_micros(now))
        };
        let (step, _) = changed(decide(&posted(), Some("p"), 1));
        let refused = change(&step, r#"{"n":2}"#, 400).expect_err("it was decided about");
        assert_eq!(refused, Refusal::Decided("/meta/n".to_owned()));
        // What is not bound may change; to repeat the step then is to take it anew, and needs the new version.
        assert!(matches!(decide(&step, Some("p"), 1), Ok(Outcome::Unchanged)), "nothing has changed since");
        let (noted, _) = changed(change(&step, r#"{"note":"x"}"#, 400));
        assert_eq!(decide(&noted, Some("p"), 2).err(), Some(Refusal::Stale { expected: 2, current: 3 }));
        // From where it began, it is asked anew.
        let (back, _) = changed(decide(&noted, None, 3));
        changed(change(&back, r#"{"n":2}"#, 500));
    }

    #[test]
    fn what_it_is_merged_by_must_stay_what_can_be_one() {
        let ttype = task_type("resolved_states: [r]\nmerge_key: /k");
        let task = Task { merge_key: None, ..posted() };
        for patch in [r#"{"k":[1]}"#, r#"{"k":""}"#] {
            assert!(Amendment::of(&task, &ttype, document(patch), None).is_err(), "{patch}");
        }
        assert!(Amendment::of(&task, &ttype, document(r#"{"k":"a"}"#), None).is_err(), "it had none");
        let given = Task { merge_key: Some("mine".to_owned()), ..posted() };
        assert!(Amendment::of(&given, &ttype, document(r#"{"k":"a"}"#), None).is_ok());
    }

    #[test]
    fn what_does_not_fit_the_type_is_told() {
        let task = posted();
        let refused = |patch: &str| Amendment::of(&task, &ttype(), document(patch), None).expect_err(patch);
        assert_eq!(refused(r#"{"n":"x"}"#)[0].pointer, "/meta/n");
        assert_eq!(refused(r#"{"url":null}"#)[0].pointer, "/meta");
        let long = format!(r#"{{"long":"{}"}}"#, "x".repeat(crate::document::MAX_BYTES - 20));
        assert!(refused(&long)[0].detail.contains("bytes"), "more than may be kept");
    }
}
