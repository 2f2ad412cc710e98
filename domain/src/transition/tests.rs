//! The state machine: what changes, what is refused, in which order (wire.md section 1).

use proptest::prelude::*;

use super::*;
use crate::testing::{actors, document, documents, moments, task_type, uuids};

/// No transitions: the default rule. `r` needs an output.
fn plain() -> TaskType {
    task_type(
        "pending_states: [p, q]\nresolved_states: [r, s]\nreason_required: [s]\n\
         output: {r: {type: object, required: [n]}}\ninput: {type: object, required: [url]}",
    )
}

/// Declared transitions, with a resolved state that leads on and one that ends.
fn declared() -> TaskType {
    task_type(
        "pending_states: [p, q]\nresolved_states: [r, s]\ninitial_state: p\n\
         transitions: {unset: [p], p: [q, unset], q: [r, s, q], r: [p]}",
    )
}

fn types() -> impl Strategy<Value = TaskType> {
    prop_oneof![Just(plain()), Just(declared()), Just(guarded())]
}

/// The default rule, with a guard before `r` and unset.
fn guarded() -> TaskType {
    task_type(
        "pending_states: [p, q]\nresolved_states: [r, s]\nguard: {url: 'https://a.example/ask', states: [r, unset]}",
    )
}

fn consents() -> impl Strategy<Value = Option<Consent>> {
    let passed = prop::sample::select(vec![Passed::Allowed, Passed::Unreachable]);
    prop::option::of((1i64..4, passed).prop_map(|(version, passed)| Consent { version, passed }))
}

fn states() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec!["p", "q", "r", "s"]).prop_map(str::to_owned))
}

fn new_task(state: Option<&str>) -> NewTask {
    NewTask {
        id: Uuid::from_u128(1),
        ttype_id: Uuid::from_u128(2),
        schema: "x".to_owned(),
        semver: "1".to_owned(),
        state: state.map(str::to_owned),
        meta: Some(document(r#"{"url":"http://a"}"#)),
        external_id: Some("order-1".to_owned()),
        callback_url: None,
        merge_key: None,
    }
}

fn posted(ttype: &TaskType, state: Option<&str>) -> Task {
    let actor = Actor::key(Uuid::from_u128(9), "app");
    create(new_task(state), ttype, &actor, Uuid::nil(), Timestamp::from_micros(100)).expect("valid").0
}

/// A task somewhere in its life, as transitions leave it.
fn task_in(ttype: &TaskType, state: Option<&str>, phase: Option<Phase>) -> Task {
    let resolved = ttype.is_resolved(state);
    let usual = if resolved { Phase::Resolved } else { Phase::Open };
    Task { state: state.map(str::to_owned), resolved, phase: phase.unwrap_or(usual), ..posted(ttype, None) }
}

fn to(state: Option<&str>) -> Decision {
    Decision { state: state.map(str::to_owned), output: None, reason: None, expected_version: None }
}

fn pointers(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|p| p.pointer.as_str()).collect()
}

#[test]
fn posting_makes_version_one() {
    let actor = Actor::key(Uuid::from_u128(9), "app");
    let now = Timestamp::from_micros(100);
    let (task, event) = create(new_task(None), &plain(), &actor, Uuid::from_u128(7), now).expect("valid");
    assert_eq!((task.version, task.phase, task.resolved), (1, Phase::Open, false));
    assert_eq!((task.created, task.updated, &task.state), (now, now, &None));
    assert_eq!((task.decided_by, task.decided_at), (None, None));
    assert_eq!(event.id, Uuid::from_u128(7));
    assert_eq!(event.kind, crate::EventType::TaskCreated);
    assert_eq!(posted(&declared(), None).state.as_deref(), Some("p"));
    assert_eq!(posted(&declared(), Some("q")).state.as_deref(), Some("q"));
    let resolved = posted(&plain(), Some("s"));
    assert_eq!((resolved.phase, resolved.resolved), (Phase::Resolved, true));
}

#[test]
fn posting_lists_all_that_is_wrong() {
    let actor = Actor::cli();
    let bad = NewTask { meta: Some(document("{}")), ..new_task(Some("nope")) };
    let problems = create(bad, &plain(), &actor, Uuid::nil(), Timestamp::default()).expect_err("wrong");
    assert_eq!(pointers(&problems), ["/state", "/meta"]);
    assert!(
        problems[0].detail.contains("\"nope\" is not a state of t; it has p, q, r, s, or null for unset")
    );
    let no_meta = NewTask { meta: None, ..new_task(None) };
    let problems = create(no_meta, &plain(), &actor, Uuid::nil(), Timestamp::default()).expect_err("wrong");
    assert_eq!(problems, [Problem::new("/meta", "is required")]);
    let decided = create(new_task(Some("r")), &plain(), &actor, Uuid::nil(), Timestamp::default());
    assert_eq!(pointers(&decided.expect_err("needs an output")), ["/state"]);
}

#[test]
fn decisions_are_checked_without_the_task() {
    let ttype = plain();
    let problems = |d: &Decision| d.check(&ttype).err().unwrap_or_default();
    assert_eq!(pointers(&problems(&to(Some("nope")))), ["/state"]);
    assert_eq!(pointers(&problems(&to(Some("s")))), ["/reason"]);
    assert_eq!(
        pointers(&problems(&Decision { reason: Some(" \n".to_owned()), ..to(Some("s")) })),
        ["/reason"]
    );
    assert!(problems(&Decision { reason: Some("x".to_owned()), ..to(Some("s")) }).is_empty());
    assert_eq!(problems(&to(Some("r"))), [Problem::new("/output", "is required")]);
    let output = |text: &str| Some(document(text));
    assert_eq!(pointers(&problems(&Decision { output: output("{}"), ..to(Some("r")) })), ["/output"]);
    assert!(problems(&Decision { output: output(r#"{"n":1}"#), ..to(Some("r")) }).is_empty());
    // Where a resolved state says nothing about its output, any will do; a pending one takes none.
    assert!(
        problems(&Decision { output: output("1"), reason: Some("x".to_owned()), ..to(Some("s")) }).is_empty()
    );
    for state in [Some("p"), None] {
        assert_eq!(pointers(&problems(&Decision { output: output("1"), ..to(state) })), ["/output"]);
        assert!(problems(&to(state)).is_empty());
    }
}

#[test]
fn repeating_comes_before_staleness_and_staleness_before_the_rest() {
    let ttype = plain();
    let actor = Actor::user(Uuid::from_u128(1), "A");
    let apply = |task: &Task, d: &Decision| {
        apply(task, &ttype, d, &actor, None, Uuid::nil(), Timestamp::from_micros(200))
    };
    let Ok(Outcome::Changed { task, .. }) = apply(&posted(&ttype, None), &to(Some("p"))) else {
        panic!("allowed")
    };
    // p does not lead to p and version 1 is stale, and yet: the same again is no conflict.
    let again = Decision { expected_version: Some(1), ..to(Some("p")) };
    assert!(matches!(apply(&task, &again), Ok(Outcome::Unchanged)));
    let renamed = Actor::user(Uuid::from_u128(1), "B");
    let outcome = super::apply(&task, &ttype, &again, &renamed, None, Uuid::nil(), Timestamp::default());
    assert!(matches!(outcome, Ok(Outcome::Unchanged)));
    // Another's repetition is stale, or not allowed.
    let other = Actor::user(Uuid::from_u128(2), "A");
    let by_other =
        |d: &Decision| super::apply(&task, &ttype, d, &other, None, Uuid::nil(), Timestamp::default());
    assert_eq!(by_other(&again).err(), Some(Refusal::Stale { expected: 1, current: 2 }));
    let refusal = by_other(&to(Some("p"))).expect_err("p leads not to p");
    assert_eq!(refusal.to_string(), "a task in state p can't go to p");
    // Stale before ended, ended before not allowed.
    let ended = Task { phase: Phase::Expired, ..(*task).clone() };
    let stale = Decision { expected_version: Some(1), ..to(Some("q")) };
    assert_eq!(apply(&ended, &stale).err(), Some(Refusal::Stale { expected: 1, current: 2 }));
    assert_eq!(apply(&ended, &to(Some("q"))).err(), Some(Refusal::Ended("expired")));
    // Another output is another decision.
    let outputs = Decision { output: Some(document("1")), ..to(Some("p")) };
    assert!(apply(&task, &outputs).is_err());
}

#[test]
fn a_guard_is_asked_last_and_of_one_version() {
    let (ttype, actor) = (guarded(), Actor::user(Uuid::from_u128(1), "A"));
    let apply = |task: &Task, d: &Decision, consent: Option<Consent>| {
        apply(task, &ttype, d, &actor, consent, Uuid::nil(), Timestamp::from_micros(200))
    };
    let of = |version| Some(Consent { version, passed: Passed::Allowed });
    let open = posted(&ttype, None);
    let unasked = |current| Some(Refusal::Unasked { current });
    // What would be refused anyway is refused before anybody is asked; what has no guard needs no consent.
    let stale = Decision { expected_version: Some(3), ..to(Some("r")) };
    assert_eq!(apply(&open, &stale, None).err(), Some(Refusal::Stale { expected: 3, current: 1 }));
    assert!(matches!(apply(&open, &to(None), None), Err(Refusal::NotAllowed { .. })));
    assert!(matches!(apply(&open, &to(Some("s")), None), Ok(Outcome::Changed { .. })));
    assert_eq!(apply(&open, &to(Some("r")), None).err(), unasked(1));
    // Consent to another version is none, whatever version the decider saw.
    let moved = Task { version: 2, ..open.clone() };
    let seen = Decision { expected_version: Some(1), ..to(Some("r")) };
    assert_eq!(apply(&moved, &seen, of(1)).err(), unasked(2));
    let Ok(Outcome::Changed { task, .. }) = apply(&open, &seen, of(1)) else { panic!("allowed") };
    // Somebody was faster with the very same: nobody is asked, and nothing is refused.
    assert!(matches!(apply(&task, &seen, None), Ok(Outcome::Unchanged)));
    assert!(matches!(apply(&task, &seen, of(1)), Ok(Outcome::Unchanged)));
}

#[test]
fn a_clock_set_back_leaves_history_in_order() {
    let ttype = plain();
    let task = posted(&ttype, None);
    let outcome =
        apply(&task, &ttype, &to(Some("p")), &Actor::cli(), None, Uuid::nil(), Timestamp::from_micros(1));
    let Ok(Outcome::Changed { task: after, event }) = outcome else { panic!("allowed") };
    assert_eq!(
        (after.updated, after.decided_at, event.created),
        (task.updated, Some(task.updated), task.updated)
    );
}

#[test]
fn undeclared_transitions_follow_the_default_rule() {
    let ttype = plain();
    assert_eq!(ttype.allowed_transitions(None), [Some("p"), Some("q"), Some("r"), Some("s")]);
    assert_eq!(ttype.allowed_transitions(Some("p")), [None, Some("q"), Some("r"), Some("s")]);
    for state in ["r", "s"] {
        assert_eq!(ttype.allowed_transitions(Some(state)), [None]);
    }
}

fn decisions() -> impl Strategy<Value = Decision> {
    (states(), prop::option::of(documents()), prop::option::of("[a-z ]{0,4}"), prop::option::of(1i64..4))
        .prop_map(|(state, output, reason, expected_version)| Decision {
            state,
            output,
            reason,
            expected_version,
        })
}

fn phases() -> impl Strategy<Value = Option<Phase>> {
    prop::option::weighted(
        0.3,
        prop::sample::select(vec![Phase::Cancelled, Phase::Expired, Phase::Superseded]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn one_step_keeps_every_rule(
        ttype in types(),
        state in states(),
        phase in phases(),
        before in (1i64..4, prop::option::of(actors()), prop::option::of(documents())),
        decision in decisions(),
        consent in consents(),
        actor in actors(),
        (id, now) in (uuids(), moments()),
    ) {
        let (version, decided_by, output) = before;
        let task = Task { output, version, decided_by, ..task_in(&ttype, state.as_deref(), phase) };
        let target = decision.state.as_deref();
        let same_output = match (&task.output, &decision.output) {
            (None, None) => true,
            (Some(a), Some(b)) => a.to_value() == b.to_value(),
            _ => false,
        };
        let repeated = task.decided_by.as_ref().is_some_and(|by| by.is_same(&actor))
            && phase.is_none()
            && task.state == decision.state
            && same_output;
        match apply(&task, &ttype, &decision, &actor, consent, id, now) {
            Ok(Outcome::Unchanged) => prop_assert!(repeated),
            Err(Refusal::Stale { expected, current }) => {
                prop_assert!(!repeated);
                prop_assert_eq!(Some(expected), decision.expected_version);
                prop_assert!(current == task.version && expected != current);
            }
            Err(Refusal::Unasked { current }) => {
                prop_assert!(!repeated && current == task.version);
                match consent {
                    Some(consent) => prop_assert!(consent.version != task.version),
                    None => prop_assert!(ttype.guard_of(target).is_some()),
                }
            }
            Err(refusal @ (Refusal::Replaced(_) | Refusal::Decided(_) | Refusal::TooLate(_))) => {
                prop_assert!(false, "{refusal}: none of these can be here");
            }
            Err(Refusal::Over(name)) => prop_assert!(false, "{name}: that is said to senders"),
            Err(Refusal::Ended(name)) => {
                prop_assert!(!repeated && decision.expected_version.is_none_or(|v| v == task.version));
                prop_assert_eq!(Some(name), phase.map(Phase::as_str));
            }
            Err(Refusal::NotAllowed { from, to }) => {
                prop_assert!(!repeated && phase.is_none());
                prop_assert!(decision.expected_version.is_none_or(|v| v == task.version));
                prop_assert!(!ttype.allowed_transitions(state.as_deref()).contains(&target));
                prop_assert_eq!(from, shown(state.as_deref()));
                prop_assert_eq!(to, shown(target));
            }
            Ok(Outcome::Changed { task: after, event }) => {
                prop_assert!(!repeated && phase.is_none());
                prop_assert!(decision.expected_version.is_none_or(|v| v == task.version));
                prop_assert!(ttype.allowed_transitions(state.as_deref()).contains(&target));
                prop_assert_eq!(after.version, task.version + 1);
                prop_assert_eq!(&after.state, &decision.state);
                prop_assert_eq!(after.resolved, ttype.is_resolved(target));
                prop_assert_eq!(after.resolved, after.phase == Phase::Resolved);
                prop_assert!(after.resolved || after.phase == Phase::Open);
                prop_assert_eq!(&after.output, &decision.output);
                prop_assert_eq!(after.decided_by.as_ref(), Some(&actor));
                prop_assert_eq!(after.decided_at, Some(after.updated));
                prop_assert!(after.updated >= task.updated && after.updated >= now);
                // Nothing else moves.
                let restored = Task {
                    state: task.state.clone(),
                    resolved: task.resolved,
                    phase: task.phase,
                    output: task.output.clone(),
                    updated: task.updated,
                    version: task.version,
                    decided_by: task.decided_by.clone(),
                    decided_at: task.decided_at,
                    ..(*after).clone()
                };
                prop_assert_eq!(&restored, &task);
                // Nobody passes a guard but with its consent to this version.
                let body: serde_json::Value = serde_json::from_str(&event.body).expect("a body is JSON");
                let passed = consent.filter(|_| ttype.guard_of(target).is_some()).map(|c| c.passed);
                prop_assert_eq!(passed.is_some(), ttype.guard_of(target).is_some());
                prop_assert!(consent.is_none_or(|c| c.version == task.version));
                prop_assert_eq!(body.get("guard").cloned(), passed.map(|p| serde_json::json!(p)));
                // The event says the same.
                prop_assert_eq!(&body["task"], &serde_json::to_value(&after).expect("a task"));
                prop_assert_eq!(&body["previous_state"], &serde_json::json!(task.state));
                prop_assert_eq!(&body["reason"], &serde_json::json!(decision.reason));
                prop_assert_eq!((event.id, event.version), (id, Some(after.version)));
                // And saying it again changes nothing more.
                let again = Decision { expected_version: Some(task.version), ..decision };
                let outcome = apply(&after, &ttype, &again, &actor, None, id, now);
                prop_assert!(matches!(outcome, Ok(Outcome::Unchanged)));
            }
        }
    }

    #[test]
    fn a_walk_has_one_version_for_each_event(
        ttype in types(),
        steps in prop::collection::vec((decisions(), actors(), moments()), 0..30),
    ) {
        let mut task = posted(&ttype, None);
        let mut events = 1;
        for (decision, actor, now) in steps {
            if decision.check(&ttype).is_err() {
                continue;
            }
            let before = task.clone();
            let consent = Some(Consent { version: task.version, passed: Passed::Allowed });
            match apply(&task, &ttype, &decision, &actor, consent, Uuid::nil(), now) {
                Ok(Outcome::Changed { task: after, .. }) => {
                    events += 1;
                    task = *after;
                }
                Ok(Outcome::Unchanged) | Err(_) => prop_assert_eq!(&task, &before),
            }
            prop_assert_eq!(task.version, events);
            prop_assert_eq!(task.resolved, ttype.is_resolved(task.state.as_deref()));
            prop_assert!(ttype.has_state(task.state.as_deref()));
            prop_assert!(task.updated >= before.updated);
        }
    }

    #[test]
    fn the_default_rule(state in states(), target in states()) {
        let ttype = plain();
        let expected = if ttype.is_resolved(state.as_deref()) { target.is_none() } else { state != target };
        prop_assert_eq!(ttype.allows(state.as_deref(), target.as_deref()), expected);
    }

    #[test]
    fn declared_transitions_are_all_there_are(state in states(), target in states()) {
        let pairs = [
            (None, Some("p")),
            (Some("p"), Some("q")),
            (Some("p"), None),
            (Some("q"), Some("r")),
            (Some("q"), Some("s")),
            (Some("q"), Some("q")),
            (Some("r"), Some("p")),
        ];
        let (state, target) = (state.as_deref(), target.as_deref());
        prop_assert_eq!(declared().allows(state, target), pairs.contains(&(state, target)));
    }
}
