//! The API's description: OpenAPI 3.1, generated from the route table.
//!
//! `openapi/openapi.json` holds it, committed; a test compares the two.

pub(super) mod examples;
pub(super) mod models;
pub(super) mod problems;
mod tidy;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement,
    ServerBuilder, Tag,
};

use super::Http;
pub(super) use tidy::tidy;

const DESCRIPTION: &str = "\
An application server posts a task that a person must decide; a person decides it in the inbox; the \
application server hears of each change by a signed webhook.

Every path is served with and without a trailing slash. Every error is `application/problem+json` \
(RFC 9457); for a body that is not valid, `errors` lists each fault with its JSON pointer. A `null` equals \
an absent field (but where a call changes a thing, and says so), and fields and parameters that a call doesn't know are refused, never ignored. A body has \
at most 512 KiB, `meta` and `output` 256 KiB each. Times are RFC 3339 in UTC with microseconds. Every answer \
carries `x-request-id`: the caller's own, or a new one; the service's log knows it.";

/// The whole description.
pub fn openapi() -> OpenApi {
    super::routes::table().1
}

/// The description before any route is added to it.
pub(super) fn base() -> OpenApi {
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("task-inbox")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build())),
        )
        .servers(Some([ServerBuilder::new()
            .url("/")
            .description(Some("Where this document comes from"))
            .build()]))
        .tags(Some([
            tag("tasks", "Tasks: posted by programs, decided by people"),
            tag("events", "The log of every change"),
            tag("schemas", "Schemas: which tasks there are and which states they take"),
            tag("keys", "API keys, which programs call with, and webhook keys, which receivers verify with"),
            tag("deliveries", "Where webhooks go, whether they got there, and sending them again"),
            tag("maintenance", "Refusing writes for a while, with a message; reads go on"),
            tag("audit", "Proving that the log is what was written"),
            tag("health", "Whether the service works, for operators and orchestrators"),
            tag("meta", "The API about itself"),
        ]))
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme(
                    "apiKey",
                    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                        "api-key",
                        "A key made by `task-inbox api_key`",
                    ))),
                )
                .security_scheme(
                    "bearer",
                    SecurityScheme::Http(
                        HttpBuilder::new()
                            .scheme(HttpAuthScheme::Bearer)
                            .description(Some("The same key as a bearer token"))
                            .build(),
                    ),
                )
                .build(),
        ))
        .security(Some([requirement("apiKey"), requirement("bearer")]))
        .build()
}

fn tag(name: &str, description: &str) -> Tag {
    TagBuilder::new().name(name).description(Some(description)).build()
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, Vec::<String>::new())
}

/// The description as it is committed and served.
pub(super) fn to_text(openapi: &OpenApi) -> String {
    let mut text = openapi.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Read this description
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "meta", operation_id = "getOpenApi", security(()),
    responses(
        (status = 200, body = serde_json::Value, description = "OpenAPI 3.1"),
        problems::Open,
    )
)]
pub(super) async fn serve(State(http): State<Http>) -> Response {
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (StatusCode::OK, json, http.openapi.clone()).into_response()
}
