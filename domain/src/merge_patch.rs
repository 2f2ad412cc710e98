//! JSON Merge Patch (RFC 7396) on documents as they were sent: what is not touched keeps its bytes, and objects their
//! order.

use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Document;

/// The text of a document with a patch merged into it.
pub fn merge(target: Option<&Document>, patch: &Document) -> String {
    let mut text = String::new();
    write(&mut text, target.map(Document::as_str), patch.as_str());
    text
}

type Members<'a> = Vec<(String, &'a RawValue)>;

fn write(text: &mut String, target: Option<&str>, patch: &str) {
    let Some(patch) = members(patch) else {
        text.push_str(patch);
        return;
    };
    let target = target.and_then(members).unwrap_or_default();
    let mut object = Object { text, is_empty: true };
    for (name, value) in &target {
        match change(&patch, name) {
            None => object.member(name).push_str(value.get()),
            Some("null") => {}
            Some(change) => write(object.member(name), Some(value.get()), change),
        }
    }
    for (name, change) in patch.iter().filter(|(_, change)| change.get() != "null") {
        if target.iter().all(|(known, _)| known != name) {
            write(object.member(name), None, change.get());
        }
    }
    object.end();
}

fn change<'a>(patch: &Members<'a>, name: &str) -> Option<&'a str> {
    patch.iter().find(|(changed, _)| changed == name).map(|(_, change)| change.get())
}

/// An object as it is written.
struct Object<'a> {
    text: &'a mut String,
    is_empty: bool,
}

impl Object<'_> {
    /// Begins a member; what is written next is its value.
    fn member(&mut self, name: &str) -> &mut String {
        self.text.push(if std::mem::take(&mut self.is_empty) { '{' } else { ',' });
        self.text.push_str(&serde_json::Value::from(name).to_string());
        self.text.push(':');
        self.text
    }

    fn end(self) {
        self.text.push_str(if self.is_empty { "{}" } else { "}" });
    }
}

/// The members of an object, in order; none if it is another value.
fn members(text: &str) -> Option<Members<'_>> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    if !text.starts_with('{') {
        return None;
    }
    serde_json::Deserializer::from_str(text).deserialize_map(InOrder).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::testing::document;

    fn merged(target: Option<&str>, patch: &str) -> String {
        merge(target.map(document).as_ref(), &document(patch))
    }

    /// The examples of RFC 7396, appendix A, whose target is an object or absent.
    #[test]
    fn does_what_the_rfc_says() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(Some(target), patch), expected, "{target} {patch}");
        }
        assert_eq!(merged(None, r#"{"a":1,"b":null}"#), r#"{"a":1}"#);
    }

    #[test]
    fn what_is_not_touched_keeps_its_bytes() {
        let target = "{ \"z\" : 1.10, \"a\\u00e9\" : { \"n\": 1e2 , \"m\": [ 1 ] },\n\"b\":2}";
        assert_eq!(
            merged(Some(target), r#"{"aé":{"m":null},"b":3.0}"#),
            "{\"z\":1.10,\"aé\":{\"n\":1e2},\"b\":3.0}"
        );
    }

    fn naive(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { return patch };
        let Value::Object(mut target) = target else {
            return naive(serde_json::json!({}), Value::Object(patch));
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(&name);
            } else {
                let before = target.remove(&name).unwrap_or(Value::Null);
                target.insert(name, naive(before, value));
            }
        }
        Value::Object(target)
    }

    /// Small objects, whose members often have the same names.
    fn objects() -> impl Strategy<Value = Document> {
        let leaves =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..9).prop_map(Value::from)];
        let values = leaves.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", values, 0..4)
            .prop_map(|members| document(&Value::Object(members.into_iter().collect()).to_string()))
    }

    proptest! {
        #[test]
        fn is_the_same_as_merging_values(target in objects(), patch in objects()) {
            let expected = naive(target.to_value(), patch.to_value());
            let merged: Value = serde_json::from_str(&merge(Some(&target), &patch)).expect("JSON");
            prop_assert_eq!(&merged, &expected);
            // Once more changes nothing.
            let again = merge(Some(&document(&merged.to_string())), &patch);
            prop_assert_eq!(serde_json::from_str::<Value>(&again).expect("JSON"), expected);
        }
    }
}
