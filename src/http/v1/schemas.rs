//! Schemas: installed, listed, removed.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::schemas;
use crate::http::Http;
use crate::http::call::YamlCall;
use crate::http::caller::Caller;
use crate::http::openapi::{models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// Install a schema version
///
/// A version is immutable, and a new one is greater than the latest. Tasks that are there stay on
/// theirs. A breaking change needs a new major version (before 1.0, a new minor one), or `force`.
#[utoipa::path(
    post, path = "/api/v1/schemas", tag = "schemas", operation_id = "installSchema",
    params(
        ("dry_run" = Option<bool>, Query, description = "Only say what would come of it"),
        ("force" = Option<bool>, Query, description = "Install a breaking change whatever its version"),
    ),
    request_body(content = String, content_type = "application/yaml",
        description = "The schema file; `text/yaml` and `text/plain` do as well",
        example = json!("name: 'ti:sample'\nsemver: '1'\ntasktypes:\n- name: delete-acct\n  resolved_states: ['deleted']\n")),
    responses(
        (status = 201, body = models::Installed, description = "Installed",
            headers(("Location" = String, description = "Where the schema is"))),
        (status = 200, body = models::Installed, description = "It would be installed (`dry_run`)"),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "The version is there already, or is not greater than the latest"),
        problems::Authenticated, problems::WithBody,
    )
)]
pub(in crate::http) async fn install(
    State(http): State<Http>,
    Caller(who): Caller,
    call: YamlCall,
) -> Result<Response, Problem> {
    let options = requests::install_options(&call.uri)?;
    let report = schemas::install(&http.app, &who, &call.text, options.force, options.dry_run).await?;
    responses::installed(&report, options.dry_run)
}

/// List the schemas that the key sees, by name
#[utoipa::path(
    get, path = "/api/v1/schemas", tag = "schemas", operation_id = "listSchemas",
    responses(
        (status = 200, body = models::SchemaList, description = "Each schema in its latest version"),
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

/// Read a schema in its latest version
#[utoipa::path(
    get, path = "/api/v1/schemas/{name}", tag = "schemas", operation_id = "getSchema",
    params(("name" = String, Path, description = "The schema's name", example = "ti:sample")),
    responses(
        (status = 200, body = models::SchemaAnswer, description = "The schema, with its file as installed"),
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

/// Remove a schema with all its versions and tasks
///
/// Frees the name and the versions for a new install. Live deliveries end; the log stays.
#[utoipa::path(
    delete, path = "/api/v1/schemas/{name}", tag = "schemas", operation_id = "removeSchema",
    params(
        ("name" = String, Path, description = "The schema's name", example = "ti:sample"),
        ("dry_run" = Option<bool>, Query, description = "Only count what would go"),
    ),
    responses(
        (status = 200, body = models::Removed, description = "What went, or with `dry_run` would go"),
        problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn remove(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(name): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    let dry_run = requests::dry_run(&uri)?;
    responses::removed(&schemas::remove(&http.app, &who, &name, dry_run).await?)
}
