//! Two bars for each kind, the small and the large, and a mark where the large one should end.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, LINE, MARGIN, WIDTH};

const LABELS: f64 = 250.0;
const NOTES: f64 = 230.0;
const BAR: f64 = 8.0;
const ROW: f64 = 26.0;

/// One kind.
pub(crate) struct Pair {
    pub(crate) label: String,
    pub(crate) small: f64,
    pub(crate) large: f64,
}

/// All kinds, on one logarithmic measure.
pub(crate) struct Pairs {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) unit: &'static str,
    pub(crate) names: (String, String),
    /// How many times the small one the large one may be.
    pub(crate) target: f64,
    pub(crate) kinds: Vec<Pair>,
}

impl Pairs {
    pub(crate) fn svg(&self) -> String {
        let mut canvas = Canvas::new(&self.title, &self.subtitle);
        let all = || self.kinds.iter().flat_map(|pair| [pair.small, pair.large]);
        let least = all().fold(f64::INFINITY, f64::min);
        let axis = Axis::logarithmic(
            least / 2.0,
            all().fold(0.0, f64::max),
            MARGIN + LABELS,
            WIDTH - MARGIN - NOTES,
        );
        let mut y = Canvas::top() + 4.0;
        canvas.rect(MARGIN, y - 9.0, 14.0, BAR, "limit");
        canvas.text(MARGIN + 20.0, y, Anchor::Start, "", &self.names.0);
        canvas.rect(MARGIN + 180.0, y - 9.0, 14.0, BAR, "ours");
        canvas.text(MARGIN + 200.0, y, Anchor::Start, "", &self.names.1);
        canvas.line((MARGIN + 388.0, y - 12.0), (MARGIN + 388.0, y + 3.0), "target");
        let target = format!("{} × the small one", self.target);
        canvas.text(MARGIN + 396.0, y, Anchor::Start, "", &target);
        y += LINE - 4.0;
        let bottom = y + self.kinds.len() as f64 * ROW + 4.0;
        for (x, label) in axis.ticks() {
            canvas.line((x, y), (x, bottom), "grid");
            canvas.text(x, bottom + LINE - 4.0, Anchor::Middle, "muted small", &label);
        }
        canvas.text(WIDTH - MARGIN, bottom + LINE - 4.0, Anchor::End, "muted small", self.unit);
        for pair in &self.kinds {
            let row = y + 4.0;
            let baseline = row + BAR + 4.5;
            let begin = MARGIN + LABELS;
            canvas.text(begin - 10.0, baseline, Anchor::End, "", &pair.label);
            canvas.rect(begin, row, axis.at(pair.small) - begin, BAR, "limit");
            canvas.rect(begin, row + BAR + 1.0, axis.at(pair.large) - begin, BAR, "ours");
            let limit = axis.at(pair.small * self.target);
            canvas.line((limit, row - 2.0), (limit, row + 2.0 * BAR + 3.0), "target");
            let growth = pair.large / pair.small;
            let (class, verdict) = if growth <= self.target { ("", "") } else { ("missed", " · missed") };
            let note = format!("{} → {} · {growth:.1} ×{verdict}", short(pair.small), short(pair.large));
            canvas.text(WIDTH - MARGIN - NOTES + 12.0, baseline, Anchor::Start, class, &note);
            y += ROW;
        }
        canvas.finish(bottom + LINE + MARGIN / 2.0)
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let digits = match value {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}
