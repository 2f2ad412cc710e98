//! What differs between two versions of what a task says.

use serde::Serialize;
use serde_json::Value;

/// The most changes that are listed.
pub const MAX_CHANGES: usize = 100;

/// The most bytes of them: pointers, and values as JSON.
pub const MAX_BYTES: usize = 64 * 1024;

/// One value that is another now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What was there; left out if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What is there now; left out if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// What differs, each as deep inside objects as it can be told; an array is one value. The first [`MAX_CHANGES`], and
/// only as many as are [`MAX_BYTES`] together.
pub fn between(pointer: &str, from: Option<&Value>, to: Option<&Value>) -> Vec<Change> {
    let mut found = Found { changes: Vec::new(), room: MAX_BYTES };
    if from != to {
        // To be stopped is no failure: then these are all that is told.
        let _ = found.walk(pointer, from, to);
    }
    found.changes
}

struct Found {
    changes: Vec<Change>,
    room: usize,
}

impl Found {
    /// `None` once there is no room for more.
    fn walk(&mut self, pointer: &str, from: Option<&Value>, to: Option<&Value>) -> Option<()> {
        if let (Some(Value::Object(old)), Some(Value::Object(new))) = (from, to) {
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let (from, to) = (old.get(name), new.get(name));
                if from != to {
                    let member = name.replace('~', "~0").replace('/', "~1");
                    self.walk(&format!("{pointer}/{member}"), from, to)?;
                }
            }
            return Some(());
        }
        let bytes = |value: Option<&Value>| value.map_or(0, |value| value.to_string().len());
        self.room = self.room.checked_sub(pointer.len() + bytes(from) + bytes(to))?;
        self.changes.push(Change { pointer: pointer.to_owned(), from: from.cloned(), to: to.cloned() });
        (self.changes.len() < MAX_CHANGES).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_the_deepest_place_in_objects() {
        let old = json!({"a": 1, "b": {"c": [1], "d~/": null}, "same": {"x": 1}, "gone": 1});
        let new = json!({"a": 2, "b": {"c": [1, 2], "d~/": {}}, "same": {"x": 1}, "new": null});
        let found: Vec<_> = between("/meta", Some(&old), Some(&new))
            .into_iter()
            .map(|change| (change.pointer, change.from, change.to))
            .collect();
        let expected = [
            ("/meta/a", Some(json!(1)), Some(json!(2))),
            ("/meta/b/c", Some(json!([1])), Some(json!([1, 2]))),
            ("/meta/b/d~0~1", Some(json!(null)), Some(json!({}))),
            ("/meta/gone", Some(json!(1)), None),
            ("/meta/new", None, Some(json!(null))),
        ];
        assert_eq!(found, expected.map(|(pointer, from, to)| (pointer.to_owned(), from, to)));
    }

    #[test]
    fn lists_no_more_than_a_page() {
        let object = |n: usize| {
            json!((0..200).map(|i| (i.to_string(), n)).collect::<std::collections::BTreeMap<_, _>>())
        };
        assert_eq!(between("", Some(&object(1)), Some(&object(2))).len(), MAX_CHANGES);
        assert!(between("", Some(&object(1)), Some(&object(1))).is_empty());
        let bytes = |changes: &[Change]| serde_json::to_string(changes).expect("JSON").len();
        // A long name is in each pointer below it, twice as long.
        let below = |n: usize| json!({ "/".repeat(10_000): object(n) });
        let found = between("", Some(&below(1)), Some(&below(2)));
        assert!(found.len() == 3 && bytes(&found) < MAX_BYTES, "{}", found.len());
        let (long, short) = (json!({"a": 1, "b": "x".repeat(MAX_BYTES)}), json!({"a": 2, "b": "y"}));
        assert_eq!(between("", Some(&long), Some(&short)).len(), 1, "what has room is told");
    }
}
