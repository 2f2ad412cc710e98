//! How many requests a key may make.

use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

pub use task_inbox_domain::Rate;

/// As many as a rate names may come at once.
fn quota(rate: Rate) -> Quota {
    match rate.period().as_secs() {
        1 => Quota::per_second(rate.count()),
        60 => Quota::per_minute(rate.count()),
        _ => Quota::per_hour(rate.count()),
    }
}

/// Counts one key's requests, in this process.
#[derive(Debug)]
pub(super) struct Limiter(DefaultDirectRateLimiter);

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct(quota(rate)))
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
    fn lets_through_as_many_as_it_says() {
        let limiter = Limiter::new(Rate::parse("2/h").expect("a rate"));
        assert_eq!(limiter.take(), Ok(()));
        assert_eq!(limiter.take(), Ok(()));
        let wait = limiter.take().expect_err("used up");
        assert!(wait > Duration::from_secs(1000) && wait <= Duration::from_hours(1), "{wait:?}");
    }
}
