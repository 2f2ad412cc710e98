//! Tables for people, as wide as the terminal where there is one.
//!
//! What is too wide is cut in the widest column first; where that is not enough, the last columns are
//! left out, and named. Ids are never cut: they are there to be copied.

use std::fmt::Write;

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::plain;
use super::style::{Screen, Tone};

/// Between two columns.
const GAP: usize = 2;
/// A column is not cut below this.
const LEAST: usize = 6;

/// One place of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in the colour that its word has: what is held, dead or revoked stands out.
    pub(crate) fn status(text: impl Into<String>) -> Self {
        let text = text.into();
        let tone = match text.split_whitespace().next().unwrap_or_default() {
            "active" | "delivered" | "done" | "ok" | "applied" | "resolved" => Tone::Good,
            "pending" | "sending" | "paused" | "running" | "resent" | "no_key" | "until" | "warning" => {
                Tone::Doubtful
            }
            "dead" | "disabled" | "failing" | "revoked" | "ended" | "failed" | "failure" | "wrong" => {
                Tone::Bad
            }
            _ => Tone::Plain,
        };
        Self { text, tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// Rows under a head.
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    none: String,
    footer: String,
    whole: bool,
}

impl Table {
    /// A table with these columns; what is called `id`, or ends in it, is never cut.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
            none: "nothing".to_owned(),
            footer: String::new(),
            whole: false,
        }
    }

    /// What to say where there are no rows.
    pub(crate) fn none(mut self, text: impl Into<String>) -> Self {
        self.none = text.into();
        self
    }

    /// Says below how to get the next page of a list, if there is one.
    pub(crate) fn page_of(mut self, list: &Value) -> Self {
        if let Some(next) = list["next_cursor"].as_str() {
            self.footer = format!("there are more: --cursor {next}");
        }
        self
    }

    /// Cuts nothing, however wide it gets.
    pub(crate) fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Adds rows.
    pub(crate) fn rows(mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// The table for stdout.
    pub(crate) fn to_text(&self) -> String {
        self.on(Screen::stdout())
    }

    fn on(&self, screen: Screen) -> String {
        let mut text =
            if self.rows.is_empty() { format!("{}\n", plain(&self.none)) } else { self.lines(screen) };
        if !self.footer.is_empty() {
            text.push_str(&plain(&self.footer));
            text.push('\n');
        }
        text
    }

    fn lines(&self, screen: Screen) -> String {
        let head =
            self.head.iter().map(|name| Cell { text: name.to_uppercase(), tone: Tone::Heading }).collect();
        let mut rows: Vec<Vec<Cell>> = vec![head];
        for row in &self.rows {
            let plain = |c: &Cell| Cell { text: plain(&c.text).replace('\n', " "), tone: c.tone };
            rows.push(row.iter().map(plain).collect());
        }
        let widths = self.widths(&rows, screen.width.filter(|_| !self.whole));
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let shown = cut(&cell.text, *width);
                let missing = width.saturating_sub(shown.width());
                line.push_str(&screen.paint(cell.tone, &shown));
                if i + 1 < widths.len() {
                    line.push_str(&" ".repeat(missing + GAP));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if let Some(left_out @ [_, ..]) = self.head.get(widths.len()..) {
            let _ = writeln!(text, "(a wider terminal or --json also shows: {})", left_out.join(", "));
        }
        text
    }

    /// How wide each column is, as far as columns fit.
    fn widths(&self, rows: &[Vec<Cell>], limit: Option<usize>) -> Vec<usize> {
        let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(|c| c.text.width()).max();
        let mut widths: Vec<_> = (0..self.head.len()).map(|i| width(i).unwrap_or(0)).collect();
        let Some(limit) = limit else { return widths };
        let least =
            |i: usize, width: usize| if self.head[i].ends_with("id") { width } else { width.min(LEAST) };
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let narrow: Vec<_> = widths.iter().enumerate().map(|(i, width)| least(i, *width)).collect();
        let fitting = (1..=narrow.len()).rev().find(|count| total(&narrow[..*count]) <= limit);
        widths.truncate(fitting.unwrap_or(1));
        while total(&widths) > limit {
            let may_be_cut = |i: &usize| widths[*i] > least(*i, widths[*i]);
            let Some(widest) = (0..widths.len()).filter(may_be_cut).max_by_key(|i| widths[*i]) else { break };
            widths[widest] -= 1;
        }
        widths
    }
}

/// At most so many columns of a text, with a sign that it goes on.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut shown, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        shown.push(c);
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        let row = |id: &str, url: &str, status: &str| vec![id.into(), url.into(), Cell::status(status)];
        Table::new(&["id", "url", "status"])
            .none("none")
            .rows([row("0123456789", "https://a.example/hook", "dead"), row("é", "日本\u{1b}[2J", "-")])
    }

    #[test]
    fn columns_are_aligned() {
        let text = table().on(Screen::NONE);
        assert_eq!(
            text,
            "ID          URL                     STATUS\n\
             0123456789  https://a.example/hook  dead\n\
             é           日本\\u{1b}[2J           -\n"
        );
        assert_eq!(
            Table::new(&["x"]).none("none").page_of(&json!({"next_cursor": "c"})).on(Screen::NONE),
            "none\nthere are more: --cursor c\n"
        );
    }

    #[test]
    fn what_is_too_wide_is_cut_but_no_id() {
        let text = table().on(Screen::of_width(30, false));
        assert_eq!(text.lines().nth(1), Some("0123456789  https://a…  dead"));
        assert!(text.lines().all(|line| line.width() <= 30), "{text}");
        let text = table().on(Screen::of_width(20, false));
        assert!(text.starts_with("ID          URL\n0123456789  https:/…\n"), "{text}");
        assert!(text.ends_with("(a wider terminal or --json also shows: status)\n"), "{text}");
        assert!(table().on(Screen::of_width(5, false)).contains("0123456789\n"));
    }

    #[test]
    fn colours_take_no_room() {
        let text = table().on(Screen::of_width(80, true));
        assert!(
            text.contains("\x1b[31mdead\x1b[0m") && text.starts_with("\x1b[1mID\x1b[0m          "),
            "{text:?}"
        );
    }
}
