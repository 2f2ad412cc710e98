//! JSON Schemas of `meta` and `output`, compiled.
//!
//! Compiling reads nothing but the schema itself: a `$ref` to another document is refused, and
//! patterns run on an engine whose time is linear in the text.

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, ValidationError};
use serde::Serialize;
use serde_json::Value;

use crate::Document;

/// The most problems that one check lists.
pub const MAX_PROBLEMS: usize = 50;

/// The longest `detail`, in characters.
const MAX_DETAIL: usize = 400;

/// The longest quotation from a schema, in characters.
const MAX_SHOWN: usize = 100;

/// The one dialect of JSON Schema.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// One thing that is wrong with a request's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer into the body (RFC 6901).
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A compiled JSON Schema (2020-12). Cheap to clone.
#[derive(Clone)]
pub struct Validator(Arc<Inner>);

struct Inner {
    schema: Value,
    compiled: jsonschema::Validator,
}

impl Validator {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it: not a JSON Schema of this draft, a `$ref` to another
    /// document, a pattern that the linear-time engine doesn't know.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        Self::compile_or_list(schema).map_err(|problems| {
            let lines: Vec<_> = problems
                .into_iter()
                .map(|p| if p.pointer.is_empty() { p.detail } else { format!("{}: {}", p.pointer, p.detail) })
                .collect();
            lines.join("; ")
        })
    }

    /// Compiles a schema, as [`Validator::compile`] does.
    ///
    /// # Errors
    ///
    /// Lists what is wrong with it, with pointers into the schema; never empty, and at most
    /// [`MAX_PROBLEMS`].
    pub fn compile_or_list(schema: &Value) -> Result<Self, Vec<Problem>> {
        if let Some(dialect) = schema.get("$schema").filter(|d| !is_our_dialect(d)) {
            let detail = format!("{dialect} is not the dialect in use, {DIALECT}; leave $schema out");
            return Err(vec![Problem::new("/$schema", detail)]);
        }
        let meta = jsonschema::draft202012::meta::validator();
        let problems: Vec<_> = meta.iter_errors(schema).take(MAX_PROBLEMS).map(|e| of_schema(&e)).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let compiled = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .offline()
            .build(schema)
            .map_err(|e| vec![of_schema(&e)])?;
        Ok(Self(Arc::new(Inner { schema: schema.clone(), compiled })))
    }

    /// Lists what is wrong with a document, with pointers that start with `base`; at most
    /// [`MAX_PROBLEMS`].
    ///
    /// An absent document is one problem, unless the schema accepts `null`.
    pub fn check(&self, base: &str, document: Option<&Document>) -> Vec<Problem> {
        let Some(document) = document else {
            return if self.0.compiled.is_valid(&Value::Null) {
                Vec::new()
            } else {
                vec![Problem::new(base, "is required")]
            };
        };
        let value = document.to_value();
        self.0
            .compiled
            .iter_errors(&value)
            .take(MAX_PROBLEMS)
            .map(|e| {
                let detail = e.masked_with("the value").to_string();
                Problem::new(format!("{base}{}", e.instance_path()), shortened(&detail, MAX_DETAIL))
            })
            .collect()
    }

    /// The schema, as JSON.
    pub fn schema(&self) -> &Value {
        &self.0.schema
    }
}

fn is_our_dialect(dialect: &Value) -> bool {
    dialect.as_str().is_some_and(|d| d.strip_suffix('#').unwrap_or(d) == DIALECT)
}

/// What is wrong with a schema, in words that say what to write instead.
fn of_schema(error: &ValidationError<'_>) -> Problem {
    let pointer = error.instance_path().to_string();
    let shown = shortened(&error.instance().to_string(), MAX_SHOWN);
    let said = error.masked_with("this").to_string();
    let detail = if pointer.ends_with("/type") || pointer == "/type" {
        format!(
            "{shown} is not a type: array, boolean, integer, null, number, object, string, or a list of them"
        )
    } else if said.contains("\"regex\"") {
        format!(
            "{shown} is not a pattern of the linear-time engine, which has no look-around and no \
                 back-references, and limits the size"
        )
    } else if said.contains("Retrieval is disabled") {
        format!("a $ref may only point into the same schema: {said}")
    } else {
        said
    };
    Problem::new(pointer, shortened(&detail, MAX_DETAIL))
}

/// Details quote the schema (an `enum`, a `pattern`), which may be long.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Validator").field(&self.0.schema).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compiled(schema: &Value) -> Validator {
        Validator::compile(schema).expect("valid")
    }

    fn document(value: &Value) -> Document {
        Document::parse(&value.to_string()).expect("valid")
    }

    fn problems(schema: &Value, value: &Value) -> Vec<(String, String)> {
        let found = compiled(schema).check("/meta", Some(&document(value)));
        found.into_iter().map(|p| (p.pointer, p.detail)).collect()
    }

    #[test]
    fn points_at_what_is_wrong() {
        let schema = json!({
            "type": "object",
            "required": ["url"],
            "properties": {"n": {"type": "array", "items": {"maximum": 3}}, "a/b~c": {"type": "string"}},
        });
        let mut found = problems(&schema, &json!({"n": [1, 5], "a/b~c": 1}));
        found.sort();
        assert_eq!(
            found,
            [
                ("/meta".to_owned(), "\"url\" is a required property".to_owned()),
                ("/meta/a~1b~0c".to_owned(), "the value is not of type \"string\"".to_owned()),
                ("/meta/n/1".to_owned(), "the value is greater than the maximum of 3".to_owned()),
            ]
        );
        assert!(problems(&schema, &json!({"url": ""})).is_empty());
    }

    #[test]
    fn an_absent_document_is_one_problem_unless_null_will_do() {
        let missing = [Problem::new("/output", "is required")];
        assert_eq!(compiled(&json!({"type": "object"})).check("/output", None), missing);
        assert!(compiled(&json!({"type": ["object", "null"]})).check("/output", None).is_empty());
        assert!(compiled(&json!({})).check("/output", None).is_empty());
        // `null` as sent is a value, and checked as one.
        let null = document(&json!(null));
        assert_eq!(compiled(&json!({"type": "object"})).check("/output", Some(&null))[0].pointer, "/output");
    }

    #[test]
    fn lists_are_limited() {
        let schema = json!({"items": {"type": "string"}});
        assert_eq!(problems(&schema, &json!(vec![1; 1000])).len(), MAX_PROBLEMS);
        let long = json!({"enum": ["x".repeat(5000)]});
        assert!(problems(&long, &json!(1))[0].1.chars().count() <= MAX_DETAIL + 1);
        // Values are never quoted: they may be long, and errors get logged.
        assert!(!problems(&json!({"type": "string"}), &json!({"secret": 1}))[0].1.contains("secret"));
    }

    #[test]
    fn refuses_what_is_no_schema_of_this_draft() {
        for (schema, pointer, said) in [
            (json!({"type": "strin"}), "/type", "\"strin\" is not a type: array"),
            (
                json!({"properties": {"a": {"minLength": -1}}}),
                "/properties/a/minLength",
                "less than the minimum",
            ),
            (json!({"pattern": "(?!a)"}), "/pattern", "linear-time"),
            (json!({"pattern": "(a)\\1"}), "/pattern", "linear-time"),
            (json!({"pattern": "((a{100}){100}){100}"}), "/pattern", "linear-time"),
            (json!({"$ref": "https://example.com/a"}), "", "may only point into the same schema"),
            (json!({"$ref": "file:///etc/passwd"}), "", "may only point into the same schema"),
            (json!({"$ref": "#/$defs/a"}), "", "does not exist"),
            (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "/$schema", "dialect"),
            (json!({"$schema": 1}), "/$schema", "dialect"),
            (json!([]), "", "not of types"),
        ] {
            let problems = Validator::compile_or_list(&schema).expect_err("refused");
            assert!(
                problems.iter().any(|p| p.pointer == pointer && p.detail.contains(said)),
                "{schema}: {problems:?}"
            );
        }
        assert_eq!(
            Validator::compile_or_list(&json!({"type": 1, "required": "a"})).expect_err("two").len(),
            2
        );
        assert!(Validator::compile(&json!({"required": "a"})).expect_err("one").starts_with("/required: "));
    }

    #[test]
    fn the_dialect_may_be_named() {
        assert!(Validator::compile(&json!({"$schema": DIALECT})).is_ok());
        assert!(Validator::compile(&json!({"$schema": format!("{DIALECT}#")})).is_ok());
    }

    #[test]
    fn references_may_go_in_circles() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
            json!({"properties": {"next": {"$ref": "#"}}, "type": "object"}),
        ] {
            let value = json!({"next": {"next": {}}});
            assert!(problems(&schema, &value).is_empty(), "{schema}");
        }
    }

    #[test]
    fn bad_patterns_cost_no_time() {
        let schema = json!({"pattern": "^(a+)+$"});
        // A backtracking engine would never come back from this.
        assert_eq!(problems(&schema, &json!(format!("{}!", "a".repeat(100_000)))).len(), 1);
    }

    #[test]
    fn debug_shows_the_schema() {
        assert!(format!("{:?}", compiled(&json!({"type": "object"}))).contains("object"));
    }
}
