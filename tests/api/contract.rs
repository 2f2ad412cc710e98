//! Whether answers are what the committed OpenAPI document says.
//!
//! Every object of an answer is closed first: a field that the document doesn't describe fails the
//! test as one does that is missing.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Answer;

/// The committed document.
pub(crate) const TEXT: &str = include_str!("../../openapi/openapi.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(TEXT).expect("openapi/openapi.json is JSON");
    let schemas = document["components"]["schemas"].as_object_mut().expect("schemas");
    schemas.values_mut().for_each(close);
    document
});

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.contains_key("allOf") || object.contains_key("properties") {
        object.insert("unevaluatedProperties".to_owned(), json!(false));
    }
}

/// The described path that a request's path belongs to.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let matches = |template: &str| {
        let (mut a, mut b) = (template.split('/'), path.split('/'));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(part), Some(given)) if part == given || part.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    // `/schemas/{name}` comes after what is written out.
    let mut found: Vec<_> = paths.keys().filter(|t| matches(t)).collect();
    found.sort_by_key(|t| t.matches('{').count());
    found.first().map(|t| t.as_str())
}

/// Panics if an answer is not described.
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    let status = answer.status.as_u16();
    assert!(!answer.header("x-request-id").is_empty(), "{method} {path}: no x-request-id");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
    let operation = template(path).map(|t| &DOCUMENT["paths"][t][method.as_str().to_ascii_lowercase()]);
    let Some(operation) = operation.filter(|o| o.is_object()) else {
        assert!(
            // Metrics are for who operates the service, and no part of the API; a WebSocket and JSON-RPC can't be described.
            matches!(status, 404 | 405) || ["/metrics", "/realtime", "/mcp"].contains(&path),
            "{method} {path}: {status} from an operation that is not described"
        );
        return;
    };
    let response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "{method} {path}: the status {status} is not described");
    if !answer.header("content-encoding").is_empty() {
        return;
    }
    let media_type = answer.header("content-type");
    let schema = &response["content"][media_type]["schema"];
    assert!(schema.is_object(), "{method} {path}: {status} as {media_type:?} is not described");
    let errors = errors(schema, &answer.body());
    assert!(errors.is_empty(), "{method} {path}: {status} is not as described:\n{}", errors.join("\n"));
}

/// How a value differs from what a schema of the document says.
pub(crate) fn errors(schema: &Value, value: &Value) -> Vec<String> {
    validator(schema).iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

fn validator(schema: &Value) -> Arc<Validator> {
    let mut known = VALIDATORS.lock().expect("no test panicked in here");
    let made = known.entry(schema.to_string()).or_insert_with(|| {
        let mut whole = schema.clone();
        whole["components"] = DOCUMENT["components"].clone();
        let options =
            jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
        Arc::new(options.build(&whole).expect("a valid schema"))
    });
    made.clone()
}
