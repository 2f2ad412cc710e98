//! What a command answers: a text for people or one JSON document on stdout; errors on stderr.

use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;
use task_inbox::app::AppError;

/// What a command found or did.
pub(crate) struct Answer {
    json: Value,
    text: String,
    warnings: Vec<String>,
    ok: bool,
}

impl Answer {
    /// An answer in both forms.
    pub(crate) fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), warnings: Vec::new(), ok: true }
    }

    /// Things to say on stderr, whatever the form of the answer.
    pub(crate) fn warn(mut self, warnings: &[String]) -> Self {
        self.warnings.extend_from_slice(warnings);
        self
    }

    /// Whether what was asked for came out well: exit code 0 or 1.
    pub(crate) fn ok(mut self, ok: bool) -> Self {
        self.ok = ok;
        self
    }

    /// Prints it; returns the exit code.
    pub(crate) fn print(self, json: bool) -> ExitCode {
        for warning in &self.warnings {
            let _ = writeln!(std::io::stderr(), "warning: {warning}");
        }
        let text = if json { self.json.to_string() } else { self.text.trim_end().to_owned() };
        // Whoever closed the pipe has read enough.
        let _ = writeln!(std::io::stdout(), "{text}");
        if self.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Says on one line what went wrong and what to do; each problem of a file or body on one more.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    let mut lines = vec![format!("task-inbox: {}", format!("{error:#}").replace('\n', " "))];
    if let Some(AppError::Invalid { problems, .. }) = error.downcast_ref() {
        // A problem that is the whole message needs no second line.
        let said = |detail: &str| problems.len() == 1 && lines[0].contains(detail);
        for problem in problems.iter().filter(|p| !said(&p.detail)).collect::<Vec<_>>() {
            let at =
                if problem.pointer.is_empty() { String::new() } else { format!("{}: ", problem.pointer) };
            lines.push(format!("  {at}{}", problem.detail));
        }
    }
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
    ExitCode::FAILURE
}

/// A table with aligned columns; `none` if there are no rows.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let head: Vec<String> = head.iter().map(|h| h.to_uppercase()).collect();
    let width = |i: usize| rows.iter().chain([&head]).map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in [&head].into_iter().chain(rows) {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A value, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "é".to_owned()], vec!["bbb".to_owned(), "-".to_owned()]];
        assert_eq!(table(&["x", "long"], &rows, "none"), "X    LONG\na    é\nbbb  -\n");
        assert_eq!(table(&["x"], &[], "none"), "none");
    }
}
