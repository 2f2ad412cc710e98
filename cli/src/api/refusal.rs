//! Why a request came to nothing, as an operator should read it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use task_inbox::config::duration;

/// How a problem's detail ends that has nothing to say but that there are errors.
const LISTED: &str = "errors lists what is wrong";

/// A request that was refused, or that did not get through.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// What is wrong and what to do, in one sentence.
    pub(crate) message: String,
    /// Everything that is wrong with a body or a file, each with its place.
    pub(crate) problems: Vec<String>,
    /// Where to go on in a list, if that is the answer to it.
    pub(crate) cursor: Option<String>,
    /// Whether it is maintenance that refused it.
    pub(crate) is_maintenance: bool,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Refusal {
    /// One without an answer.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            status: None,
            message: message.into(),
            problems: Vec::new(),
            cursor: None,
            is_maintenance: false,
        }
    }

    /// Whether the same request may go through a while later: there was no answer, or one that says so.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.status, None | Some(429 | 502 | 503 | 504))
    }

    /// What a problem document says (RFC 9457).
    pub(crate) fn of_problem(status: u16, document: &Value) -> Self {
        let text = |name: &str| document[name].as_str().filter(|text| !text.is_empty());
        let message = text("detail").or_else(|| text("title")).unwrap_or("the server does not say why");
        let problem = |error: &Value| {
            let detail = error["detail"].as_str().unwrap_or_default();
            match error["pointer"].as_str().unwrap_or_default() {
                "" => detail.to_owned(),
                pointer => format!("{pointer}: {detail}"),
            }
        };
        let errors = document["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        // That errors lists something says nothing to who sees the one that it lists.
        if let [error] = errors
            && message.ends_with(LISTED)
        {
            return Self { status: Some(status), ..Self::new(problem(error).trim_start_matches('/')) };
        }
        let message = match ways_on(document) {
            Some(ways) => format!("{message}; {ways}"),
            None => message.to_owned(),
        };
        // A problem that is the whole message needs no second line.
        let is_said = |error: &Value| {
            errors.len() == 1 && error["detail"].as_str().is_some_and(|detail| message.contains(detail))
        };
        Self {
            status: Some(status),
            problems: errors.iter().filter(|e| !is_said(e)).map(problem).collect(),
            is_maintenance: document["type"] == "/problems/maintenance",
            message,
            cursor: document["cursor"].as_str().map(str::to_owned),
        }
    }

    /// Whether it may go away by itself: no answer, overload, a database that is away.
    pub(crate) fn is_passing(&self) -> bool {
        self.status.is_none_or(|status| status == 429 || status >= 500)
    }

    /// Says something else about it.
    pub(crate) fn saying(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    /// Says when it is worth another try.
    pub(crate) fn until(self, after: Duration) -> Self {
        let message =
            format!("{}; try again in {}", self.message.trim_end_matches('.'), duration::write(after));
        self.saying(message)
    }

    /// The same with a secret taken out, wherever it came in.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        // What is this short is no secret, and may be any part of a word.
        if secret.len() >= 6 {
            self.message = self.message.replace(secret, "***");
            for problem in &mut self.problems {
                *problem = problem.replace(secret, "***");
            }
        }
        self
    }
}

/// Where a task may go that a decision was refused on.
fn ways_on(document: &Value) -> Option<String> {
    // The state would allow what a guard did not: its reason says what there is to say.
    if document["guard"].is_object() {
        return None;
    }
    let current = &document["current"];
    let states = current["allowed_transitions"].as_array()?;
    let names: Vec<_> = states.iter().map(|state| state.as_str().unwrap_or("unset")).collect();
    let state = current["state"].as_str().unwrap_or("unset");
    Some(match names.as_slice() {
        [] => format!("it is {state} now, for good"),
        names => format!("it is {state} now and may become {}", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_problem_is_said_once() {
        let one = json!({"detail": "wrong: /a: is odd", "errors": [{"pointer": "/a", "detail": "is odd"}]});
        assert!(Refusal::of_problem(422, &one).problems.is_empty());
        let generic = json!({"type": "/problems/invalid", "detail": "not what this call takes; errors lists what is wrong",
            "errors": [{"pointer": "/name", "detail": "is empty"}]});
        let refusal = Refusal::of_problem(422, &generic);
        assert_eq!((refusal.to_string(), refusal.status), ("name: is empty".to_owned(), Some(422)));
        assert!(refusal.problems.is_empty());
        let two = json!({"detail": "wrong", "errors": [
            {"pointer": "/a", "detail": "is odd"}, {"pointer": "", "detail": "no key ti_secret"}
        ]});
        let refusal = Refusal::of_problem(422, &two).without("ti_secret");
        assert_eq!(refusal.problems, ["/a: is odd", "no key ***"]);
    }

    #[test]
    fn a_refused_decision_says_where_the_task_may_go() {
        let said = |current: Value| {
            Refusal::of_problem(409, &json!({"detail": "no way", "current": current})).to_string()
        };
        let current = json!({"state": null, "allowed_transitions": ["level1", null]});
        assert_eq!(said(current), "no way; it is unset now and may become level1, unset");
        let ended = json!({"state": "block", "allowed_transitions": []});
        assert_eq!(said(ended), "no way; it is block now, for good");
        let current = json!({"state": null, "allowed_transitions": ["paid"]});
        let guarded = json!({"detail": "refused: twice", "current": current, "guard": {"reason": "twice"}});
        assert_eq!(Refusal::of_problem(409, &guarded).to_string(), "refused: twice");
    }
}
