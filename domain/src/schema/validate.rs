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
