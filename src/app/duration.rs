//! Spans of time as people write them.

use std::time::Duration;

/// Reads `500ms`, `15s`, `10m`, `12h` or `90d`.
///
/// # Errors
///
/// Says what is expected, to stand after the name of what was set.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("is {text:?}, not a span of time such as 500ms, 15s, 10m, 12h or 90d");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (count, unit) = text.split_at(unit_at);
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let millis = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(wrong()),
    };
    count.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// Writes it as [`parse`] reads it, in the largest unit that fits.
pub fn write(span: Duration) -> String {
    let millis = span.as_millis();
    let units = [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000)];
    let whole = units.into_iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [("15s", 15), ("10m", 600), ("12h", 43_200), ("90d", 7_776_000), ("2 s", 2)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for text in ["500ms", "1500ms", "15s", "90s", "10m", "12h", "36h", "90d", "0ms"] {
            assert_eq!(parse(text).map(write).as_deref(), Ok(text));
        }
        assert_eq!(write(Duration::from_mins(90)), "90m");
        for text in ["", "15", "s", "-1s", "1.5s", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).expect_err(text).contains("such as"), "{text}");
        }
    }
}
