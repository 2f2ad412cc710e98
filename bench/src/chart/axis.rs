//! From figures to places, and where the lines of the grid go.

use crate::statistics::number;

/// One direction of a chart.
pub(super) struct Axis {
    from: f64,
    to: f64,
    begin: f64,
    end: f64,
    is_logarithmic: bool,
}

impl Axis {
    /// From 0 to a round number that is not below `greatest`, drawn from `begin` to `end`.
    pub(super) fn linear(greatest: f64, begin: f64, end: f64) -> Self {
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let step = step(greatest);
        Self { from: 0.0, to: (greatest / step).ceil() * step, begin, end, is_logarithmic: false }
    }

    /// Whole powers of ten around what is shown.
    pub(super) fn logarithmic(least: f64, greatest: f64, begin: f64, end: f64) -> Self {
        let power = |value: f64| value.max(1e-6).log10();
        let (from, to) = (power(least).floor(), power(greatest).ceil());
        Self { from, to: to.max(from + 1.0), begin, end, is_logarithmic: true }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.is_logarithmic { value.max(1e-6).log10() } else { value };
        let share = ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        self.begin + share * (self.end - self.begin)
    }

    /// Where lines go, and what stands at them.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = if self.is_logarithmic {
            (self.from as i32..=self.to as i32).map(|power| 10f64.powi(power)).collect()
        } else {
            let step = step(self.to);
            (0..=(self.to / step).round() as u32).map(|i| f64::from(i) * step).collect()
        };
        values.into_iter().map(|value| (self.at(value), short(value))).collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that there are four to ten steps.
fn step(greatest: f64) -> f64 {
    let power = 10f64.powf(greatest.log10().floor() - 1.0);
    [1.0, 2.0, 5.0, 10.0, 20.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| greatest / step <= 8.0)
        .unwrap_or(greatest)
}

fn short(value: f64) -> String {
    let digits = (0..4).find(|digits| {
        let scaled = value * 10f64.powi(*digits);
        (scaled - scaled.round()).abs() < 1e-6
    });
    number(value, digits.unwrap_or(4) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_what_is_shown() {
        for greatest in [0.7, 1.0, 3.0, 42.0, 8270.0, 12_000.0, 1e6] {
            let axis = Axis::linear(greatest, 0.0, 100.0);
            let ticks = axis.ticks();
            assert!((4..=11).contains(&ticks.len()), "{greatest}: {ticks:?}");
            assert!(axis.at(greatest) <= 100.0 && axis.to >= greatest);
        }
        assert_eq!(Axis::linear(8270.0, 0.0, 1.0).ticks()[1].1, "2,000");
        let powers: Vec<_> =
            Axis::logarithmic(0.3, 40.0, 0.0, 1.0).ticks().into_iter().map(|t| t.1).collect();
        assert_eq!(powers, ["0.1", "1", "10", "100"]);
    }
}
