//! When an attempt that failed is made again.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::Timestamp;

/// The waits after the first, second, … failed attempt, before jitter. After the tenth attempt
/// the delivery is dead.
pub const SCHEDULE: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(3),
    Duration::from_hours(6),
    Duration::from_hours(12),
    Duration::from_hours(24),
];

/// How far jitter moves a wait, up or down.
const JITTER: f64 = 0.2;

/// The longest wait that a receiver may ask for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// How long to wait after `attempts_made` attempts, the last of which failed.
///
/// `jitter` is random in `[0, 1)` and spreads the wait over ±20 %, so that deliveries that
/// failed together don't come back together. `None`: the schedule is used up. Nothing made yet
/// means no wait.
pub fn next_delay(attempts_made: u32, jitter: f64) -> Option<Duration> {
    let Some(index) = attempts_made.checked_sub(1) else { return Some(Duration::ZERO) };
    let base = SCHEDULE.get(index as usize)?;
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 };
    Some(base.mul_f64(1.0 + JITTER * (2.0 * jitter - 1.0)))
}

/// Reads `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date in one of its three forms
/// (section 5.6.7). At most [`MAX_RETRY_AFTER`]; a date that has passed is zero; `None` is what
/// can't be read.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long time, too.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let at = Timestamp::from(http_date(value, now)?.and_utc());
    Some(at.since(now).min(MAX_RETRY_AFTER))
}

/// IMF-fixdate, and the two obsolete forms that a recipient must still accept.
fn http_date(value: &str, now: Timestamp) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(value, "%a, %d %b %Y %H:%M:%S GMT")
        .or_else(|_| NaiveDateTime::parse_from_str(value, "%a %b %e %H:%M:%S %Y"))
        .ok()
        .or_else(|| rfc_850_date(value, now))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`. A year that seems more than 50 years ahead is the latest
/// past one with the same two digits.
fn rfc_850_date(value: &str, now: Timestamp) -> Option<NaiveDateTime> {
    let (weekday, rest) = value.split_once(", ")?;
    let weekday: chrono::Weekday = weekday.parse().ok()?;
    let (date, time) = rest.strip_suffix(" GMT")?.split_once(' ')?;
    let (day_month, year) = date.rsplit_once('-')?;
    if year.len() != 2 {
        return None;
    }
    let this_year = DateTime::<Utc>::from_timestamp_micros(now.as_micros())?.year();
    let mut year = this_year.div_euclid(100) * 100 + year.parse::<i32>().ok()?;
    if year > this_year + 50 {
        year -= 100;
    }
    let date = NaiveDate::parse_from_str(&format!("{day_month}-{year}"), "%d-%b-%Y").ok()?;
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S").ok()?;
    (date.weekday() == weekday).then(|| date.and_time(time))
}
