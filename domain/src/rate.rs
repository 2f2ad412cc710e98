//! How many of something may happen in a time.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// `{n}/s`, `{n}/m` or `{n}/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    unit: char,
}

impl Rate {
    /// Reads `100/s`, `1000/m` or `5000/h`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a rate such as 100/s, 1000/m or 5000/h");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let unit = match unit {
            "s" | "sec" | "second" => 's',
            "m" | "min" | "minute" => 'm',
            "h" | "hour" => 'h',
            _ => return Err(wrong()),
        };
        let count = count.parse().ok().and_then(NonZeroU32::new).ok_or_else(wrong)?;
        Ok(Self { count, unit })
    }

    /// How many.
    pub const fn count(self) -> NonZeroU32 {
        self.count
    }

    /// In which time.
    pub const fn period(self) -> Duration {
        match self.unit {
            's' => Duration::from_secs(1),
            'm' => Duration::from_mins(1),
            _ => Duration::from_hours(1),
        }
    }

    /// Whether this allows more than the other in the long run.
    pub fn exceeds(self, other: Self) -> bool {
        self.per_hour() > other.per_hour()
    }

    fn per_hour(self) -> u64 {
        u64::from(self.count.get()) * (3600 / self.period().as_secs())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

/// What a rate lets through now, if it is kept evenly: at most what a second brings may come at once.
///
/// It is the generic cell rate algorithm (ITU-T I.371, annex A). All that it keeps is one time in
/// microseconds, `due`, at which the next would come if all came evenly; so that any number of
/// processes can share it in a row of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time between two, in microseconds.
    interval: i64,
    /// How far ahead of an even pace it may be, in microseconds.
    tolerance: i64,
}

impl Pace {
    /// The pace of a rate.
    pub fn of(rate: Rate) -> Self {
        let interval = (rate.period().as_micros() as i64 / i64::from(rate.count.get())).max(1);
        Self { interval, tolerance: (1_000_000 - interval).max(0) }
    }

    /// How many may go at `now`.
    pub fn allows(self, due: i64, now: i64) -> usize {
        let ahead = due.max(now) - now;
        if ahead > self.tolerance { 0 } else { ((self.tolerance - ahead) / self.interval) as usize + 1 }
    }

    /// `due` after so many went.
    #[must_use]
    pub fn after(self, due: i64, now: i64, count: usize) -> i64 {
        due.max(now).saturating_add(self.interval.saturating_mul(count as i64))
    }

    /// How long until it lets through a tenth of a second's worth again, or one: looking more often would
    /// cost more than it brings.
    pub fn wait(self, due: i64, now: i64) -> Duration {
        let worth = (100_000 / self.interval - 1).max(0) * self.interval;
        Duration::from_micros((due - now - self.tolerance + worth).max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).expect("a rate")
    }

    #[test]
    fn reads_rates() {
        for (text, shown) in [("100/s", "100/s"), ("1000/min", "1000/m"), ("5/hour", "5/h")] {
            assert_eq!(rate(text).to_string(), shown);
        }
        for text in ["", "100", "0/s", "-1/s", "1/d", "x/s", "1.5/s", "99999999999/s"] {
            assert!(Rate::parse(text).expect_err(text).contains("100/s"));
        }
        assert!(rate("61/m").exceeds(rate("1/s")) && !rate("60/m").exceeds(rate("1/s")));
    }

    #[test]
    fn a_second_of_it_may_come_at_once() {
        let pace = Pace::of(rate("100/s"));
        assert_eq!(pace.allows(0, 5_000_000), 100);
        let due = pace.after(0, 5_000_000, 100);
        assert_eq!(pace.allows(due, 5_000_000), 0);
        assert_eq!(pace.allows(due, 5_100_000), 10);
        assert_eq!(pace.wait(due, 5_000_000), Duration::from_millis(100));
        let slow = Pace::of(rate("10/m"));
        assert_eq!(slow.allows(0, 5_000_000), 1);
        assert_eq!(slow.wait(slow.after(0, 5_000_000, 1), 5_000_000), Duration::from_secs(6));
    }

    proptest! {
        /// However it is asked, no more go in a time than the rate says and one second's worth.
        #[test]
        fn never_more_than_the_rate(count in 1u32..2000, steps in proptest::collection::vec((0i64..300_000, 0usize..500), 1..200)) {
            let pace = Pace::of(rate(&format!("{count}/s")));
            let (mut due, mut now, mut went) = (0, 1_000_000_000, 0usize);
            let begun = now;
            for (later, wanted) in steps {
                now += later;
                let go = wanted.min(pace.allows(due, now));
                due = pace.after(due, now, go);
                went += go;
                let most = f64::from(count) * ((now - begun) as f64 / 1e6 + 1.0) * 1.001 + 1.0;
                prop_assert!(went as f64 <= most, "{went} of {most}");
            }
        }

        /// After the wait that it names, at least one may go.
        #[test]
        fn a_wait_ends(count in 1u32..100_000, ahead in 0i64..10_000_000) {
            for unit in ["s", "m", "h"] {
                let pace = Pace::of(rate(&format!("{count}/{unit}")));
                let now = 1_000_000_000;
                let wait = pace.wait(now + ahead, now).as_micros() as i64;
                prop_assert!(pace.allows(now + ahead, now + wait) >= 1);
            }
        }
    }
}
