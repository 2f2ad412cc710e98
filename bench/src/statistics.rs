//! What is made of many numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One figure, measured in several runs: the median counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Runs(Vec<f64>);

impl Runs {
    /// One run's value for each item.
    pub(crate) fn of<T>(items: &[T], figure: impl Fn(&T) -> f64) -> Self {
        Self(items.iter().map(figure).collect())
    }

    /// Adds the value of one more run.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// What counts; 0 before the first run.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => 0.0,
            n if n.is_multiple_of(2) => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
            n => sorted[n / 2],
        }
    }

    /// Each run's value, in order.
    pub(crate) fn each(&self) -> &[f64] {
        &self.0
    }
}

impl FromIterator<f64> for Runs {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// The median, and each run's value in brackets if there were several; `{:.1}` sets the digits.
impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        f.write_str(&number(self.median(), digits))?;
        if self.0.len() > 1 {
            let each: Vec<_> = self.0.iter().map(|value| number(*value, digits)).collect();
            write!(f, " ({})", each.join(", "))?;
        }
        Ok(())
    }
}

/// A number with so many digits after the point, thousands set apart.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let first = text.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    let mut out = String::with_capacity(text.len() + 4);
    for (at, character) in text.char_indices() {
        if at > first && at < whole && (whole - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(character);
    }
    out
}

/// The value that `percent` of 100 are not above; 0 where there is none.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Latencies, summed up: half, 90 and 99 of 100 were not above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) samples: usize,
}

impl Latency {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |percent| percentile(&values, percent);
        Self { p50: at(50.0), p90: at(90.0), p99: at(99.0), samples: values.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |values: &[f64]| values.iter().copied().collect::<Runs>().median();
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let latency = Latency::of(hundred);
        assert_eq!(latency, Latency { p50: 50.0, p90: 90.0, p99: 99.0, samples: 100 });
        assert_eq!(Latency::of(vec![7.0]).p99.to_string(), "7");
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }

    #[test]
    fn shows_every_run() {
        let runs: Runs = [10.04, 12.0, 11.0].into_iter().collect();
        assert_eq!(format!("{runs:.1}"), "11.0 (10.0, 12.0, 11.0)");
        assert_eq!(Runs::from_iter([2.0]).to_string(), "2");
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(number(-1234.56, 1), "-1,234.6");
        assert_eq!(number(999.0, 0), "999");
    }
}
