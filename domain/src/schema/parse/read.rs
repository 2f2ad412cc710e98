//! Taking a tree apart: each function reads one shape or says what it expected instead.

use super::findings::{Findings, Place};
use super::names::{nearest, quoted};
use super::tree::{Key, Node, Plain, Value, meaning};

/// A value, with the path that messages name it by.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) path: String,
    pub(super) node: &'a Node,
}

/// A mapping whose keys are known.
pub(super) struct Fields<'a> {
    pub(super) path: String,
    pub(super) place: Place,
    entries: &'a [(Key, Node)],
}

impl<'a> At<'a> {
    pub(super) fn error(&self, findings: &mut Findings, message: impl Into<String>) {
        findings.error(self.node.place, &self.path, message);
    }

    /// Says what was expected; silent where the value was reported already.
    pub(super) fn expected(&self, findings: &mut Findings, what: &str) {
        if !matches!(self.node.value, Value::Broken) {
            self.error(findings, format!("expected {what}, found {}", self.node.kind()));
        }
    }

    /// Text. Numbers are taken as they are written, as the original took them.
    pub(super) fn text(&self, findings: &mut Findings, what: &str) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, plain: false } => Some(text),
            Value::Scalar { text, plain: true } => match meaning(text) {
                Plain::Text | Plain::Number => Some(text),
                Plain::Bool(_) => {
                    let message =
                        format!("expected {what}, found a boolean; quote it if it is text: '{text}'");
                    self.error(findings, message);
                    None
                }
                Plain::Null => {
                    self.expected(findings, what);
                    None
                }
            },
            _ => {
                self.expected(findings, what);
                None
            }
        }
    }

    /// Text of 1 to `max` characters.
    pub(super) fn short_text(&self, findings: &mut Findings, what: &str, max: usize) -> Option<&'a str> {
        let text = self.text(findings, what)?;
        if text.trim().is_empty() {
            self.error(findings, format!("expected {what}, found empty text"));
            return None;
        }
        if text.chars().nth(max).is_some() {
            self.error(findings, format!("is longer than {max} characters"));
            return None;
        }
        Some(text)
    }

    /// One of a few words.
    pub(super) fn one_of(&self, findings: &mut Findings, words: &[&'static str]) -> Option<&'static str> {
        let what = format!("one of {}", words.join(", "));
        let text = self.text(findings, &what)?;
        let found = words.iter().find(|w| **w == text).copied();
        if found.is_none() {
            self.error(findings, format!("{} is not {what}{}", quoted(text), nearest(text, words)));
        }
        found
    }

    /// An integer from `min` to `max`.
    pub(super) fn integer(&self, findings: &mut Findings, min: i64, max: i64) -> Option<i64> {
        let found = match &self.node.value {
            Value::Scalar { text, plain: true } => text.parse::<i64>().ok(),
            _ => None,
        };
        let found = found.filter(|n| (min..=max).contains(n));
        if found.is_none() {
            self.expected(findings, &format!("an integer from {min} to {max}"));
        }
        found
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => match meaning(text) {
                Plain::Bool(b) => Some(b),
                _ => None,
            },
            _ => None,
        }
    }

    /// A list of at most `max` items.
    pub(super) fn list(&self, findings: &mut Findings, what: &str, max: usize) -> Option<Vec<At<'a>>> {
        let Value::List(items) = &self.node.value else {
            self.expected(findings, what);
            return None;
        };
        if items.len() > max {
            self.error(findings, format!("has {} items; at most {max} are allowed", items.len()));
            return None;
        }
        let at = |(i, node)| At { path: format!("{}[{i}]", self.path), node };
        Some(items.iter().enumerate().map(at).collect())
    }

    /// A mapping with any keys.
    pub(super) fn entries(&self, findings: &mut Findings, what: &str) -> Option<Vec<(&'a Key, At<'a>)>> {
        let Value::Map(entries) = &self.node.value else {
            self.expected(findings, what);
            return None;
        };
        let at = |(key, node): &'a (Key, Node)| (key, At { path: join(&self.path, &key.text), node });
        Some(entries.iter().map(at).collect())
    }

    /// A mapping with these keys; any other is an error, unless it begins with `x-`.
    pub(super) fn fields(&self, findings: &mut Findings, what: &str, known: &[&str]) -> Option<Fields<'a>> {
        let Value::Map(entries) = &self.node.value else {
            self.expected(findings, what);
            return None;
        };
        for (key, _) in entries {
            let text = key.text.as_str();
            if known.contains(&text) || text.starts_with("x-") {
                continue;
            }
            let hint = match nearest(text, known) {
                hint if hint.is_empty() => {
                    format!("; known are {}, and x-… for your own", known.join(", "))
                }
                hint => hint,
            };
            findings.error(key.place, &join(&self.path, text), format!("is not a key of {what}{hint}"));
        }
        Some(Fields { path: self.path.clone(), place: self.node.place, entries })
    }
}

impl<'a> Fields<'a> {
    /// The value of a key that may be left out; null means the same.
    pub(super) fn get(&self, key: &str) -> Option<At<'a>> {
        self.get_or_null(key).filter(|at| !at.node.is_null())
    }

    /// The value of a key, null included.
    pub(super) fn get_or_null(&self, key: &str) -> Option<At<'a>> {
        let (_, node) = self.entries.iter().find(|(k, _)| k.text == key)?;
        Some(At { path: join(&self.path, key), node })
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, findings: &mut Findings, key: &str, what: &str) -> Option<At<'a>> {
        match self.get_or_null(key) {
            None => {
                findings.error(self.place, &join(&self.path, key), format!("is missing; expected {what}"));
                None
            }
            Some(at) if at.node.is_null() => {
                at.expected(findings, what);
                None
            }
            found => found,
        }
    }

    /// Where the key itself stands.
    pub(super) fn key_place(&self, key: &str) -> Option<Place> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(k, _)| k.place)
    }
}

/// `path.key`, with a key that is no plain word in quotes.
pub(super) fn join(path: &str, key: &str) -> String {
    let word = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-:$".contains(&b));
    match (path.is_empty(), word && !key.is_empty() && key.len() <= 64) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", quoted(key)),
    }
}
