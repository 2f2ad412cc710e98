//! The description: committed as it is generated, and sound.

use std::collections::HashSet;

use serde_json::Value;
use task_inbox::store::Engine;

use crate::contract::{TEXT, errors};
use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(is_served_to_anybody);

async fn is_served_to_anybody(engine: Engine) {
    let server = Server::start(engine).await;
    let answer = server.bare(reqwest::Method::GET, "/api/v1/openapi.json").send().await;
    let description = answer.ok(200);
    assert_eq!(description["info"]["title"], "task-inbox");
    assert!(description == document(), "what is served is not what is committed");
}

#[test]
fn the_committed_document_is_current() {
    let generated = task_inbox::http::openapi().to_json().expect("JSON");
    let generated: Value = serde_json::from_str(&generated).expect("JSON");
    assert!(
        generated == document(),
        "openapi/openapi.json is not what the routes say. Regenerate it: task-inbox openapi > openapi/openapi.json \
         (make generate)"
    );
}

fn document() -> Value {
    serde_json::from_str(TEXT).expect("JSON")
}

/// Every value in the document, with the name it stands under.
fn walk<'a>(value: &'a Value, name: &'a str, visit: &mut impl FnMut(&'a str, &'a Value)) {
    visit(name, value);
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| walk(value, name, visit)),
        Value::Array(items) => items.iter().for_each(|item| walk(item, name, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_used() {
    let document = document();
    let mut used = HashSet::new();
    walk(&document, "", &mut |name, value| {
        if name == "$ref" {
            let pointer = value.as_str().and_then(|r| r.strip_prefix('#')).expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
            used.insert(pointer.rsplit('/').next().expect("a name").to_owned());
        }
    });
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let unused: Vec<_> = schemas.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "never referred to: {unused:?}");
}

#[test]
fn every_operation_says_what_it_does_and_how_it_fails() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        assert!(!path.ends_with('/'), "{path}");
        for (method, operation) in item.as_object().expect("operations") {
            let place = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{place}: no summary");
            assert!(ids.insert(operation["operationId"].clone()), "{place}: operationId is taken");
            let in_path = path.matches('{').count();
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            assert_eq!(
                parameters.iter().filter(|p| p["in"] == "path").count(),
                in_path,
                "{place}: path parameters"
            );
            let permission = ["Needs `", "Needs no permission"]
                .map(|words| operation["description"].as_str().is_some_and(|d| d.contains(words)));
            let needs_none = operation["security"] == serde_json::json!([{}]);
            assert!(permission.contains(&true) || needs_none, "{place}: says no permission");
            let responses = operation["responses"].as_object().expect("responses");
            for (status, response) in responses {
                assert!(response["description"].as_str().is_some_and(|d| !d.is_empty()), "{place} {status}");
                let media_type =
                    if status.starts_with('2') { "application/json" } else { "application/problem+json" };
                assert!(response["content"][media_type].is_object(), "{place} {status}: no {media_type}");
            }
            let open = operation["security"] == serde_json::json!([{}]);
            assert_eq!(responses.contains_key("401"), !open, "{place}: 401");
        }
    }
}

/// The bodies of an operation, each with the place it stands in.
fn bodies(operation: &Value) -> Vec<(String, &Value)> {
    let answers = operation["responses"].as_object().expect("responses");
    let mut found: Vec<_> = answers
        .iter()
        .flat_map(|(status, r)| {
            r["content"].as_object().into_iter().flatten().map(move |(_, c)| (status.clone(), c))
        })
        .collect();
    let request = operation["requestBody"]["content"].as_object().into_iter().flatten();
    found.extend(request.map(|(_, content)| ("request".to_owned(), content)));
    found
}

#[test]
fn every_body_has_an_example_that_is_one() {
    let document = document();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            for (part, content) in bodies(operation) {
                let place = format!("{method} {path} {part}");
                let several = content["examples"].as_object().into_iter().flatten().map(|(_, e)| &e["value"]);
                let examples: Vec<_> = content.get("example").into_iter().chain(several).collect();
                // The description itself has none.
                let described = operation["operationId"] == "getOpenApi" && part == "200";
                assert!(described || !examples.is_empty(), "{place}: no example");
                for example in examples {
                    let errors = errors(&content["schema"], example);
                    assert!(errors.is_empty(), "{place}: {}\n{example}", errors.join("\n"));
                }
            }
        }
    }
}
