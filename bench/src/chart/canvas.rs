//! The picture under construction.

use std::fmt::Write;

/// Every chart is as wide.
pub(super) const WIDTH: f64 = 860.0;
/// Between the edge and what is drawn.
pub(super) const MARGIN: f64 = 20.0;
/// From one line of text to the next.
pub(super) const LINE: f64 = 20.0;

const STYLE: &str = "
svg { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
.page { fill: #ffffff; }
text { fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.muted { fill: #59636e; }
.small { font-size: 12px; }
.missed { fill: #c0202b; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.target { stroke: #c0202b; stroke-width: 1.5; stroke-dasharray: 4 3; fill: none; }
.spread { stroke: #1f2328; stroke-width: 1; opacity: 0.55; }
rect.ours { fill: #2f6fde; } rect.limit { fill: #9aa1aa; } rect.second { fill: #b4560b; } rect.third { fill: #1a7f4b; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.ours { stroke: #2f6fde; } polyline.limit { stroke: #7d848d; } polyline.second { stroke: #b4560b; }
polyline.third { stroke: #1a7f4b; }
circle.ours { fill: #2f6fde; } circle.limit { fill: #7d848d; } circle.second { fill: #b4560b; } circle.third { fill: #1a7f4b; }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; }
text { fill: #e6edf3; }
.muted { fill: #9198a1; }
.missed { fill: #ff8e86; }
.grid { stroke: #30363d; }
.target { stroke: #ff8e86; }
.spread { stroke: #e6edf3; }
rect.ours { fill: #5b93f0; } rect.limit { fill: #6b737d; } rect.second { fill: #e8924a; } rect.third { fill: #45b881; }
polyline.ours { stroke: #5b93f0; } polyline.limit { stroke: #9198a1; } polyline.second { stroke: #e8924a; }
polyline.third { stroke: #45b881; }
circle.ours { fill: #5b93f0; } circle.limit { fill: #9198a1; } circle.second { fill: #e8924a; } circle.third { fill: #45b881; }
}
";

/// Where a text is at its place.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Elements so far; its height is known at the end.
pub(super) struct Canvas {
    elements: String,
    title: String,
}

impl Canvas {
    /// With a title at the top and a line below it.
    pub(super) fn new(title: &str, subtitle: &str) -> Self {
        let mut canvas = Self { elements: String::new(), title: escape(title) };
        canvas.text(MARGIN, MARGIN + 8.0, Anchor::Start, "title", title);
        canvas.text(MARGIN, MARGIN + 8.0 + LINE, Anchor::Start, "muted", subtitle);
        canvas
    }

    /// Where the rest begins.
    pub(super) const fn top() -> f64 {
        MARGIN + 8.0 + 2.0 * LINE
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{}</text>"#,
            escape(text)
        ));
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let width = width.max(1.0);
        self.push(&format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" class="{class}"/>"#
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(&format!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(&format!(r#"<polyline points="{}" class="{class}"/>"#, points.join(" ")));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), class: &str) {
        self.push(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" class="{class}"/>"#));
    }

    fn push(&mut self, element: &str) {
        self.elements.push_str(element);
        self.elements.push('\n');
    }

    pub(super) fn finish(self, height: f64) -> String {
        let Self { elements, title } = self;
        let mut svg = String::new();
        let _ = write!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="{title}">
<style>{STYLE}</style>
<rect width="{WIDTH}" height="{height}" class="page"/>
{elements}</svg>
"#
        );
        svg
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
