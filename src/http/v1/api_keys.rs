//! API keys: made, listed, ended.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::keys;
use crate::http::Http;
use crate::http::call::Call;
use crate::http::caller::{Anytime, Caller};
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// Make an API key
///
/// Needs `keys:write`. The answer is the only time that the key is shown: only its hash is kept. A key
/// can't make one that may do or see more than it does, or that lasts longer or has a higher rate; what is
/// left open is as its own.
#[utoipa::path(
    post, path = "/api/v1/api-keys", tag = "keys", operation_id = "createApiKey",
    request_body(content = models::NewApiKey, description = "What it may do and see", examples(
        ("sender" = (summary = "For an application server that posts tasks of one schema",
            value = json!(examples::new_api_key()))),
        ("anything" = (summary = "`tasks:write` and `tasks:read` for all schemas, until it is revoked",
            value = json!({"name": "production"}))),
    )),
    responses(
        (status = 201, body = models::CreatedApiKey, description = "The key was made",
            headers(("Location" = String, description = "Where what is kept of it is")),
            example = json!(examples::created_api_key())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "The `key` that was given is there already"),
        problems::Authenticated, problems::WithBody,
    )
)]
pub(in crate::http) async fn create(
    State(http): State<Http>,
    Caller(who): Caller,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let new = requests::keys::new_api_key(&call.body)?;
    responses::keys::created_api_key(&keys::create(&http.app, &who, new).await?)
}

/// List API keys, oldest first
///
/// Needs `keys:write`. Revoked and expired keys are listed too. A key that is for some schemas sees
/// those keys alone that are for no others.
#[utoipa::path(
    get, path = "/api/v1/api-keys", tag = "keys", operation_id = "listApiKeys",
    responses(
        (status = 200, body = models::ApiKeyList, description = "The keys, without their secrets",
            example = json!(examples::api_keys())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::keys::api_key_list(&keys::list(&http.app, &who).await?)
}

/// Read an API key
///
/// Needs `keys:write`. The secret itself is not kept and can't be read.
#[utoipa::path(
    get, path = "/api/v1/api-keys/{id}", tag = "keys", operation_id = "getApiKey",
    params(("id" = uuid::Uuid, Path, description = "The key's id")),
    responses(
        (status = 200, body = models::ApiKey, description = "What is kept of the key",
            example = json!(examples::api_key())),
        problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn get(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::keys::api_key(&keys::get(&http.app, &who, requests::id(&id, "API key")?).await?)
}

/// Revoke an API key
///
/// Needs `keys:write`. Whoever uses the key is refused: on this server at once, on every replica
/// within a second. Revoking twice is the same as once; a revoked key stays in the list. Endpoints that were registered
/// with it stay too, and go on hearing: `GET /api/v1/endpoints?origin=registered`.
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{id}", tag = "keys", operation_id = "revokeApiKey",
    params(("id" = uuid::Uuid, Path, description = "The key's id")),
    responses(
        (status = 200, body = models::ApiKey, description = "The key, which is revoked",
            example = json!(examples::revoked_api_key())),
        problems::Unkeyed, problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn revoke(
    State(http): State<Http>,
    Anytime(who): Anytime,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::keys::api_key(&keys::revoke(&http.app, &who, requests::id(&id, "API key")?).await?)
}
