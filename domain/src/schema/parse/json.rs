//! JSON Schemas inside of a schema file: YAML to JSON, and errors back to lines.

use serde_json::{Map, Number, Value as Json};

use super::findings::Findings;
use super::read::{At, join};
use super::tree::{Node, Plain, Value, meaning};
use crate::schema::validate::Validator;

/// Reads and compiles a JSON Schema; each error in it is reported at its own line.
pub(super) fn validator(at: &At<'_>, findings: &mut Findings) -> Option<Validator> {
    if !matches!(at.node.value, Value::Map(_)) {
        at.expected(findings, "a JSON Schema, as a mapping");
        return None;
    }
    let schema = to_json(at, findings)?;
    match Validator::compile_or_list(&schema) {
        Ok(validator) => Some(validator),
        Err(problems) => {
            for problem in problems {
                let (path, node) = find(at, &problem.pointer);
                findings.error(node.place, &path, problem.detail);
            }
            None
        }
    }
}

/// The deepest value that a JSON pointer names in this tree.
fn find<'a>(at: &At<'a>, pointer: &str) -> (String, &'a Node) {
    let mut path = at.path.clone();
    let mut node = at.node;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next = match &node.value {
            Value::Map(entries) => {
                path = join(&path, &token);
                entries.iter().find(|(key, _)| key.text == token).map(|(_, node)| node)
            }
            Value::List(items) => {
                path = format!("{path}[{token}]");
                token.parse::<usize>().ok().and_then(|i| items.get(i))
            }
            Value::Scalar { .. } | Value::Broken => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    (path, node)
}

/// The value as JSON. `None` where something in it was reported.
pub(super) fn to_json(at: &At<'_>, findings: &mut Findings) -> Option<Json> {
    match &at.node.value {
        Value::Broken => None,
        Value::Scalar { text, plain: false } => Some(Json::String(text.clone())),
        Value::Scalar { text, plain: true } => match meaning(text) {
            Plain::Null => Some(Json::Null),
            Plain::Bool(b) => Some(Json::Bool(b)),
            Plain::Text => Some(Json::String(text.clone())),
            Plain::Number => {
                let number = to_number(text);
                if number.is_none() {
                    at.error(findings, format!("{text} is not a number that JSON can carry"));
                }
                number.map(Json::Number)
            }
        },
        Value::List(items) => {
            let item = |(i, node)| to_json(&At { path: format!("{}[{i}]", at.path), node }, findings);
            // Every item is looked at, so that every error in it is found.
            let items: Vec<_> = items.iter().enumerate().map(item).collect();
            items.into_iter().collect::<Option<_>>().map(Json::Array)
        }
        Value::Map(entries) => {
            let mut map = Map::new();
            let mut whole = true;
            for (key, node) in entries {
                match to_json(&At { path: join(&at.path, &key.text), node }, findings) {
                    Some(value) => {
                        map.insert(key.text.clone(), value);
                    }
                    None => whole = false,
                }
            }
            whole.then_some(Json::Object(map))
        }
    }
}

fn to_number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    if let Ok(integer) = text.parse::<u64>() {
        return Some(integer.into());
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    text.parse().ok().and_then(Number::from_f64)
}
