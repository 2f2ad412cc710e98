//! Lines over one axis: a course over time, a distribution, a figure by number of replicas.

use super::Ink;
use super::axis::Axis;
use super::canvas::{Anchor, Canvas, LINE, MARGIN, WIDTH};

const LEFT: f64 = 64.0;
const HEIGHT: f64 = 220.0;
/// About the width of a character.
const CHARACTER: f64 = 7.4;

/// One line, with its name in the legend.
pub(crate) struct Line {
    /// Empty if another one's stands for it.
    pub(crate) name: String,
    pub(crate) ink: Ink,
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point is a figure to be read.
    pub(crate) has_dots: bool,
}

/// What a dashed line stands for.
pub(crate) enum Mark {
    /// At a place of the horizontal axis.
    Across(f64, String),
    /// At a height.
    Level(f64, String),
}

/// Lines on one grid.
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    pub(crate) drawn: Vec<Line>,
    pub(crate) marks: Vec<Mark>,
    /// What lies further to the right is not shown.
    pub(crate) until: Option<f64>,
    /// Where the horizontal axis is marked, if not at round numbers.
    pub(crate) stops: Vec<f64>,
}

impl Lines {
    pub(crate) fn svg(&self) -> String {
        let mut canvas = Canvas::new(&self.title, &self.subtitle);
        let shown = |point: &(f64, f64)| self.until.is_none_or(|until| point.0 <= until);
        let points = || self.drawn.iter().flat_map(|line| line.points.iter().copied().filter(shown));
        let mut widest = points().map(|point| point.0).fold(0.0, f64::max);
        let mut highest = points().map(|point| point.1).fold(0.0, f64::max);
        for mark in &self.marks {
            match mark {
                Mark::Across(x, _) => widest = widest.max(*x),
                Mark::Level(y, _) => highest = highest.max(*y),
            }
        }
        let top = self.legend(&mut canvas);
        let bottom = top + HEIGHT;
        let (left, right) = (MARGIN + LEFT, WIDTH - MARGIN - 20.0);
        let horizontal = Axis::linear(widest, left, right);
        let vertical = Axis::linear(highest, bottom, top);
        let stops = self.stops.iter().map(|stop| (horizontal.at(*stop), stop.to_string()));
        let stops = if self.stops.is_empty() { horizontal.ticks() } else { stops.collect() };
        for (x, label) in stops {
            canvas.line((x, top), (x, bottom), "grid");
            canvas.text(x, bottom + LINE - 3.0, Anchor::Middle, "muted small", &label);
        }
        for (y, label) in vertical.ticks() {
            canvas.line((left, y), (right, y), "grid");
            canvas.text(left - 8.0, y + 4.5, Anchor::End, "muted small", &label);
        }
        canvas.text(MARGIN, top - 12.0, Anchor::Start, "muted small", self.up);
        canvas.text(right, bottom + 2.0 * LINE - 3.0, Anchor::End, "muted small", self.across);
        for mark in &self.marks {
            match mark {
                Mark::Across(x, _) => {
                    let x = horizontal.at(*x);
                    canvas.line((x, top), (x, bottom), "target");
                }
                Mark::Level(y, _) => {
                    let y = vertical.at(*y);
                    canvas.line((left, y), (right, y), "target");
                }
            }
        }
        for line in &self.drawn {
            let places: Vec<_> = line
                .points
                .iter()
                .filter(|point| shown(point))
                .map(|(x, y)| (horizontal.at(*x), vertical.at(*y)))
                .collect();
            canvas.polyline(&places, line.ink.class());
            for place in places.into_iter().filter(|_| line.has_dots) {
                canvas.dot(place, line.ink.class());
            }
        }
        canvas.finish(bottom + 2.0 * LINE + MARGIN / 2.0)
    }

    /// Names of lines and marks, as many in a row as there is room for; returns where the grid
    /// begins.
    fn legend(&self, canvas: &mut Canvas) -> f64 {
        let (mut x, mut y) = (MARGIN, Canvas::top() + 4.0);
        let lines = self.drawn.iter().map(|line| (Some(line.ink), &line.name));
        let marks = self.marks.iter().map(|mark| match mark {
            Mark::Across(_, name) | Mark::Level(_, name) => (None, name),
        });
        for (ink, name) in lines.chain(marks).filter(|(_, name)| !name.is_empty()) {
            let width = 36.0 + name.chars().count() as f64 * CHARACTER;
            if x > MARGIN && x + width > WIDTH - MARGIN {
                (x, y) = (MARGIN, y + LINE);
            }
            match ink {
                Some(ink) => canvas.polyline(&[(x, y - 4.5), (x + 18.0, y - 4.5)], ink.class()),
                None => canvas.line((x, y - 4.5), (x + 18.0, y - 4.5), "target"),
            }
            canvas.text(x + 24.0, y, Anchor::Start, "", name);
            x += width;
        }
        y + 2.0 * LINE
    }
}
