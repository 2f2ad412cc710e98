//! Figures as bars, each beside its limit and with the target that is set for it.

use super::Ink;
use super::axis::Axis;
use super::canvas::{Anchor, Canvas, LINE, MARGIN, WIDTH};
use crate::statistics::{Runs, number};

const LABELS: f64 = 205.0;
const NOTES: f64 = 230.0;
const BAR: f64 = 16.0;
const ROW: f64 = 26.0;

/// One bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) runs: Runs,
    pub(crate) ink: Ink,
    /// What the bar should reach, and how that is said.
    pub(crate) target: Option<(f64, String)>,
}

/// Groups of bars under headings, all to one measure.
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) unit: &'static str,
    pub(crate) groups: Vec<(String, Vec<Bar>)>,
}

impl Bars {
    pub(crate) fn svg(&self) -> String {
        let mut canvas = Canvas::new(&self.title, &self.subtitle);
        let bars = || self.groups.iter().flat_map(|(_, bars)| bars);
        let greatest = bars()
            .flat_map(|bar| bar.runs.each().iter().copied().chain(bar.target.as_ref().map(|target| target.0)))
            .fold(0.0, f64::max);
        let axis = Axis::linear(greatest, MARGIN + LABELS, WIDTH - MARGIN - NOTES);
        let top = Canvas::top();
        let rows: f64 = self.groups.iter().map(|(_, bars)| LINE + 8.0 + bars.len() as f64 * ROW).sum();
        let bottom = top + rows + 4.0;
        for (x, label) in axis.ticks() {
            canvas.line((x, top), (x, bottom), "grid");
            canvas.text(x, bottom + LINE - 4.0, Anchor::Middle, "muted small", &label);
        }
        let mut y = top;
        for (heading, bars) in &self.groups {
            canvas.text(MARGIN, y + LINE - 4.0, Anchor::Start, "muted", heading);
            y += LINE + 4.0;
            for bar in bars {
                draw(&mut canvas, &axis, bar, y);
                y += ROW;
            }
            y += 4.0;
        }
        canvas.text(WIDTH - MARGIN, bottom + LINE - 4.0, Anchor::End, "muted small", self.unit);
        canvas.finish(bottom + LINE + MARGIN / 2.0)
    }
}

fn draw(canvas: &mut Canvas, axis: &Axis, bar: &Bar, y: f64) {
    let (middle, figure) = (y + BAR / 2.0, bar.runs.median());
    let baseline = middle + 4.5;
    canvas.text(MARGIN + LABELS - 10.0, baseline, Anchor::End, "", &bar.label);
    canvas.rect(axis.at(0.0), y, axis.at(figure) - axis.at(0.0), BAR, bar.ink.class());
    let least = bar.runs.each().iter().copied().fold(f64::INFINITY, f64::min);
    let most = bar.runs.each().iter().copied().fold(0.0, f64::max);
    if most > least {
        canvas.line((axis.at(least), middle), (axis.at(most), middle), "spread");
    }
    let note = WIDTH - MARGIN - NOTES + 14.0;
    let shown = number(figure, 0);
    let Some((target, said)) = &bar.target else {
        canvas.text(note, baseline, Anchor::Start, "", &shown);
        return;
    };
    canvas.line((axis.at(*target), y - 4.0), (axis.at(*target), y + BAR + 4.0), "target");
    let (class, verdict) = if figure >= *target { ("", "") } else { ("missed", " · missed") };
    canvas.text(note, baseline, Anchor::Start, class, &format!("{shown} · target {said}{verdict}"));
}
