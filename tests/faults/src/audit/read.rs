//! The log has no gaps, and every reader that followed it saw every event once and in order.

use super::Report;
use crate::journal::Run;

pub(super) fn check(run: &Run, report: &mut Report) {
    for (event, expected) in run.events.iter().zip(1..) {
        if event.seq != expected {
            report.broken(
                "seq counts from 1 without gaps",
                format!("{} where {expected} should be", event.seq),
            );
            break;
        }
    }
    for reading in &run.readings {
        let log = run.events.iter().map(|event| (event.seq, event.id.as_str()));
        let mut seen = reading.seen.iter().map(|(seq, id)| (*seq, id.as_str()));
        report.count("events read by cursor", reading.seen.len());
        report.count("times that a reader connected anew", reading.failures as usize);
        for logged in log {
            let read = seen.next();
            if read != Some(logged) {
                report.broken(
                    "a reader sees every event once and in order",
                    format!("{}: read {read:?} where the log has {logged:?}", reading.reader),
                );
                break;
            }
        }
        if let Some(extra) = seen.next().filter(|_| reading.seen.len() > run.events.len()) {
            report.broken(
                "a reader sees every event once and in order",
                format!("{}: read {extra:?} after the end", reading.reader),
            );
        }
    }
}
