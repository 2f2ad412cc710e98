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
/// How many probes must have failed by then: days in which nothing was sent prove nothing.
const LEAST_PROBES: u32 = 20;
/// Probes come up to so much earlier or later, so that many endpoints of one host don't come at once.
const JITTER: f64 = 0.2;

/// What an attempt shows of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It works.
    Works,
    /// It does not.
    Fails,
    /// Neither: what it met is another's.
    Nothing,
}

impl Shown {
    /// What an attempt shows that was `delivered` or not.
    pub const fn of(delivered: bool) -> Self {
        if delivered { Self::Works } else { Self::Fails }
    }

    /// The same of a callback. Its endpoint is a host, and each task has a path of its own there: whatever is
    /// answered shows that the host works. Where one pattern stands for many hosts, none tells of another.
    pub const fn of_callback(answered: bool, is_pattern: bool) -> Self {
        match (answered, is_pattern) {
            (true, _) => Self::Works,
            (false, true) => Self::Nothing,
            (false, false) => Self::Fails,
        }
    }
}

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

/// What attempts at an endpoint showed, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether one showed that it works.
    pub works: bool,
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

impl Seen {
    /// Adds what one more attempt showed.
    pub fn add(&mut self, shown: Shown, is_probe: bool) {
        match shown {
            Shown::Works => self.works = true,
            Shown::Fails => {
                self.failed += 1;
                self.probe_failed |= is_probe;
            }
            Shown::Nothing => {}
        }
    }
}

impl Health {
    /// Whether nothing is known against the endpoint.
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }

    /// How the endpoint is doing after these attempts. `jitter` is random in `[0, 1)`.
    ///
    /// Where some showed that it works and some failed, it works: which came last is not known.
    #[must_use]
    pub fn after(self, seen: Seen, now: Timestamp, jitter: f64) -> (Self, Turn) {
        if seen.works {
            let turn = if self.open_until.is_some() { Turn::Closed } else { Turn::None };
            return (Self::default(), turn);
        }
        if seen.failed == 0 {
            return (self, Turn::None);
        }
        let since = self.failing_since.unwrap_or(now);
        let mut next =
            Self { failing_since: Some(since), failures: self.failures.saturating_add(seen.failed), ..self };
        let turn = match self.open_until {
            // What was under way when it opened says nothing new.
            Some(_) if !seen.probe_failed => Turn::None,
            Some(_) => {
                next.probes = self.probes.saturating_add(1);
                next.open_until = Some(now.plus(pause(next.probes, jitter)));
                let tried = next.probes >= LEAST_PROBES && now.since(since) >= PATIENCE;
                if tried { Turn::GaveUp } else { Turn::None }
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

    const PROBE_FAILED: Seen = Seen { works: false, failed: 1, probe_failed: true };
    const WORKS: Seen = Seen { works: true, failed: 0, probe_failed: false };

    #[test]
    fn a_run_of_failures_opens_it_and_a_success_closes_it() {
        let (health, turn) = Health::default().after(failed(RUN - 1), NOW, 0.5);
        assert_eq!((health.failures, health.open_until, turn), (RUN - 1, None, Turn::None));
        let (open, turn) = health.after(failed(1), NOW, 0.5);
        assert_eq!((open.open_until, turn), (Some(NOW.plus(FIRST_PAUSE)), Turn::Opened));
        assert_eq!(open.after(WORKS, NOW, 0.5), (Health::default(), Turn::Closed));
        assert_eq!(health.after(WORKS, NOW, 0.5), (Health::default(), Turn::None));
    }

    #[test]
    fn a_success_among_failures_counts() {
        let seen = Seen { works: true, failed: 50, probe_failed: false };
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
        let (failing, _) = Health::default().after(failed(RUN), NOW, 0.5);
        let probed = Health { probes: LEAST_PROBES - 1, ..failing };
        let before = NOW.plus(Duration::from_hours(5 * 24 - 1));
        assert_eq!(probed.after(PROBE_FAILED, before, 0.5).1, Turn::None);
        assert_eq!(probed.after(PROBE_FAILED, NOW.plus(PATIENCE), 0.5).1, Turn::GaveUp);
        assert_eq!(probed.after(WORKS, NOW.plus(PATIENCE), 0.5).1, Turn::Closed, "it works");
    }

    #[test]
    fn days_without_attempts_disable_nothing() {
        let (failing, _) = Health::default().after(failed(1), NOW, 0.5);
        let later = NOW.plus(PATIENCE * 2);
        assert_eq!(failing.after(failed(1), later, 0.5).1, Turn::None, "two failures, days apart");
        let (open, _) = Health::default().after(failed(RUN), NOW, 0.5);
        assert_eq!(open.after(PROBE_FAILED, later, 0.5).1, Turn::None, "one probe, days later");
    }

    #[test]
    fn a_callback_shows_what_its_host_does() {
        assert_eq!(Shown::of_callback(true, false), Shown::Works, "a 500 is its path's own");
        assert_eq!(Shown::of_callback(false, false), Shown::Fails);
        assert_eq!(Shown::of_callback(false, true), Shown::Nothing, "another's host");
        let mut seen = Seen::default();
        seen.add(Shown::Nothing, false);
        assert_eq!(seen, Seen::default());
    }

    proptest! {
        /// Whatever happens: it opens once for each time it closes, and is open exactly between.
        #[test]
        fn turns_alternate(steps in proptest::collection::vec((0u32..12, any::<bool>(), any::<bool>(), 0.0..1.0f64), 1..200)) {
            let (mut health, mut open) = (Health::default(), false);
            for (i, (count, works, probe, jitter)) in steps.into_iter().enumerate() {
                let now = NOW.plus(Duration::from_secs(i as u64));
                let seen = Seen { works, failed: count, probe_failed: probe && count > 0 };
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
