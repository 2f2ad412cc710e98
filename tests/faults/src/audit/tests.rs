//! The audit must fail where something is wrong: each case spoils a good run in one way.

use super::judge;
use crate::journal::{
    Arrival, Attempt, CREATED, Call, Delivery, Event, Lost, Op, Outcome, Reading, Run, STATE_CHANGED,
    TaskSeen, Verification,
};

const ACTOR: &str = "actor-1";

fn task(id: &str, version: i64, state: Option<&str>) -> TaskSeen {
    TaskSeen { id: id.to_owned(), version, state: state.map(str::to_owned) }
}

fn event(seq: i64, kind: &str, task: TaskSeen, previous: Option<&str>, marker: &str) -> Event {
    Event {
        seq,
        id: format!("e{seq}"),
        kind: kind.to_owned(),
        task: Some(task),
        previous_state: previous.map(str::to_owned),
        actor: Some(ACTOR.to_owned()),
        external_id: None,
        marker: Some(marker.to_owned()),
        value: format!("value{seq}"),
    }
}

fn answered(status: u16, task: Option<TaskSeen>) -> Outcome {
    Outcome::Answered { status, task, has_retry_after: status == 503, is_problem: true, detail: None }
}

fn post(marker: &str, outcome: Outcome) -> Call {
    let op = Op::Post { idempotency_key: Some(marker.to_owned()), external_id: None };
    Call { actor: ACTOR.to_owned(), marker: marker.to_owned(), op, outcome }
}

fn decide(marker: &str, id: &str, state: &str, outcome: Outcome) -> Call {
    let op = Op::Decide { task: id.to_owned(), state: Some(state.to_owned()), expected_version: None };
    Call { actor: ACTOR.to_owned(), marker: marker.to_owned(), op, outcome }
}

fn arrival(seq: i64, status: Option<u16>) -> Arrival {
    Arrival {
        path: "/flag".to_owned(),
        webhook_id: format!("evt_e{seq}"),
        is_authentic: Some(true),
        body: format!("body{seq}"),
        value: format!("value{seq}"),
        status,
    }
}

fn delivery(seq: i64, attempts: i64) -> Delivery {
    Delivery {
        id: format!("d{seq}"),
        event: format!("e{seq}"),
        endpoint: "default".to_owned(),
        outcome: Some("delivered".to_owned()),
        attempts,
    }
}

fn attempt(seq: i64, number: i64, status: Option<u16>) -> Attempt {
    Attempt { delivery: format!("d{seq}"), number, lease: format!("l{seq}-{number}"), status }
}

/// Two tasks, one of them decided twice; an unanswered call, a repetition, a lease that ran out
/// after its webhook had arrived, a failed attempt.
fn good() -> Run {
    let mut installed = event(1, "schema.version_created", task("", 0, None), None, "");
    (installed.task, installed.marker, installed.actor) = (None, None, Some("cli".to_owned()));
    let events = vec![
        installed,
        event(2, CREATED, task("a", 1, None), None, "m1"),
        event(3, CREATED, task("b", 1, None), None, "m2"),
        event(4, STATE_CHANGED, task("a", 2, Some("level1")), None, "m3"),
        event(5, STATE_CHANGED, task("a", 3, Some("allow")), Some("level1"), "m4"),
    ];
    let all = || events.iter().map(|event| (event.seq, event.id.clone())).collect();
    Run {
        calls: vec![
            post("m1", Outcome::Unknown),
            post("m1", answered(201, Some(task("a", 1, None)))),
            post("m2", answered(503, None)),
            decide("m3", "a", "level1", answered(200, Some(task("a", 2, Some("level1"))))),
            decide("m4", "a", "allow", answered(200, Some(task("a", 3, Some("allow"))))),
            decide("m5", "a", "allow", answered(200, Some(task("a", 3, Some("allow"))))),
            decide("m6", "a", "block", answered(409, None)),
            post("m7", Outcome::NotSent),
        ],
        tasks: vec![task("a", 3, Some("allow")), task("b", 1, None)],
        arrivals: vec![
            arrival(3, Some(500)),
            arrival(2, Some(200)),
            arrival(2, Some(200)),
            arrival(4, Some(200)),
            arrival(3, Some(200)),
            arrival(5, Some(200)),
            arrival(4, Some(200)),
        ],
        readings: vec![
            Reading { reader: "one".to_owned(), seen: all(), failures: 2 },
            Reading { reader: "two".to_owned(), seen: all(), failures: 0 },
        ],
        deliveries: vec![delivery(2, 1), delivery(3, 2), delivery(4, 1), delivery(5, 1)],
        attempts: vec![
            attempt(2, 1, Some(200)),
            attempt(3, 1, Some(500)),
            attempt(3, 2, Some(200)),
            attempt(4, 1, Some(200)),
            attempt(5, 1, Some(200)),
        ],
        lost: Vec::new(),
        verification: Verification { ok: true, events: 5, text: String::new() },
        events,
    }
}

#[test]
fn a_good_run_passes_and_survives_being_kept() {
    let report = judge(&good());
    assert!(report.is_clean(), "{report}");
    let directory = tempfile::tempdir().expect("temporary directory");
    good().save(directory.path()).expect("saved");
    let again = judge(&Run::load(directory.path()).expect("loaded"));
    assert_eq!(report.to_string(), again.to_string());
}

/// The webhook of task `b` never arrived, and after a time its delivery was given up.
fn given_up() -> Run {
    let mut run = good();
    run.arrivals.retain(|arrival| arrival.webhook_id != "evt_e3");
    run.deliveries[1] = Delivery {
        endpoint: "gone".to_owned(),
        outcome: Some("dead".to_owned()),
        ..run.deliveries[1].clone()
    };
    run.attempts[2].status = None;
    run
}

#[test]
fn what_never_recovers_may_wait_or_be_given_up() {
    assert!(!judge(&given_up()).is_clean());
    let lost = || Run { lost: vec![Lost { endpoint: "gone".to_owned() }], ..given_up() };
    let report = judge(&lost());
    assert!(report.is_clean(), "{report}");
    let mut waits = lost();
    waits.deliveries[1].outcome = None;
    assert!(judge(&waits).is_clean());
    let broken = |spoil: fn(&mut Run)| {
        let mut run = lost();
        spoil(&mut run);
        judge(&run).rules()
    };
    assert_eq!(broken(|run| run.deliveries[1].attempts = 3), ["attempts are numbered and counted"]);
    assert_eq!(broken(|run| run.attempts[2].status = Some(200)), ["what was delivered is not given up"]);
    let unknown = broken(|run| run.deliveries[1].outcome = Some("lost".to_owned()));
    assert!(unknown.contains(&"every delivery ends delivered"), "{unknown:?}");
}

#[track_caller]
fn breaks(rule: &str, spoil: impl FnOnce(&mut Run)) {
    let mut run = good();
    spoil(&mut run);
    let report = judge(&run);
    assert!(report.rules().contains(&rule), "{rule:?} should be broken:\n{report}");
}

#[test]
fn finds_what_was_not_stored() {
    breaks("an acknowledged task is stored", |run| {
        run.tasks.remove(0);
    });
    breaks("an acknowledged post has its one event", |run| run.events[1].marker = Some("m2".to_owned()));
    breaks("every task has its events", |run| run.tasks.push(task("c", 1, None)));
    breaks("the list shows each task once", |run| run.tasks.push(task("b", 1, None)));
    breaks("a task is as its last event says", |run| run.tasks[0].version = 2);
    breaks("a 2xx answer carries the task", |run| run.calls[1].outcome = answered(201, None));
    breaks("an acknowledged decision has its event", |run| {
        run.events.pop();
    });
    breaks("an acknowledged decision has its event", |run| {
        // Told that it was done, but somebody else's decision stands there.
        run.events[4].actor = Some("actor-2".to_owned());
    });
}

#[test]
fn finds_what_was_stored_twice_or_wrongly() {
    let second = || event(6, CREATED, task("c", 1, None), None, "m1");
    breaks("a call leaves one event", |run| run.events.push(second()));
    breaks("an idempotency key makes one task", |run| {
        run.calls.push(post("m1", answered(201, Some(task("b", 1, None)))));
    });
    breaks("an external id names one task", |run| {
        run.events[1].external_id = Some("x".to_owned());
        run.events[2].external_id = Some("x".to_owned());
    });
    breaks("a refused call leaves no event", |run| run.events[4].marker = Some("m6".to_owned()));
    breaks("a refused call leaves no event", |run| run.events[4].marker = Some("m7".to_owned()));
    breaks("no event without a call", |run| run.events[2].marker = Some("never".to_owned()));
    breaks("a call leaves one event", |run| {
        run.events.push(event(6, STATE_CHANGED, task("a", 4, None), Some("allow"), "m4"));
    });
}

#[test]
fn a_decision_that_names_no_version_may_be_taken_again() {
    let mut run = good();
    let again = event(6, STATE_CHANGED, task("c", 4, Some("level1")), Some("level2"), "m8");
    let of_another = event(5, STATE_CHANGED, task("c", 3, Some("level2")), Some("level1"), "m9");
    let history = [
        event(3, CREATED, task("c", 1, None), None, "m7"),
        event(4, STATE_CHANGED, task("c", 2, Some("level1")), None, "m8"),
        of_another,
        again,
    ];
    run.events.extend(history);
    let rule = "a call leaves one event";
    run.calls.push(decide("m8", "c", "level1", answered(200, Some(task("c", 4, Some("level1"))))));
    assert!(judge(&run).rules().contains(&rule), "one call, two events");
    run.calls.push(decide("m8", "c", "level1", Outcome::Unknown));
    assert!(!judge(&run).rules().contains(&rule), "it was repeated, and another's came between");
    let last = run.calls.len() - 1;
    run.calls[last].op =
        Op::Decide { task: "c".to_owned(), state: Some("level1".to_owned()), expected_version: Some(1) };
    assert!(judge(&run).rules().contains(&rule), "on the same sight of the task");
}

#[test]
fn finds_illegal_histories() {
    let legal = "a task's history is a legal chain";
    breaks(legal, |run| run.events[4].previous_state = None);
    breaks(legal, |run| run.events[4].task = Some(task("a", 4, Some("allow"))));
    breaks(legal, |run| run.events[3].task = Some(task("a", 2, Some("block"))));
    breaks(legal, |run| {
        run.events.remove(1);
    });
    breaks(legal, |run| {
        run.events.push(event(6, STATE_CHANGED, task("a", 4, Some("block")), Some("allow"), "m5"));
    });
}

#[test]
fn finds_bad_answers() {
    let rule = "no 5xx but 503 with Retry-After";
    breaks(rule, |run| run.calls[2].outcome = answered(500, None));
    breaks(rule, |run| {
        run.calls[2].outcome = Outcome::Answered {
            status: 503,
            task: None,
            has_retry_after: false,
            is_problem: true,
            detail: None,
        };
    });
    breaks("an error is a problem document", |run| {
        run.calls[2].outcome = Outcome::Answered {
            status: 503,
            task: None,
            has_retry_after: true,
            is_problem: false,
            detail: None,
        };
    });
    breaks("no deadlock reaches a client", |run| {
        let detail = Some("Deadlock detected".to_owned());
        run.calls[6].outcome =
            Outcome::Answered { status: 409, task: None, has_retry_after: false, is_problem: true, detail };
    });
}

#[test]
fn finds_bad_deliveries() {
    breaks("every event is delivered", |run| run.arrivals.retain(|a| a.webhook_id != "evt_e5"));
    breaks("every event is delivered", |run| run.arrivals[5].status = Some(500));
    breaks("every event is delivered", |run| run.arrivals[5].status = None);
    breaks("every attempt sends the same bytes", |run| run.arrivals[6].body = "other".to_owned());
    breaks("every webhook is authentic", |run| run.arrivals[6].is_authentic = Some(false));
    breaks("every webhook is authentic", |run| run.arrivals[6].is_authentic = None);
    breaks("a task's events arrive in order", |run| run.arrivals.swap(3, 5));
    // The first attempt at the earlier event failed, so the later one came too early.
    breaks("a task's events arrive in order", |run| run.arrivals[3].status = Some(500));
    breaks("nothing is delivered that isn't in the log", |run| run.arrivals.push(arrival(9, Some(200))));
    breaks("a webhook carries the event as the feed lists it", |run| {
        run.events[4].value = "other".to_owned();
    });
}

#[test]
fn finds_bad_readings() {
    let rule = "a reader sees every event once and in order";
    breaks(rule, |run| run.readings[1].seen.swap(1, 2));
    breaks(rule, |run| {
        run.readings[1].seen.remove(2);
    });
    breaks(rule, |run| {
        run.readings[1].seen.pop();
    });
    breaks(rule, |run| {
        let again = run.readings[1].seen[2].clone();
        run.readings[1].seen.insert(2, again);
    });
    breaks(rule, |run| {
        let again = run.readings[1].seen[4].clone();
        run.readings[1].seen.push(again);
    });
    breaks("seq counts from 1 without gaps", |run| run.events[4].seq = 6);
}

#[test]
fn finds_bad_settlements() {
    breaks("every delivery ends delivered", |run| run.deliveries[2].outcome = None);
    breaks("every event has its delivery", |run| {
        run.deliveries.pop();
    });
    breaks("an attempt belongs to a delivery", |run| {
        run.deliveries.pop();
    });
    breaks("an event has one delivery to an endpoint", |run| {
        run.deliveries.push(Delivery { id: "d9".to_owned(), ..delivery(5, 0) });
    });
    breaks("an event has one delivery to an endpoint", |run| {
        // Still live, although it is finished.
        run.deliveries.push(Delivery { outcome: None, ..delivery(5, 1) });
    });
    // A stale worker settled what another had settled already.
    breaks("a delivery succeeds once, at its end", |run| {
        run.attempts.push(attempt(4, 2, Some(200)));
        run.deliveries[2].attempts = 2;
    });
    breaks("a delivery succeeds once, at its end", |run| {
        run.attempts.push(attempt(4, 2, Some(500)));
        run.deliveries[2].attempts = 2;
    });
    breaks("attempts are numbered and counted", |run| run.attempts.push(attempt(4, 2, Some(200))));
    breaks("a lease settles once", |run| run.attempts[2].lease = run.attempts[1].lease.clone());
    breaks("audit verify passes and counts every event", |run| run.verification.ok = false);
    breaks("audit verify passes and counts every event", |run| run.verification.events = 4);
}
