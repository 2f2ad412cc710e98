//! What a command says: a text for people or one JSON document on stdout; all else on stderr.
//!
//! Texts come from elsewhere too (a receiver's answer, a task's reason): no control character of
//! theirs reaches a terminal.

mod progress;
mod style;
mod table;

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;
use task_inbox::config::ConfigErrors;

pub(crate) use progress::{Progress, waiting};
pub(crate) use style::{Screen, Tone};
pub(crate) use table::{Cell, Table};

use crate::api::Refusal;

/// Arguments that don't go together: exit code 2, as what clap refuses.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::error::Error for Usage {}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a command found or did.
pub(crate) struct Answer {
    json: Value,
    text: String,
    warnings: Vec<String>,
    ok: bool,
}

impl Answer {
    /// An answer in both forms.
    pub(crate) fn new(json: Value, text: impl AsRef<str>) -> Self {
        Self::painted(json, plain(text.as_ref()))
    }

    /// One whose text has its colours, and is free of anybody else's control characters.
    pub(crate) fn painted(json: Value, text: String) -> Self {
        Self { json, text, warnings: Vec::new(), ok: true }
    }

    /// Things to say on stderr, whatever the form of the answer.
    pub(crate) fn warn(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// The warnings that came with a document.
    pub(crate) fn warn_of(self, document: &Value) -> Self {
        let warnings = document["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.warn(warnings.iter().filter_map(|w| w.as_str().map(str::to_owned)))
    }

    /// Whether what was asked for came out well: exit code 0 or 1.
    pub(crate) fn ok(mut self, ok: bool) -> Self {
        self.ok = ok;
        self
    }

    /// Prints it; returns the exit code.
    pub(crate) fn print(self, json: bool) -> ExitCode {
        for warning in &self.warnings {
            warn(warning);
        }
        let text = if json { self.json.to_string() } else { self.text.trim_end().to_owned() };
        let mut stdout = std::io::stdout();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(&anyhow::anyhow!(
                "it was done, but what came of it could not be written to stdout: {error}"
            )),
            _ if self.ok => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// Says something on stderr that does not keep the command from being done.
pub(crate) fn warn(text: &str) {
    let warning = Screen::stderr().paint(Tone::Doubtful, "warning:");
    let _ = writeln!(std::io::stderr(), "{warning} {}", line(text));
}

/// Says something on stderr about what is being done.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", line(text));
}

/// Prints a line of an answer that comes bit by bit: on stdout, but where that is one JSON document's.
/// `false` if nobody reads it any more.
pub(crate) fn say(text: &str, is_json: bool) -> bool {
    if is_json {
        return writeln!(std::io::stderr(), "{text}").is_ok();
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
}

/// Says on one line what went wrong and what to do; each problem of a file or body on one more.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    let name = Screen::stderr().paint(Tone::Bad, "task-inbox:");
    let mut lines = vec![format!("{name} {}", line(&format!("{error:#}")))];
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        lines.extend(refusal.problems.iter().map(|problem| format!("  {}", line(problem))));
    }
    if let Some(ConfigErrors(wrong)) = error.downcast_ref()
        && wrong.len() > 1
    {
        lines.extend(wrong.iter().map(|wrong| format!("  {}", line(&wrong.to_string()))));
    }
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// A text without control characters, but for the ends of lines.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// The same on one line.
fn line(text: &str) -> String {
    plain(&text.replace('\n', " "))
}

/// What a document has at a place, as a person reads it: a dash for nothing, seconds for times.
pub(crate) fn shown(document: &Value, name: &str) -> String {
    match &document[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => when(text).unwrap_or_else(|| text.clone()),
        Value::Array(items) => {
            let items: Vec<_> =
                items.iter().map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned)).collect();
            items.join(", ")
        }
        other => other.to_string(),
    }
}

/// A text of a document, or nothing.
pub(crate) fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name].as_str().unwrap_or_default()
}

/// A list of a document; none is an empty one.
pub(crate) fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A time of the API without its microseconds; `None` for what is no time.
fn when(text: &str) -> Option<String> {
    let (seconds, fraction) = text.split_at_checked(19)?;
    let is_time = seconds.bytes().enumerate().all(|(i, b)| match i {
        4 | 7 => b == b'-',
        10 => b == b'T',
        13 | 16 => b == b':',
        _ => b.is_ascii_digit(),
    });
    let is_utc = fraction.ends_with('Z') && (fraction.len() == 1 || fraction.starts_with('.'));
    (is_time && is_utc).then(|| format!("{}Z", seconds.replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_shown_for_reading() {
        let document =
            json!({"at": "2026-11-22T10:11:12.123456Z", "none": null, "all": ["a", "b"], "n": 3, "t": "T"});
        let found: Vec<_> = ["at", "none", "all", "n", "t", "x"].map(|name| shown(&document, name)).into();
        assert_eq!(found, ["2026-11-22 10:11:12Z", "-", "a, b", "3", "T", "-"]);
        assert_eq!(when("2026-11-22T10:11:12"), None);
    }

    #[test]
    fn control_characters_stay_out_of_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}"), "a\\u{1b}[2Jb\nc\\u{9b}");
        assert_eq!(line("a\nb\r"), "a b\\u{d}");
    }
}
