//! Every delivery was settled once, by attempts that each held the lease of their time.

use std::collections::{HashMap, HashSet};

use super::Report;
use crate::journal::{Attempt, CREATED, Run, STATE_CHANGED};

const DELIVERED: &str = "delivered";
const DEAD: &str = "dead";

pub(super) fn check(run: &Run, report: &mut Report) {
    let mut attempts: HashMap<&str, Vec<&Attempt>> = HashMap::new();
    for attempt in &run.attempts {
        attempts.entry(&attempt.delivery).or_default().push(attempt);
    }
    let mut targets = HashSet::new();
    let mut ids = HashSet::new();
    let mut delivered = HashSet::new();
    // Not delivered, and rightly so.
    let mut accounted = HashSet::new();
    for delivery in &run.deliveries {
        if !targets.insert((&delivery.event, &delivery.endpoint)) || !ids.insert(&delivery.id) {
            report.broken("an event has one delivery to an endpoint", format!("{delivery:?}"));
        }
        let mut made = attempts.remove(delivery.id.as_str()).unwrap_or_default();
        made.sort_by_key(|attempt| attempt.number);
        match delivery.outcome.as_deref() {
            Some(DELIVERED) => {
                delivered.insert(delivery.event.as_str());
            }
            None | Some(DEAD) if run.is_lost(delivery) => {
                report.count(
                    if delivery.outcome.is_some() {
                        "deliveries given up where nothing recovers"
                    } else {
                        "deliveries that wait where nothing recovers"
                    },
                    1,
                );
                check_numbers(&made, delivery.attempts, report);
                if made.iter().any(|attempt| is_success(attempt)) {
                    report.broken("what was delivered is not given up", format!("{delivery:?}: {made:?}"));
                }
                accounted.insert(delivery.event.as_str());
                continue;
            }
            other => report.broken("every delivery ends delivered", format!("{other:?}: {delivery:?}")),
        }
        check_attempts(&made, delivery.attempts, report);
    }
    for orphan in attempts.values().flatten() {
        report.broken("an attempt belongs to a delivery", format!("{orphan:?}"));
    }
    for event in run.events.iter().filter(|e| e.kind == CREATED || e.kind == STATE_CHANGED) {
        // Ids read by SQL have no dashes, on either engine.
        let id = event.id.replace('-', "");
        if !delivered.contains(id.as_str()) && !accounted.contains(id.as_str()) {
            report.broken("every event has its delivery", format!("{event:?}"));
        }
    }
    report.count("deliveries settled", delivered.len());
    report.count("attempts settled", run.attempts.len());
}

fn is_success(attempt: &Attempt) -> bool {
    attempt.status.is_some_and(|status| (200..300).contains(&status))
}

fn check_numbers(made: &[&Attempt], counted: i64, report: &mut Report) {
    if !made.iter().map(|attempt| attempt.number).eq(1..=counted) {
        report.broken("attempts are numbered and counted", format!("{counted} counted, but {made:?}"));
    }
    let leases: HashSet<_> = made.iter().map(|attempt| &attempt.lease).collect();
    if leases.len() != made.len() {
        report.broken("a lease settles once", format!("{made:?}"));
    }
}

fn check_attempts(made: &[&Attempt], counted: i64, report: &mut Report) {
    check_numbers(made, counted, report);
    let successes = made.iter().filter(|attempt| is_success(attempt)).count();
    if successes != 1 || !made.last().is_some_and(|last| is_success(last)) {
        report.broken("a delivery succeeds once, at its end", format!("{made:?}"));
    }
}
