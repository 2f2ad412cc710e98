//! When an endpoint that fails is left alone, and when it is tried again.
//!
//! A run of failures opens the breaker: deliveries wait and cost no attempts. After a pause one
//! delivery is sent as a probe; each that fails makes the next pause longer, any success closes the
//! breaker. An endpoint that has failed for days is disabled. All of it is a function of what was
//! seen; the rows are the store's.

use std::time::Duration;

use crate::Timestamp;

/// So many failures with no success between them open the breaker.
pub const RUN: u32 = 10;
/// The pause before the first probe.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two probes.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How long an endpoint may fail before it is disabled.
pub const PATIENCE: Duration = Duration::from_hours(5 * 24);
/// Probes come up to so much earlier or later, so that many endpoints of one host don't come at once.
const JITTER: f64 = 0.2;

/// How an endpoint has been doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Since when every attempt failed; none if the last one succeeded.
    pub failing_since: Option<Timestamp>,
    /// How many attempts failed since then.
    pub failures: u32,
    /// The breaker is open, and this is when the next probe may go.
    pub open_until: Option<Timestamp>,
    /// How many probes failed since it opened.
    pub probes: u32,
}

/// What attempts at an endpoint came to, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether one was delivered.
    pub delivered: bool,
    /// How many failed.
    pub failed: u32,
    /// Whether one of those was a probe.
    pub probe_failed: bool,
}

/// What became of the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is as it was.
    None,
    /// It opened.
    Opened,
    /// It closed.
    Closed,
    /// The endpoint failed for too long: it is to be disabled.
    GaveUp,
}

impl Health {
    /// Whether nothing is known against the endpoint.
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }

    /// How the endpoint is doing after these attempts. `jitter` is random in `[0, 1)`.
    ///
    /// Where some were delivered and some failed, it works: which came last is not known.
    #[must_use]
    pub fn after(self, seen: Seen, now: Timestamp, jitter: f64) -> (Self, Turn) {
        if seen.delivered {
            let turn = if self.open_until.is_some() { Turn::Closed } else { Turn::None };
            return (Self::default(), turn);
        }
        if seen.failed == 0 {
            return (self, Turn::None);
        }
        let since = self.failing_since.unwrap_or(now);
        let mut next =
            Self { failing_since: Some(since), failures: self.failures.saturating_add(seen.failed), ..self };
        if now.since(since) >= PATIENCE {
            return (next, Turn::GaveUp);
        }
        let turn = match self.open_until {
            // What was under way when it opened says nothing new.
            Some(_) if !seen.probe_failed => Turn::None,
            Some(_) => {
                next.probes = self.probes.saturating_add(1);
                next.open_until = Some(now.plus(pause(next.probes, jitter)));
                Turn::None
            }
            None if next.failures >= RUN => {
                next.open_until = Some(now.plus(pause(0, jitter)));
                Turn::Opened
            }
            None => Turn::None,
        };
        (next, turn)
    }
}

/// The pause after so many failed probes.
fn pause(probes: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << probes.min(10));
    doubled.min(LONGEST_PAUSE).mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_micros(1_614_265_330_000_000);

    fn failed(count: u32) -> Seen {
        Seen { failed: count, ..Seen::default() }
    }

    const PROBE_FAILED: Seen = Seen { delivered: false, failed: 1, probe_failed: true };
    const DELIVERED: Seen = Seen { delivered: true, failed: 0, probe_failed: false };

    #[test]
    fn a_run_of_failures_opens_it_and_a_success_closes_it() {
        let (health, turn) = Health::default().after(failed(RUN - 1), NOW, 0.5);
        assert_eq!((health.failures, health.open_until, turn), (RUN - 1, None, Turn::None));
        let (open, turn) = health.after(failed(1), NOW, 0.5);
        assert_eq!((open.open_until, turn), (Some(NOW.plus(FIRST_PAUSE)), Turn::Opened));
        assert_eq!(open.after(DELIVERED, NOW, 0.5), (Health::default(), Turn::Closed));
        assert_eq!(health.after(DELIVERED, NOW, 0.5), (Health::default(), Turn::None));
    }

    #[test]
    fn a_success_among_failures_counts() {
        let seen = Seen { delivered: true, failed: 50, probe_failed: false };
        assert_eq!(Health::default().after(seen, NOW, 0.5), (Health::default(), Turn::None));
    }

    #[test]
    fn only_probes_make_the_pause_longer() {
        let (open, _) = Health::default().after(failed(128), NOW, 0.5);
        let later = NOW.plus(Duration::from_secs(1));
        assert_eq!(open.after(failed(100), later, 0.5).0.open_until, open.open_until);
        let mut health = open;
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                let (next, turn) = health.after(PROBE_FAILED, NOW, 0.5);
                assert_eq!(turn, Turn::None);
                health = next;
                next.open_until.expect("open").since(NOW).as_secs()
            })
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn days_of_failures_disable() {
        let (failing, _) = Health::default().after(failed(1), NOW, 0.5);
        let before = NOW.plus(Duration::from_hours(5 * 24 - 1));
        assert_eq!(failing.after(failed(1), before, 0.5).1, Turn::None);
        assert_eq!(failing.after(failed(1), NOW.plus(PATIENCE), 0.5).1, Turn::GaveUp);
        assert_eq!(failing.after(DELIVERED, NOW.plus(PATIENCE), 0.5).1, Turn::None, "it works");
    }

    proptest! {
        /// Whatever happens: it opens once for each time it closes, and is open exactly between.
        #[test]
        fn turns_alternate(steps in proptest::collection::vec((0u32..12, any::<bool>(), any::<bool>(), 0.0..1.0f64), 1..200)) {
            let (mut health, mut open) = (Health::default(), false);
            for (i, (count, delivered, probe, jitter)) in steps.into_iter().enumerate() {
                let now = NOW.plus(Duration::from_secs(i as u64));
                let seen = Seen { delivered, failed: count, probe_failed: probe && count > 0 };
                let (next, turn) = health.after(seen, now, jitter);
                match turn {
                    Turn::Opened => { prop_assert!(!open); open = true; }
                    Turn::Closed => { prop_assert!(open); open = false; }
                    Turn::None => {}
                    Turn::GaveUp => prop_assert!(false, "not within minutes"),
                }
                prop_assert_eq!(next.open_until.is_some(), open);
                if let Some(until) = next.open_until {
                    prop_assert!(until.since(now) <= LONGEST_PAUSE.mul_f64(1.0 + JITTER));
                }
                health = next;
            }
        }
    }
}
