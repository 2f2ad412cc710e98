//! How many requests a key may make.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// `{n}/s`, `{n}/m` or `{n}/h`; as many may come at once.
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

    /// Whether this allows more requests than the other in the long run.
    pub fn exceeds(self, other: Self) -> bool {
        self.per_hour() > other.per_hour()
    }

    fn per_hour(self) -> u64 {
        u64::from(self.count.get())
            * match self.unit {
                's' => 3600,
                'm' => 60,
                _ => 1,
            }
    }

    fn quota(self) -> Quota {
        match self.unit {
            's' => Quota::per_second(self.count),
            'm' => Quota::per_minute(self.count),
            _ => Quota::per_hour(self.count),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

/// Counts one key's requests, in this process.
#[derive(Debug)]
pub(super) struct Limiter(DefaultDirectRateLimiter);

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct(rate.quota()))
    }

    /// Takes one request's place, or says how long until there is one.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.0.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rates() {
        for (text, shown) in [("100/s", "100/s"), ("1000/min", "1000/m"), ("5/hour", "5/h")] {
            assert_eq!(Rate::parse(text).expect(text).to_string(), shown);
        }
        for text in ["", "100", "0/s", "-1/s", "1/d", "x/s", "1.5/s", "99999999999/s"] {
            assert!(Rate::parse(text).expect_err(text).contains("100/s"));
        }
    }

    #[test]
    fn lets_through_as_many_as_it_says() {
        let limiter = Limiter::new(Rate::parse("2/h").expect("a rate"));
        assert_eq!(limiter.take(), Ok(()));
        assert_eq!(limiter.take(), Ok(()));
        let wait = limiter.take().expect_err("used up");
        assert!(wait > Duration::from_secs(1000) && wait <= Duration::from_hours(1), "{wait:?}");
    }
}
