//! YAML text as a tree of nodes that know their place and keep their scalars as written.
//!
//! Built from parser events, because a typed deserializer stops at the first error and has
//! turned `1.10` into a number before anyone could ask how it was spelled. What an author must
//! not use is refused here: anchors and aliases (which let a short file mean a huge one), tags,
//! directives, merge keys, duplicate keys, a second document.

use std::collections::HashSet;

use serde_yaml::granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, options};

use super::findings::{Findings, Place};

/// The largest file, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The deepest nesting of mappings and lists.
pub(super) const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Value {
    /// A scalar as written; `plain` is without quotes, so that it may mean a number, a boolean
    /// or null.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in file order; keys are unique.
    Map(Vec<(Key, Node)>),
    /// Something that was reported already: nothing more is said about it.
    Broken,
}

/// A mapping's key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) place: Place,
}

/// What a plain scalar means (YAML 1.2.2 section 10.3.2, the core schema).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Number,
    Text,
}

pub(super) fn meaning(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        _ if is_number(text) => Plain::Number,
        _ => Plain::Text,
    }
}

fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    !(whole.is_empty() && fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && !exponent.is_empty()
        && digits(exponent)
}

impl Node {
    /// Whether it is null, written or left out.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if meaning(text) == Plain::Null)
    }

    /// What it is, for a message that says what was found.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Broken => "something broken",
            Value::Scalar { plain: false, .. } => "text",
            Value::Scalar { text, plain: true } => match meaning(text) {
                Plain::Null => "nothing",
                Plain::Bool(_) => "a boolean",
                Plain::Number => "a number",
                Plain::Text => "text",
            },
        }
    }
}

/// Reads the one document of a file. `None` when nothing can be made of it; all that is wrong
/// goes to `findings`.
pub(super) fn read(text: &str, findings: &mut Findings) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let message = format!("the file is {} bytes long; at most {MAX_BYTES} are read", text.len());
        findings.error(Place::START, "", message);
        return None;
    }
    let options = options! {
        emit_comments: false,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        disallow_directives: true,
    };
    let mut builder = Builder { findings, open: Vec::new(), root: None, documents: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        let goes_on = match event {
            Ok((event, span)) => {
                if let Some(tag) = &span.tag_start {
                    let message = "tags (!…) are not supported; write the value without one";
                    builder.findings.error(Place::of(tag), "", message);
                }
                builder.take(event, Place::of(&span.start))
            }
            Err(e) => {
                let message = match e.kind() {
                    ErrorKind::RecursionLimitExceeded => too_deep(),
                    _ => format!("is not YAML: {}", e.info()),
                };
                builder.findings.error(Place::of(e.marker()), "", message);
                false
            }
        };
        if !goes_on {
            return None;
        }
    }
    builder.root
}

/// A collection whose end has not come yet.
enum Open {
    List { place: Place, items: Vec<Node> },
    Map { place: Place, entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

struct Builder<'e> {
    findings: &'e mut Findings,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    /// Takes the next event; false where going on makes no sense.
    fn take(&mut self, event: Event<'_>, place: Place) -> bool {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.findings.error(place, "", "a second document begins here; a file holds one schema");
                    return false;
                }
            }
            Event::Anchor(_, name) => {
                let message =
                    format!("anchors (&{name}) are not supported; write the value where it is used");
                self.findings.error(place, "", message);
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.findings.error(place, "", "aliases (*…) are not supported; write the value out");
                self.add(Node { value: Value::Broken, place });
            }
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                self.add(Node { value: Value::Scalar { text: text.into_owned(), plain }, place });
            }
            Event::SequenceStart(..) => return self.push(Open::List { place, items: Vec::new() }, place),
            Event::MappingStart(..) => {
                let map = Open::Map { place, entries: Vec::new(), seen: HashSet::new(), key: None };
                return self.push(map, place);
            }
            Event::SequenceEnd | Event::MappingEnd => self.pop(),
            _ => {}
        }
        true
    }

    fn push(&mut self, open: Open, place: Place) -> bool {
        if self.open.len() >= MAX_DEPTH {
            self.findings.error(place, "", too_deep());
            return false;
        }
        self.open.push(open);
        true
    }

    fn pop(&mut self) {
        let node = match self.open.pop() {
            Some(Open::List { place, items }) => Node { value: Value::List(items), place },
            Some(Open::Map { place, entries, .. }) => Node { value: Value::Map(entries), place },
            None => return,
        };
        self.add(node);
    }

    /// Puts a finished node where it belongs: into the list, as the mapping's next key or value,
    /// or at the top.
    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, seen, key, .. }) => match key.take() {
                None => *key = Some(read_key(node, self.findings)),
                Some(key) if key.text.is_empty() => {}
                Some(key) if seen.contains(&key.text) => {
                    self.findings.error(key.place, "", format!("the key {:?} occurs twice", key.text));
                }
                Some(key) => {
                    seen.insert(key.text.clone());
                    entries.push((key, node));
                }
            },
        }
    }
}

fn too_deep() -> String {
    format!("is nested deeper than {MAX_DEPTH} levels")
}

/// An empty key marks one that was reported.
fn read_key(node: Node, findings: &mut Findings) -> Key {
    let place = node.place;
    match node.value {
        Value::Scalar { text, plain } if plain && text == "<<" => {
            findings.error(place, "", "merge keys (<<) are not supported; write the keys out");
            Key { text: String::new(), place }
        }
        Value::Scalar { text, plain } if !(text.is_empty() || plain && text == "~") => Key { text, place },
        Value::Broken => Key { text: String::new(), place },
        _ => {
            findings.error(place, "", "a key must be text");
            Key { text: String::new(), place }
        }
    }
}

impl Place {
    fn of(marker: &Marker) -> Self {
        // Lines count from 1 in the parser, columns from 0.
        Self { line: marker.line().max(1) as u64, column: marker.col() as u64 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<String> {
        let mut findings = Findings::default();
        read(text, &mut findings);
        findings.finish().expect_err("errors").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tells_what_plain_scalars_mean() {
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(meaning(text), Plain::Null, "{text}");
        }
        for text in
            ["0", "-1", "+1", "1.", ".5", "1.10", "1e3", "1.5E-3", "0o17", "0xfF", ".inf", "-.Inf", ".nan"]
        {
            assert_eq!(meaning(text), Plain::Number, "{text}");
        }
        for text in [
            "yes", "no", "on", "off", "tRUE", "-", ".", "e3", "1e", "0o8", "0x", "1.2.3", "-.nan", "1_000",
            "١",
        ] {
            assert_eq!(meaning(text), Plain::Text, "{text}");
        }
        assert_eq!(meaning("True"), Plain::Bool(true));
    }

    #[test]
    fn refuses_what_can_grow_or_hide() {
        for (text, expected) in [
            ("a: &x 1\nb: *x\n", vec!["line 1, column 4: anchors (&x)", "line 2, column 4: aliases"]),
            ("a: *nope\n", vec!["line 1, column 4: aliases"]),
            ("? *nope\n: 1\n", vec!["line 1, column 3: aliases"]),
            ("a: !!str 1\n", vec!["line 1, column 4: tags"]),
            ("a: !Thing {b: 1}\n", vec!["line 1, column 4: tags"]),
            ("%YAML 1.2\n---\na: 1\n", vec!["line 1, column 1: is not YAML: YAML directives"]),
            ("a: 1\n---\nb: 1\n", vec!["line 2, column 1: a second document"]),
            ("a: 1\nb: 2\na: 3\n", vec!["line 3, column 1: the key \"a\" occurs twice"]),
            ("<<: {a: 1}\n", vec!["line 1, column 1: merge keys"]),
            ("? [a]\n: 1\n", vec!["line 1, column 3: a key must be text"]),
            ("~: 1\n", vec!["line 1, column 1: a key must be text"]),
            ("a: b: c\n", vec!["line 1, column 5: is not YAML: mapping values"]),
            ("a: 'x\n", vec!["line 2, column 1: is not YAML"]),
            ("a: \"\0\"\n", vec!["line 1, column 5: is not YAML"]),
        ] {
            let errors = refused(text);
            assert_eq!(errors.len(), expected.len(), "{text}: {errors:?}");
            for (error, start) in errors.iter().zip(expected) {
                assert!(error.starts_with(start), "{text}: {error}");
            }
        }
    }

    #[test]
    fn refuses_bombs() {
        assert!(refused(&"[".repeat(100_000))[0].contains("deeper than 32"));
        assert!(refused(&"- ".repeat(100_000))[0].contains("deeper than 32"));
        assert!(refused(&"a: {".repeat(60_000))[0].contains("deeper than 32"));
        assert!(refused(&"x".repeat(MAX_BYTES + 1))[0].contains("262145 bytes"));
        let line =
            |i: usize| format!("a{i}: &a{i} [{}]\n", format!("*a{}, ", i.saturating_sub(1)).repeat(10));
        let laughs = (0..50).map(line).collect::<Vec<_>>().concat();
        // Eleven errors a line were found, and only so many are kept.
        assert_eq!(refused(&laughs).len(), super::super::findings::MAX_ERRORS);
    }

    #[test]
    fn depth_32_is_still_read() {
        let text = format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let mut findings = Findings::default();
        assert!(read(&text, &mut findings).is_some());
        assert!(!findings.has_errors());
    }

    #[test]
    fn keeps_scalars_as_written() {
        let mut findings = Findings::default();
        let root = read("\u{feff}é: 1.10\nx: '1'\n", &mut findings).expect("valid");
        let Value::Map(entries) = root.value else { panic!("a mapping") };
        assert!(matches!(&entries[0].1.value, Value::Scalar { text, plain: true } if text == "1.10"));
        assert_eq!(entries[0].1.place, Place { line: 1, column: 4 });
        assert!(matches!(&entries[1].1.value, Value::Scalar { text, plain: false } if text == "1"));
    }
}
