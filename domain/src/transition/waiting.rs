//! What becomes of a task while it waits, though nobody decides: its time runs out, or a newer one takes its place.

use uuid::Uuid;

use super::{Outcome, Refusal, sender};
use crate::binding::Binding;
use crate::event::{self, Bound, Said};
use crate::schema::{OnTimeout, TaskType};
use crate::task::{Phase, Task};
use crate::{Actor, Timestamp};

/// Ends a task's waiting at the time that was seen to have come, as its type says: it moves, or expires. Where it has
/// been decided, or has got another time, nothing changes.
///
/// # Errors
///
/// The type doesn't lead from where the task is to where it should go.
pub fn time_out(
    task: &Task,
    ttype: &TaskType,
    seen: Timestamp,
    event_id: Uuid,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    let Some(timeout) = ttype.timeout.as_ref().filter(|_| task.expires_at == Some(seen)) else {
        return Ok(Outcome::Unchanged);
    };
    let actor = Actor::system();
    let waited = Task { expires_at: None, ..sender::next(task, now) };
    let reason = format!("nobody decided it within {}", timeout.span());
    let (task, event) = match &timeout.then {
        OnTimeout::Move(to) if ttype.allows(task.state.as_deref(), to.as_deref()) => {
            let resolved = ttype.is_resolved(to.as_deref());
            let phase = if resolved { Phase::Resolved } else { Phase::Open };
            let decided =
                Task { decided_by: Some(actor.clone()), decided_at: Some(waited.updated), ..waited };
            let moved = Task { state: to.clone(), resolved, phase, output: None, ..decided };
            let binding = Binding::of(ttype, task.meta.as_ref());
            let bound = binding.map(|binding| Bound { version: task.version, binding });
            let said = Said { reason: Some(reason), guard: None, bound };
            let event = event::state_changed(event_id, task, &moved, &actor, said);
            (moved, event)
        }
        OnTimeout::Move(to) => {
            let shown = |state: &Option<String>| super::shown(state.as_deref());
            return Err(Refusal::NotAllowed { from: shown(&task.state), to: shown(to) });
        }
        OnTimeout::Expire => {
            let expired = Task { phase: Phase::Expired, ..waited };
            let event = event::task_expired(event_id, task, &expired, &actor, &reason);
            (expired, event)
        }
    };
    Ok(Outcome::Changed { task: Box::new(task), event })
}

/// Lets a newer task take the place of one that waits; one that doesn't wait stays as it is.
pub fn supersede(task: &Task, by: Uuid, actor: &Actor, event_id: Uuid, now: Timestamp) -> Outcome {
    if task.phase != Phase::Open {
        return Outcome::Unchanged;
    }
    let over = Task { phase: Phase::Superseded, superseded_by: Some(by), ..sender::next(task, now) };
    let superseded = Task { expires_at: None, ..over };
    let event = event::task_superseded(event_id, task, &superseded, actor);
    Outcome::Changed { task: Box::new(superseded), event }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{document, task_type};
    use crate::transition::{Decision, NewTask, apply, create};
    use crate::{Event, EventType};

    const HOUR: Duration = Duration::from_hours(1);
    const START: Timestamp = Timestamp::from_micros(100);

    fn ttype(timeouts: &str) -> TaskType {
        task_type(&format!(
            "pending_states: [p, q]\nresolved_states: [r, s]\nbinds: [/meta/n]\ntimeouts: {timeouts}"
        ))
    }

    fn posted(ttype: &TaskType, state: Option<&str>) -> Task {
        let new = NewTask {
            id: Uuid::from_u128(1),
            ttype_id: Uuid::from_u128(2),
            schema: "x".to_owned(),
            semver: "1".to_owned(),
            state: state.map(str::to_owned),
            meta: Some(document(r#"{"n":1}"#)),
            external_id: None,
            callback_url: None,
            merge_key: None,
        };
        create(new, ttype, &Actor::cli(), Uuid::nil(), START).expect("valid").0
    }

    fn changed(outcome: Result<Outcome, Refusal>) -> (Task, Event) {
        match outcome {
            Ok(Outcome::Changed { task, event }) => (*task, event),
            other => panic!("{other:?}"),
        }
    }

    fn decide(task: &Task, ttype: &TaskType, to: Option<&str>, now: Timestamp) -> Task {
        let state = to.map(str::to_owned);
        let decision = Decision { state, output: None, reason: None, expected_version: None };
        changed(apply(task, ttype, &decision, &Actor::cli(), None, Uuid::nil(), now)).0
    }

    #[test]
    fn a_task_that_nobody_decides_goes_where_its_type_says() {
        let ttype = ttype("{after: 1h, final_state: r}");
        let task = posted(&ttype, Some("p"));
        let due = START.plus(HOUR);
        assert_eq!(task.expires_at, Some(due));
        let (moved, event) = changed(time_out(&task, &ttype, due, Uuid::nil(), due));
        assert_eq!((moved.state.as_deref(), moved.phase, moved.version), (Some("r"), Phase::Resolved, 2));
        assert_eq!((moved.expires_at, moved.decided_by.as_ref()), (None, Some(&Actor::system())));
        assert_eq!((event.kind, event.actor.as_str()), (EventType::TaskStateChanged, "system"));
        assert!(event.body.contains(r#""reason":"nobody decided it within 1h""#), "{}", event.body);
        assert!(event.body.contains(r#""bound":{"version":1,"hash":"sha256:"#), "{}", event.body);
        // What comes too late finds nothing to do, and so does what was meant for another time.
        assert!(matches!(time_out(&moved, &ttype, due, Uuid::nil(), due), Ok(Outcome::Unchanged)));
        assert!(matches!(time_out(&task, &ttype, START, Uuid::nil(), due), Ok(Outcome::Unchanged)));
    }

    #[test]
    fn nobody_decides_when_time_is_over() {
        let ttype = ttype("{after: 1h, final_state: r}");
        let task = posted(&ttype, Some("p"));
        let due = START.plus(HOUR);
        let decide = |now: Timestamp| {
            let state = Some("s".to_owned());
            let decision = Decision { state, output: None, reason: None, expected_version: None };
            apply(&task, &ttype, &decision, &Actor::cli(), None, Uuid::nil(), now)
        };
        assert!(decide(Timestamp::from_micros(due.as_micros() - 1)).is_ok());
        assert_eq!(decide(due).err(), Some(Refusal::TooLate(due)));
    }

    #[test]
    fn a_task_of_a_type_that_says_of_no_state_expires_where_it_is() {
        let ttype = ttype("{after: 90m}");
        let task = posted(&ttype, Some("q"));
        let due = task.expires_at.expect("it has a time");
        let (expired, event) = changed(time_out(&task, &ttype, due, Uuid::nil(), START));
        assert_eq!((expired.state.as_deref(), expired.phase), (Some("q"), Phase::Expired));
        assert_eq!((event.kind, event.version), (EventType::TaskExpired, Some(2)));
        assert!(event.body.contains("nobody decided it within 90m"), "{}", event.body);
    }

    #[test]
    fn time_runs_while_a_task_waits_and_anew_when_it_is_reopened() {
        let ttype = ttype("{after: 1h, final_state: q}");
        let due = START.plus(HOUR);
        let task = posted(&ttype, None);
        let moved = decide(&task, &ttype, Some("p"), START);
        assert_eq!(moved.expires_at, Some(due), "a step on the way is no end");
        assert_eq!(decide(&moved, &ttype, Some("q"), START).expires_at, None, "it is where it would go");
        let resolved = decide(&moved, &ttype, Some("r"), START);
        assert_eq!(resolved.expires_at, None);
        let later = START.plus(HOUR * 5);
        assert_eq!(decide(&resolved, &ttype, None, later).expires_at, Some(later.plus(HOUR)));
        assert_eq!(posted(&ttype, Some("r")).expires_at, None);
        assert_eq!(posted(&ttype, Some("q")).expires_at, None);
        // Time moves a task once: in its final state it waits for a person.
        let (timed_out, _) = changed(time_out(&task, &ttype, due, Uuid::nil(), due));
        assert_eq!((timed_out.phase, timed_out.expires_at), (Phase::Open, None));
        assert_eq!(decide(&timed_out, &ttype, Some("p"), due).expires_at, None);
        let cancellation = sender::Cancellation { reason: None, expected_version: None };
        let (cancelled, _) = changed(sender::cancel(&task, &cancellation, &Actor::cli(), Uuid::nil(), START));
        assert_eq!(cancelled.expires_at, None);
    }

    #[test]
    fn a_newer_task_takes_the_place_of_one_that_waits() {
        let ttype = ttype("{after: 1h, final_state: q}");
        let task = posted(&ttype, None);
        let (by, actor) = (Uuid::from_u128(7), Actor::cli());
        let (over, event) = changed(Ok(supersede(&task, by, &actor, Uuid::nil(), START)));
        assert_eq!((over.phase, over.superseded_by, over.expires_at), (Phase::Superseded, Some(by), None));
        assert_eq!((event.kind, event.version), (EventType::TaskSuperseded, Some(2)));
        assert!(event.body.contains(&format!(r#""superseded_by":"{by}""#)), "{}", event.body);
        for done in [over, decide(&task, &ttype, Some("r"), START)] {
            assert!(matches!(supersede(&done, by, &actor, Uuid::nil(), START), Outcome::Unchanged));
        }
    }
}
