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
    Some(http_date(value, now)?.since(now).min(MAX_RETRY_AFTER))
}

/// Reads a date of HTTP: IMF-fixdate, and the two obsolete forms that a recipient must still accept.
pub fn http_date(value: &str, now: Timestamp) -> Option<Timestamp> {
    let date = NaiveDateTime::parse_from_str(value, "%a, %d %b %Y %H:%M:%S GMT")
        .or_else(|_| NaiveDateTime::parse_from_str(value, "%a %b %e %H:%M:%S %Y"))
        .ok()
        .or_else(|| rfc_850_date(value, now));
    Some(Timestamp::from(date?.and_utc()))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`. The year is the one with these digits that is at most
/// 50 years ahead and less than 50 years ago.
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
    } else if year <= this_year - 50 {
        year += 100;
    }
    let date = NaiveDate::parse_from_str(&format!("{day_month}-{year}"), "%d-%b-%Y").ok()?;
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S").ok()?;
    (date.weekday() == weekday).then(|| date.and_time(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_hours(24);

    /// Sun, 06 Nov 1994 08:49:37 GMT, the moment that RFC 9110 uses.
    fn rfc_moment() -> Timestamp {
        Timestamp::parse("1994-11-06T08:49:37Z").expect("valid")
    }

    #[test]
    fn waits_by_the_schedule() {
        let seconds: Vec<_> = (1..=10).map(|n| next_delay(n, 0.5).map(|d| d.as_secs())).collect();
        let expected = [5, 30, 120, 600, 3600, 10_800, 21_600, 43_200, 86_400].map(Some);
        assert_eq!(seconds[..9], expected);
        assert_eq!(seconds[9], None);
        assert_eq!(next_delay(0, 0.9), Some(Duration::ZERO));
        assert_eq!(next_delay(u32::MAX, 0.0), None);
    }

    #[test]
    fn jitter_is_a_fifth_either_way() {
        assert_eq!(next_delay(1, 0.0), Some(Duration::from_secs(4)));
        assert!(next_delay(1, 0.999_999).expect("scheduled") < Duration::from_secs(6));
        for odd in [f64::NAN, f64::INFINITY] {
            assert_eq!(next_delay(1, odd), Some(Duration::from_secs(5)));
        }
    }

    #[test]
    fn reads_seconds() {
        let now = rfc_moment();
        assert_eq!(retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(retry_after(" 0\t", now), Some(Duration::ZERO));
        assert_eq!(retry_after("86401", now), Some(DAY));
        assert_eq!(retry_after(&"9".repeat(60), now), Some(DAY));
    }

    #[test]
    fn reads_all_three_forms_of_a_date() {
        let before = Timestamp::from_micros(rfc_moment().as_micros() - 90_000_000);
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(retry_after(date, before), Some(Duration::from_secs(90)), "{date}");
            assert_eq!(retry_after(date, rfc_moment()), Some(Duration::ZERO), "{date}");
            assert_eq!(retry_after(date, rfc_moment().plus(DAY)), Some(Duration::ZERO), "{date}");
            let long_before = Timestamp::from_micros(before.as_micros() - 3 * 86_400_000_000);
            assert_eq!(retry_after(date, long_before), Some(DAY), "{date}");
        }
    }

    #[test]
    fn two_digits_mean_a_year_within_fifty() {
        let at = |text: &str| Timestamp::parse(text).expect("valid");
        // In 1994, the year 44 is 2044, and 45 is 1945.
        assert_eq!(retry_after("Sunday, 06-Nov-44 00:00:00 GMT", rfc_moment()), Some(DAY));
        assert_eq!(retry_after("Tuesday, 06-Nov-45 00:00:00 GMT", rfc_moment()), Some(Duration::ZERO));
        assert_eq!(
            retry_after("Sunday, 06-Nov-94 08:49:37 GMT", at("2026-01-01T00:00:00Z")),
            Some(Duration::ZERO)
        );
        assert_eq!(
            retry_after("Friday, 02-Jan-26 00:00:00 GMT", at("2026-01-01T23:59:00Z")),
            Some(Duration::from_mins(1))
        );
        // Over the turn of the century.
        assert_eq!(
            retry_after("Saturday, 01-Jan-00 00:00:30 GMT", at("1999-12-31T23:59:30Z")),
            Some(Duration::from_mins(1))
        );
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            " ",
            "-1",
            "1.5",
            "+5",
            "soon",
            "1e3",
            "٣",
            "Sun, 06 Nov 1994 08:49:37",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Monday, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(retry_after(text, rfc_moment()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_wait_is_near_its_place(attempts in 1u32..=9, jitter in 0.0..1.0f64) {
            let base = SCHEDULE[attempts as usize - 1].as_secs_f64();
            let wait = next_delay(attempts, jitter).expect("scheduled").as_secs_f64();
            prop_assert!(wait >= base * 0.799_999 && wait <= base * 1.200_001, "{wait}");
        }

        #[test]
        fn later_waits_are_longer(attempts in 1u32..9, a in 0.0..1.0f64, b in 0.0..1.0f64) {
            prop_assert!(next_delay(attempts, a) < next_delay(attempts + 1, b));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}", now in any::<i64>()) {
            if let Some(wait) = retry_after(&text, Timestamp::from_micros(now)) {
                prop_assert!(wait <= MAX_RETRY_AFTER);
            }
        }

        #[test]
        fn dates_come_back(secs in 0i64..4_000_000_000, ahead in 0u64..80_000, form in 0usize..3) {
            let now = Timestamp::from_micros(secs * 1_000_000);
            let then = DateTime::<Utc>::from_timestamp(secs + ahead as i64, 0).expect("in range");
            let format = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"][form];
            let text = then.format(format).to_string();
            prop_assert_eq!(retry_after(&text, now), Some(Duration::from_secs(ahead)), "{}", text);
        }
    }
}
