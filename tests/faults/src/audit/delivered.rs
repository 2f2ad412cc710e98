//! Every event reached the receiver at least once, in order for its task, always the same bytes.

use std::collections::{HashMap, HashSet};

use super::Report;
use crate::journal::{Arrival, CREATED, Event, Run, STATE_CHANGED};

/// What the receiver saw of one event.
struct Seen<'a> {
    first: &'a Arrival,
    /// Place among all arrivals.
    first_at: usize,
    first_accepted_at: Option<usize>,
}

pub(super) fn check(run: &Run, report: &mut Report) {
    let mut seen: HashMap<&str, Seen<'_>> = HashMap::new();
    for (at, arrival) in run.arrivals.iter().enumerate() {
        if arrival.is_authentic != Some(true) {
            report.broken("every webhook is authentic", format!("{arrival:?}"));
        }
        let known = seen.entry(&arrival.webhook_id).or_insert_with(|| Seen {
            first: arrival,
            first_at: at,
            first_accepted_at: None,
        });
        if known.first.body != arrival.body || known.first.path != arrival.path {
            report.broken("every attempt sends the same bytes", format!("{:?} and {arrival:?}", known.first));
        }
        if known.first_at != at {
            report.count("arrivals that were duplicates", 1);
        }
        if arrival.is_accepted() && known.first_accepted_at.is_none() {
            known.first_accepted_at = Some(at);
        }
    }
    report.count("arrivals", run.arrivals.len());

    // Ids read by SQL have no dashes, on either engine.
    let lost: HashSet<&str> =
        run.deliveries.iter().filter(|d| run.is_lost(d)).map(|d| d.event.as_str()).collect();
    // By task, what came before in the log.
    let mut before: HashMap<&str, (&Event, usize)> = HashMap::new();
    for event in run.events.iter().filter(|e| e.kind == CREATED || e.kind == STATE_CHANGED) {
        let webhook_id = format!("evt_{}", event.id);
        if lost.contains(event.id.replace('-', "").as_str()) {
            seen.remove(webhook_id.as_str());
            continue;
        }
        let Some(seen) = seen.remove(webhook_id.as_str()) else {
            report.broken("every event is delivered", format!("never arrived: {event:?}"));
            continue;
        };
        if seen.first.value != event.value {
            report.broken(
                "a webhook carries the event as the feed lists it",
                format!("{event:?}: {:?}", seen.first),
            );
        }
        let Some(accepted_at) = seen.first_accepted_at else {
            report.broken("every event is delivered", format!("never accepted: {event:?}"));
            continue;
        };
        let Some(task) = &event.task else { continue };
        if let Some((earlier, earlier_at)) = before.insert(&task.id, (event, accepted_at))
            && seen.first_at < earlier_at
        {
            report.broken(
                "a task's events arrive in order",
                format!("{} of {} arrived before {} was accepted", event.seq, task.id, earlier.seq),
            );
        }
    }
    for id in seen.keys() {
        report.broken("nothing is delivered that isn't in the log", *id);
    }
}
