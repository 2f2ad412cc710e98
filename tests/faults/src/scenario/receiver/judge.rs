//! What the attempts came to, whom they delayed, and where they went.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use serde_json::Value;

use super::cases::{ASKED, ASKING, Cases, LEAVES, POURING, TURNING};
use crate::collect::Tried;
use crate::stage::{DEADLINE, Stage};

/// What is read and kept of an answer.
const KEPT: i64 = 16 * 1024;
/// What a busy machine may add to a deadline.
const LATE: Duration = Duration::from_secs(3);
/// What a poll, a lock and a busy machine may add to a time that was asked for: together they are less
/// than the schedule's second wait, which would come in its place.
const OBEYED: Duration = Duration::from_secs(12);
/// Of an answer without end, what may go out before its receiver hears that nobody reads it: both
/// sockets' buffers, at the largest that Linux gives them, and one more piece.
const BUFFERED: u64 = 12 << 20;
/// Whoever waits for a failing endpoint waits for its deadline. What takes less, a machine that does
/// everything at once may need.
const PROMPT: Duration = Duration::from_millis(1500);

/// Every attempt while all failed.
pub(super) fn attempts(stage: &mut Stage, cases: &Cases, tried: &[Tried]) {
    for case in &cases.all {
        let own: Vec<_> = tried.iter().filter(|attempt| attempt.ttype == case.name).collect();
        stage.count("attempts at failing endpoints", own.len());
        for attempt in &own {
            let is_expected = case.outcomes.contains(&attempt.outcome.as_str())
                && (attempt.status == case.status || attempt.outcome == "delivered");
            if !is_expected {
                stage.broken(
                    "an attempt comes to what its receiver did",
                    format!("{:?} and {:?} expected: {attempt:?}", case.outcomes, case.status),
                );
            }
            if attempt.outcome == "timeout"
                && !(DEADLINE..DEADLINE + LATE).contains(&Duration::from_millis(attempt.milliseconds as u64))
            {
                stage.broken("the deadline is hard", format!("{attempt:?}"));
            }
            if POURING.contains(&case.name) && attempt.kept != KEPT {
                stage.broken("16 KiB of an answer are kept", format!("{attempt:?}"));
            }
        }
        let seen: HashSet<_> = own.iter().map(|attempt| attempt.outcome.as_str()).collect();
        if case.name == TURNING && seen.len() != case.outcomes.len() {
            stage.broken("the scenario turns a name", format!("its attempts came to {seen:?} alone"));
        }
    }
}

/// How long webhooks to the healthy endpoints took, before and while the others failed.
pub(super) fn delays(stage: &mut Stage, calm: SystemTime, trouble: SystemTime) {
    let (mut before, mut during) = (Vec::new(), Vec::new());
    stage.receiver.inspect(|journal| {
        let mut seen = HashSet::new();
        for arrival in journal.iter().filter(|arrival| seen.insert(&arrival.webhook_id)) {
            let body: Value = serde_json::from_slice(&arrival.body).unwrap_or_default();
            let made = body["timestamp"].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            let Some(made) = made.map(SystemTime::from) else { continue };
            let took = arrival.wall.duration_since(made).unwrap_or_default();
            if made >= trouble {
                during.push(took);
            } else if made >= calm {
                before.push(took);
            }
        }
    });
    let [before, during] = [before, during].map(|mut all| {
        all.sort_unstable();
        let last = all.len().saturating_sub(1);
        [50, 99, 100].map(|percent| all.get(last * percent / 100).copied().unwrap_or_default())
    });
    stage.count("ms to a healthy receiver, p50, before", before[0].as_millis() as usize);
    stage.count("ms to a healthy receiver, p99, before", before[1].as_millis() as usize);
    stage.count("ms to a healthy receiver, p50, beside failing ones", during[0].as_millis() as usize);
    stage.count("ms to a healthy receiver, p99, beside failing ones", during[1].as_millis() as usize);
    if during[1] == Duration::ZERO || during[1] > (before[1] * 2).max(PROMPT) {
        stage.broken(
            "a failing endpoint delays no other",
            format!("p50, p99 and worst were {before:?}, beside failing ones {during:?}"),
        );
    }
}

/// What shows at the end alone.
pub(super) fn afterwards(stage: &mut Stage, cases: &Cases) {
    for forbidden in &cases.forbidden {
        if forbidden.connections() > 0 {
            stage.broken(
                "nothing inside is reached",
                format!("{} connections to {}", forbidden.connections(), forbidden.address()),
            );
        }
    }
    let mut notes = Vec::new();
    for neighbour in &stage.neighbours {
        let (name, Some(receiver)) = (neighbour.name.as_str(), &neighbour.receiver) else { continue };
        if POURING.contains(&name) && !(1..BUFFERED).contains(&receiver.longest_answer()) {
            let sent = receiver.longest_answer();
            notes
                .push(("what nobody needs of an answer is not fetched", format!("{name} sent {sent} bytes")));
        }
        if ASKING.contains(&name) {
            notes.extend(waits(name, receiver));
        }
        if receiver.count() == 0 && name != LEAVES {
            notes.push(("the scenario lets receivers recover", format!("nothing ever arrived at {name}")));
        }
    }
    for (rule, how) in notes {
        stage.broken(rule, how);
    }
}

/// How long each delivery waited after an answer with `Retry-After`.
fn waits(name: &str, receiver: &task_inbox_testkit::Receiver) -> Vec<(&'static str, String)> {
    let mut refused = HashMap::new();
    let mut wrong = Vec::new();
    // A date has no fractions: it may be up to a second sooner.
    let allowed = ASKED.saturating_sub(Duration::from_secs(1))..ASKED + OBEYED;
    receiver.inspect(|journal| {
        for arrival in journal {
            let before = refused.remove(&arrival.webhook_id);
            if let Some(wait) =
                before.map(|at| arrival.at.duration_since(at)).filter(|w| !allowed.contains(w))
            {
                wrong
                    .push(("Retry-After is obeyed", format!("{name}: asked for {ASKED:?}, waited {wait:?}")));
            }
            if arrival.status == Some(429) {
                refused.insert(arrival.webhook_id.clone(), arrival.at);
            }
        }
    });
    wrong
}
