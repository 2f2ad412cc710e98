//! What is wrong with a file, collected: an author wants to hear all of it at once.

use std::fmt;

use crate::schema::Unsupported;

/// The most errors that are listed; a file that has more is not the file that was meant.
pub(super) const MAX_ERRORS: usize = 100;

/// One thing that is wrong with a schema file, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// 1-based line.
    pub line: u64,
    /// 1-based column, in characters.
    pub column: u64,
    /// Path of the value or key, e.g. `tasktypes[0].resolved_states`; empty for the file itself.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

/// Where a value or key begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// 1-based.
    pub(super) line: u64,
    /// 1-based, in characters.
    pub(super) column: u64,
}

impl Place {
    /// The beginning of the file.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<ParseError>,
    unsupported: Vec<Unsupported>,
}

impl Findings {
    /// Something is wrong.
    pub(super) fn error(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.errors.push(ParseError {
            line: place.line,
            column: place.column,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// Something is right, and this build does not act on it.
    pub(super) fn unsupported(&mut self, place: Place, path: &str) {
        let (line, column) = (place.line, place.column);
        self.unsupported.push(Unsupported { path: path.to_owned(), line, column });
    }

    /// Whether another error would still be told of. What would not needs no hint, which may be
    /// dear to find.
    pub(super) fn are_told(&self) -> bool {
        self.errors.len() < MAX_ERRORS
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The unsupported keys in file order, or the errors in file order and at most
    /// [`MAX_ERRORS`].
    pub(super) fn finish(mut self) -> Result<Vec<Unsupported>, Vec<ParseError>> {
        if self.errors.is_empty() {
            self.unsupported.sort_by_key(|u| (u.line, u.column));
            return Ok(self.unsupported);
        }
        self.errors.sort_by_key(|e| (e.line, e.column));
        self.errors.dedup();
        if self.errors.len() > MAX_ERRORS {
            let more = self.errors.len() - MAX_ERRORS + 1;
            self.errors.truncate(MAX_ERRORS);
            if let Some(last) = self.errors.last_mut() {
                last.path.clear();
                last.message = format!("{more} more errors from here on");
            }
        }
        Err(self.errors)
    }
}
