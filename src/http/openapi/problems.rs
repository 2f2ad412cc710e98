//! The errors that operations share, each as one set of responses.

use std::collections::BTreeMap;

use task_inbox_domain::cursor::LogCursor;
use task_inbox_domain::schema::validate::Problem as Invalid;
use utoipa::IntoResponses;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Type,
};

use crate::app::AppError;
use crate::http::problem::{Kind, MEDIA_TYPE, Problem};

type Responses = BTreeMap<String, RefOr<Response>>;

/// What any operation may answer.
pub(in crate::http) struct Open;

impl IntoResponses for Open {
    fn responses() -> Responses {
        set([
            (406, "`Accept` lets no JSON through"),
            (500, "A fault of the service"),
            (503, "Overloaded, without its database, or in maintenance: try again after `Retry-After`"),
        ])
    }
}

/// What an operation may answer that needs a credential.
pub(in crate::http) struct Authenticated;

impl IntoResponses for Authenticated {
    fn responses() -> Responses {
        let mut responses = set([
            (400, "A malformed or unknown parameter, header or body, or two different keys"),
            (401, "No credential"),
            (403, "An unknown, revoked or expired key, or one without the permission"),
            (429, "Over the key's rate: try again after `Retry-After`"),
        ]);
        responses.append(&mut Open::responses());
        responses
    }
}

/// What an operation may answer that names a thing.
pub(in crate::http) struct NotFound;

impl IntoResponses for NotFound {
    fn responses() -> Responses {
        set([(404, "An unknown schema, type or task, or one outside the key's schemas")])
    }
}

/// What an operation may answer that takes a body.
pub(in crate::http) struct WithBody;

impl IntoResponses for WithBody {
    fn responses() -> Responses {
        set([
            (408, "The body took too long to arrive"),
            (413, "The body is over 512 KiB"),
            (415, "The body is of another type"),
            (
                422,
                "Well-formed, but not valid: `errors` lists what is wrong and where; or an `Idempotency-Key` where it \
                 is not honoured",
            ),
        ])
    }
}

/// What a write without a body may answer.
pub(in crate::http) struct Unkeyed;

impl IntoResponses for Unkeyed {
    fn responses() -> Responses {
        set([(
            422,
            "An `Idempotency-Key`, which this does not honour: the detail says what makes it safe to repeat",
        )])
    }
}

fn set<const N: usize>(described: [(u16, &str); N]) -> Responses {
    described.into_iter().map(|(status, text)| (status.to_string(), response(status, text).into())).collect()
}

fn response(status: u16, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(description).content(MEDIA_TYPE, content);
    let (name, text, kind) = match status {
        401 => ("WWW-Authenticate", "The scheme that is expected", Type::String),
        429 | 503 => ("Retry-After", "Seconds to wait", Type::Integer),
        _ => return response.build(),
    };
    let header =
        HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(kind))).description(Some(text));
    response.header(name, header.build()).build()
}

/// Puts a real problem document beside every error of every operation.
pub(in crate::http) fn add_examples(openapi: &mut OpenApi) {
    for (path, item) in &mut openapi.paths.paths {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
        {
            add_to(operation, path);
        }
    }
}

fn add_to(operation: &mut Operation, path: &str) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let kind = status.parse().ok().and_then(Kind::of_status);
        if let (Some(kind), Some(RefOr::T(content))) = (kind, response.content.get_mut(MEDIA_TYPE)) {
            content.example = Some(example(kind, &response.description, path));
        }
    }
}

fn example(kind: Kind, description: &str, path: &str) -> serde_json::Value {
    let problem = match kind {
        Kind::Invalid => {
            let errors = vec![Invalid::new("/schema_name", "is required")];
            Problem::invalid(
                "the body is JSON, but not what this call takes; errors lists what is wrong",
                errors,
            )
        }
        Kind::Gone => {
            let floor = 9000;
            let detail =
                format!("events up to {floor} have been trimmed; begin at {}", LogCursor(floor).encode());
            AppError::Gone { detail, floor }.into()
        }
        Kind::Internal => Problem::internal(""),
        _ => Problem::new(kind, description),
    };
    problem.example(path)
}
