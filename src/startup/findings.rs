//! What a look at something found, and what to do about it.

use std::fmt;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and may stop to, or does less than it could.
    Warning,
    /// It doesn't work, or loses what it promised to keep.
    Failure,
}

impl Status {
    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it stands.
    pub status: Status,
    /// In a sentence.
    pub detail: String,
    /// What to do, where the sentence does not say it.
    pub advice: Option<String>,
}

impl Finding {
    /// Something is as it should be.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, detail: detail.into(), advice: None }
    }

    /// Something is worth a look.
    pub fn warning(check: &'static str, detail: impl Into<String>) -> Self {
        Self { status: Status::Warning, ..Self::ok(check, detail) }
    }

    /// Something is not as it should be.
    pub fn failure(check: &'static str, detail: impl Into<String>) -> Self {
        Self { status: Status::Failure, ..Self::ok(check, detail) }
    }

    /// Says what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.advice {
            None => f.write_str(&self.detail),
            Some(advice) => write!(f, "{}: {advice}", self.detail),
        }
    }
}
