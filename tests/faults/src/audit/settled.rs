//! Every delivery was settled once, by attempts that each held the lease of their time.

use std::collections::{HashMap, HashSet};

use super::Report;
use crate::journal::{Attempt, CREATED, Run, STATE_CHANGED};

const DELIVERED: &str = "delivered";

pub(super) fn check(run: &Run, report: &mut Report) {
    let mut attempts: HashMap<&str, Vec<&Attempt>> = HashMap::new();
    for attempt in &run.attempts {
        attempts.entry(&attempt.delivery).or_default().push(attempt);
    }
    let mut targets = HashSet::new();
    let mut ids = HashSet::new();
    let mut delivered = HashSet::new();
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
            other => report.broken("every delivery ends delivered", format!("{other:?}: {delivery:?}")),
        }
        check_attempts(&made, delivery.attempts, report);
    }
    for orphan in attempts.values().flatten() {
        report.broken("an attempt belongs to a delivery", format!("{orphan:?}"));
    }
    for event in run.events.iter().filter(|e| e.kind == CREATED || e.kind == STATE_CHANGED) {
        // Ids read by SQL have no dashes, on either engine.
        if !delivered.contains(event.id.replace('-', "").as_str()) {
            report.broken("every event has its delivery", format!("{event:?}"));
        }
    }
    report.count("deliveries settled", delivered.len());
    report.count("attempts settled", run.attempts.len());
}

fn check_attempts(made: &[&Attempt], counted: i64, report: &mut Report) {
    if !made.iter().map(|attempt| attempt.number).eq(1..=counted) {
        report.broken("attempts are numbered and counted", format!("{counted} counted, but {made:?}"));
    }
    let leases: HashSet<_> = made.iter().map(|attempt| &attempt.lease).collect();
    if leases.len() != made.len() {
        report.broken("a lease settles once", format!("{made:?}"));
    }
    let is_success = |attempt: &&&Attempt| attempt.status.is_some_and(|status| (200..300).contains(&status));
    let successes = made.iter().filter(is_success).count();
    if successes != 1 || !made.last().is_some_and(|last| is_success(&last)) {
        report.broken("a delivery succeeds once, at its end", format!("{made:?}"));
    }
}
