//! Asking a guard: the body of the question, and what an answer means.
//!
//! The question is signed like a webhook and is none: nothing of it is stored, and it is asked once.

use serde::{Deserialize, Serialize};

use super::to_json;
use crate::transition::Decision;
use crate::{Actor, Document, Task, Timestamp};

/// Why a guarded transition was let pass: what its event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    /// The application server allowed it.
    Allowed,
    /// It could not be asked, and the guard's `on_error` is `allow`.
    Unreachable,
}

/// What an answer means for the transition that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be made.
    Allowed,
    /// It may not; with what the application server says to whoever wanted it.
    Refused(Option<String>),
    /// This is no answer: the guard failed, and its `on_error` holds.
    Failed {
        /// The kind, a word to store and to search for: `status` or `answer`.
        outcome: &'static str,
        /// What was wrong, for the operator.
        detail: String,
    },
}

impl Verdict {
    /// What came of asking, in a word.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused(_) => "refused",
            Self::Failed { outcome, .. } => outcome,
        }
    }
}

/// The longest reason that is kept, in characters.
pub const MAX_REASON: usize = 4096;

#[derive(Serialize)]
struct Question<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: Asked<'a>,
}

#[derive(Serialize)]
struct Asked<'a> {
    task: &'a Task,
    ttype: &'a str,
    transition: Step<'a>,
    actor: &'a Actor,
    reason: Option<&'a str>,
    output: Option<&'a Document>,
}

#[derive(Serialize)]
struct Step<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
}

/// The bytes of the question: the task as it stands, and what somebody wants to make of it.
pub fn question(task: &Task, decision: &Decision, actor: &Actor, now: Timestamp) -> String {
    to_json(&Question {
        kind: "task.guard",
        timestamp: now,
        data: Asked {
            task,
            ttype: &task.ttype,
            transition: Step { from: task.state.as_deref(), to: decision.state.as_deref() },
            actor,
            reason: decision.reason.as_deref(),
            output: decision.output.as_ref(),
        },
    })
}

/// What counts of an answer. A reason that is no text takes nothing away from a refusal.
#[derive(Deserialize)]
struct Said {
    allow: bool,
    #[serde(default)]
    reason: serde_json::Value,
}

/// What an answer means: no body in a 2xx is consent, a JSON object with `allow` says it itself, and
/// anything else says nothing. `truncated`: the body goes on behind what was read.
pub fn judge(status: u16, body: &[u8], truncated: bool) -> Verdict {
    if !(200..300).contains(&status) {
        return Verdict::Failed { outcome: "status", detail: format!("it answered {status}") };
    }
    if body.is_empty() {
        return Verdict::Allowed;
    }
    let no_answer = |detail: String| Verdict::Failed { outcome: "answer", detail };
    if truncated {
        return no_answer(format!("its answer is longer than {} bytes", body.len()));
    }
    if !body.trim_ascii_start().starts_with(b"{") {
        return no_answer("its answer is not a JSON object".to_owned());
    }
    match serde_json::from_slice::<Said>(body) {
        Ok(Said { allow: true, .. }) => Verdict::Allowed,
        Ok(Said { allow: false, reason }) => Verdict::Refused(reason.as_str().and_then(legible)),
        Err(error) => no_answer(format!("its answer is not {{\"allow\": true|false}}: {error}")),
    }
}

/// A reason as it may be shown on a terminal or a page: bounded, on one line, and without what would
/// make it look like something else; `None` if nothing is left.
fn legible(reason: &str) -> Option<String> {
    let harmless = |c: char| if c.is_control() || turns_text_around(c) { ' ' } else { c };
    let kept: String = reason.trim().chars().take(MAX_REASON).map(harmless).collect();
    Some(kept.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Bidirectional embeddings, overrides and isolates, and the line breaks that are no controls.
const fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
