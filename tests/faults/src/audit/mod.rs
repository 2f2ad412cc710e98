//! The audit: judges a [`Run`] against what the service promises. Pure; every scenario ends here.
//!
//! - `stored`: what was acknowledged is stored, once; what was refused is not; every task's
//!   history is a legal chain.
//! - `delivered`: every event reached the receiver, with identical, authentic bytes, in order.
//! - `read`: every reader of the log saw every event once and in order.
//! - `settled`: every delivery was settled once, and by the holder of its lease.

mod delivered;
mod read;
mod settled;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::journal::Run;

/// The figure that tells how many calls were refused for a time.
pub(crate) const REFUSED: &str = "calls answered 503 with Retry-After";

/// Shown of each broken rule.
const EXAMPLES: usize = 5;

/// What the audit found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: BTreeMap<&'static str, u64>,
    broken: BTreeMap<&'static str, Vec<String>>,
}

impl Report {
    /// Adds to a figure that is worth knowing.
    pub(crate) fn count(&mut self, what: &'static str, by: usize) {
        *self.counts.entry(what).or_default() += by as u64;
    }

    /// A figure.
    pub(crate) fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// Notes that a rule was broken.
    pub(crate) fn broken(&mut self, rule: &'static str, how: impl Into<String>) {
        self.broken.entry(rule).or_default().push(how.into());
    }

    /// Takes over what another report found.
    pub(crate) fn merge(&mut self, other: Self) {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (rule, cases) in other.broken {
            self.broken.entry(rule).or_default().extend(cases);
        }
    }

    /// Whether every rule held.
    pub(crate) fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn rules(&self) -> Vec<&'static str> {
        self.broken.keys().copied().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "  {count:>9}  {what}")?;
        }
        for (rule, cases) in &self.broken {
            writeln!(f, "  BROKEN {} x: {rule}", cases.len())?;
            for case in cases.iter().take(EXAMPLES) {
                writeln!(f, "      {case}")?;
            }
        }
        write!(f, "{}", if self.is_clean() { "audit: passed" } else { "audit: FAILED" })
    }
}

/// Judges a run.
pub(crate) fn judge(run: &Run) -> Report {
    let mut report = Report::default();
    stored::check(run, &mut report);
    delivered::check(run, &mut report);
    read::check(run, &mut report);
    settled::check(run, &mut report);
    let verification = &run.verification;
    if !verification.ok || verification.events != run.events.len() as i64 {
        report.broken("audit verify passes and counts every event", verification.text.clone());
    }
    report
}
