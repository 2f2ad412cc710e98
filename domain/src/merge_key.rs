//! Which tasks replace each other: those of one type that have the same merge key.

use serde_json::Value;

use crate::Document;
use crate::binding::canonical;
use crate::schema::TaskType;
use crate::schema::validate::Problem;

/// The longest merge key, in characters.
pub const MAX_CHARS: usize = 256;

/// The key of a task of this type that says `meta`, after the type's `merge_key`. One value is its own text; several
/// are a JSON array; so the number 7 alone is the same as the text 7. A task that lacks one of them has no key, and neither has one whose type names none.
///
/// # Errors
///
/// A value is no text, number or boolean, is empty or holds control characters, or the key is longer than [`MAX_CHARS`].
pub fn of(ttype: &TaskType, meta: Option<&Document>) -> Result<Option<String>, Problem> {
    if ttype.merge_key.is_empty() {
        return Ok(None);
    }
    let meta = meta.map_or(Value::Null, Document::to_value);
    let mut values = Vec::new();
    for pointer in &ttype.merge_key {
        match meta.pointer(pointer) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(_) | Value::Array(_)) => {
                let detail = "is what tasks are merged by: it must be text, a number or a boolean".to_owned();
                return Err(Problem::new(format!("/meta{pointer}"), detail));
            }
            Some(value) => values.push(value),
        }
    }
    let text = match values.as_slice() {
        [Value::String(text)] => text.clone(),
        [value] => text_of(value),
        _ => text_of(&Value::Array(values.into_iter().cloned().collect())),
    };
    let pointer = || format!("/meta{}", ttype.merge_key[0]);
    match check(&text) {
        Ok(()) => Ok(Some(text)),
        Err(detail) => Err(Problem::new(pointer(), format!("is what tasks are merged by: it {detail}"))),
    }
}

/// Whether a text can be a merge key.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if (1..=MAX_CHARS).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("has {length} characters; it must be 1 to {MAX_CHARS}, without control characters"))
}

fn text_of(value: &Value) -> String {
    String::from_utf8_lossy(&canonical(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{document, task_type};

    fn key(pointers: &str, meta: &str) -> Result<Option<String>, Problem> {
        of(&task_type(&format!("resolved_states: [r]\nmerge_key: {pointers}")), Some(&document(meta)))
    }

    #[test]
    fn one_value_is_its_text_and_several_are_an_array() {
        assert_eq!(key("/user/id", r#"{"user":{"id":"u7"}}"#), Ok(Some("u7".to_owned())));
        assert_eq!(key("/n", r#"{"n":7.0}"#), Ok(Some("7".to_owned())));
        assert_eq!(key("[/a, /b]", r#"{"b":true,"a":"x,y"}"#), Ok(Some(r#"["x,y",true]"#.to_owned())));
        for none in ["{}", r#"{"a":null,"b":1}"#, r#"{"a":1}"#] {
            assert_eq!(key("[/a, /b]", none), Ok(None), "{none}");
        }
    }

    #[test]
    fn what_is_no_key_is_told_where_it_stands() {
        assert_eq!(key("/a", r#"{"a":[1]}"#).expect_err("no scalar").pointer, "/meta/a");
        assert!(key("/a", r#"{"a":""}"#).expect_err("empty").detail.contains("1 to 256"));
        assert!(key("/a", r#"{"a":"x\n"}"#).is_err());
        assert!(key("/a", &format!(r#"{{"a":"{}"}}"#, "x".repeat(257))).is_err());
    }
}
