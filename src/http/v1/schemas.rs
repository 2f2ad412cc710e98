//! Schemas: installed, listed, removed.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::schemas;
use crate::http::Http;
use crate::http::call::YamlCall;
use crate::http::caller::{Anytime, Caller};
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// Install a schema version
///
/// Needs `schemas:write`. The body is the YAML file. A version is immutable and greater than the latest; a breaking one
/// has a greater major. With `dry_run`, nothing is installed: the answer says what would come of it.
#[utoipa::path(
    post, path = "/api/v1/schemas", tag = "schemas", operation_id = "installSchema",
    params(
        ("dry_run" = Option<bool>, Query, description = "Only say what would come of it"),
        ("force" = Option<bool>, Query, description = "Install a breaking change in spite of its version"),
    ),
    request_body(content = String, content_type = "application/yaml", description = "The schema file",
        example = json!(examples::schema_file())),
    responses(
        (status = 201, body = models::Installation, description = "The version was installed",
            headers(("Location" = String, description = "Where the schema is")),
            example = json!(examples::installation())),
        (status = 200, body = models::Installation, description = "What `dry_run` found",
            example = json!(examples::installation())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "The version is installed already, or is not greater than the latest"),
        problems::Authenticated, problems::WithBody,
    )
)]
pub(in crate::http) async fn install(
    State(http): State<Http>,
    Anytime(who): Anytime,
    call: YamlCall,
) -> Result<Response, Problem> {
    let options = requests::install_options(&call.uri)?;
    let report = schemas::install(&http.app, &who, &call.text, options.force, options.dry_run).await?;
    responses::installation(&report, options.dry_run)
}

/// List schemas
///
/// Needs `schemas:read`.
#[utoipa::path(
    get, path = "/api/v1/schemas", tag = "schemas", operation_id = "listSchemas",
    responses(
        (status = 200, body = models::SchemaList, description = "The schemas that the key sees, by name",
            example = json!(examples::schemas())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::schema_list(&schemas::list(&http.app, &who)?)
}

/// Read a schema
///
/// Needs `schemas:read`.
#[utoipa::path(
    get, path = "/api/v1/schemas/{name}", tag = "schemas", operation_id = "getSchema",
    params(("name" = String, Path, description = "The schema's name", example = "ti:sample")),
    responses(
        (status = 200, body = models::SchemaAnswer, description = "The schema's latest version, with its file",
            example = json!(examples::schema())),
        problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn get(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(name): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::schema(&schemas::get(&http.app, &who, &name)?)
}

/// Remove a schema with its versions and tasks
///
/// Needs `schemas:write`. Its live deliveries end, keys that see it alone are revoked, registered endpoints that ask for
/// it alone go, others ask for it no more, and the log stays. With `dry_run`, nothing is removed: the answer says what
/// would go.
#[utoipa::path(
    delete, path = "/api/v1/schemas/{name}", tag = "schemas", operation_id = "removeSchema",
    params(
        ("name" = String, Path, description = "The schema's name", example = "ti:sample"),
        ("dry_run" = Option<bool>, Query, description = "Only say what would go"),
    ),
    responses(
        (status = 200, body = models::Removal, description = "What was removed",
            example = json!(examples::removal())),
        problems::Unkeyed, problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn remove(
    State(http): State<Http>,
    Anytime(who): Anytime,
    Segment(name): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    let dry_run = requests::dry_run(&uri)?;
    let report = schemas::remove(&http.app, &who, &name, dry_run).await?;
    responses::removal(&report)
}
