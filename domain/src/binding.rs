//! What a decision is bound to: the values that its task's type names in `binds`, as a hash.
//!
//! Who acts on a decision computes the hash over what it is about to do. If it is another, something was decided
//! that is not this.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::Document;
use crate::schema::TaskType;

/// The values that a decision about a task is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// `sha256:` and the hexadecimal SHA-256 of a JSON object, in its canonical form (RFC 8785), of which the keys are
    /// `paths` and the values what the task has there; what it doesn't have is left out.
    pub hash: String,
    /// JSON pointers (RFC 6901) into the task.
    pub paths: Vec<String>,
}

impl Binding {
    /// The values of a task of this type that says `meta`; none if its type binds nothing.
    pub fn of(ttype: &TaskType, meta: Option<&Document>) -> Option<Self> {
        if ttype.binds.is_empty() {
            return None;
        }
        let task = serde_json::json!({ "meta": meta.map(Document::to_value) });
        let value = |path: &String| Some((path.clone(), task.pointer(path)?.clone()));
        let values: Map<String, Value> = ttype.binds.iter().filter_map(value).collect();
        let text = canonical(&Value::Object(values));
        Some(Self { hash: format!("sha256:{}", hex(&Sha256::digest(text))), paths: ttype.binds.clone() })
    }
}

/// The canonical form of a value (RFC 8785), the same for all that means the same.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("documents hold what I-JSON can carry")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{document, task_type};

    fn hash(binds: &str, meta: &str) -> String {
        let ttype = task_type(&format!("resolved_states: [r]\nbinds: {binds}"));
        Binding::of(&ttype, Some(&document(meta))).expect("it binds").hash
    }

    /// By `printf '%s' '{"/meta/amount":12.5,"/meta/to":"é"}' | sha256sum`.
    #[test]
    fn the_hash_is_that_of_the_canonical_text() {
        let expected = "sha256:271a303ea9f48b1f0d3860b9b03041092cd29040c444151b66d7b9ac2d913074";
        let found = hash("[/meta/to, /meta/amount]", r#"{"to":"\u00e9","amount":12.50,"note":1}"#);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_means_the_same_is_the_same_and_nothing_else() {
        let binds = "[/meta/a, /meta/b/0]";
        let one = hash(binds, r#"{"a":1,"b":["x"],"c":1}"#);
        assert_eq!(one, hash(binds, r#"{"c":2,"b":["x","y"],"a":1.0}"#));
        for other in [
            r#"{"a":2,"b":["x"]}"#,
            r#"{"a":"1","b":["x"]}"#,
            r#"{"a":1}"#,
            r#"{"a":1,"b":[null]}"#,
            r#"{"a":1,"b":["X"]}"#,
        ] {
            assert_ne!(one, hash(binds, other), "{other}");
        }
        assert_ne!(hash(binds, r#"{"a":null}"#), hash(binds, "{}"));
        assert!(Binding::of(&task_type("resolved_states: [r]"), None).is_none());
    }
}
