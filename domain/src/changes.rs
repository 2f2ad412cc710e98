//! What differs between two versions of what a task says.

use serde::Serialize;
use serde_json::Value;

/// The most changes that are listed.
pub const MAX_CHANGES: usize = 100;

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

/// What differs, each as deep inside objects as it can be told; an array is one value. At most [`MAX_CHANGES`].
pub fn between(pointer: &str, from: Option<&Value>, to: Option<&Value>) -> Vec<Change> {
    let mut changes = Vec::new();
    walk(pointer, from, to, &mut changes);
    changes
}

fn walk(pointer: &str, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Change>) {
    if from == to || changes.len() == MAX_CHANGES {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (from, to) {
        for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
            let name_in_pointer = name.replace('~', "~0").replace('/', "~1");
            walk(&format!("{pointer}/{name_in_pointer}"), old.get(name), new.get(name), changes);
        }
        return;
    }
    changes.push(Change { pointer: pointer.to_owned(), from: from.cloned(), to: to.cloned() });
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
    }
}
