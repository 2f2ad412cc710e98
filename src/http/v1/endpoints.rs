//! Endpoints, to be looked at.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::endpoints;
use crate::http::Http;
use crate::http::caller::Caller;
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// List endpoints, by schema and type
///
/// Needs `endpoints:read`. An endpoint is where webhooks go: a schema's `default_hook_url`, or the
/// `hook_url` of one of its types. `held` says why deliveries wait, if they do, as this server sees it.
#[utoipa::path(
    get, path = "/api/v1/endpoints", tag = "deliveries", operation_id = "listEndpoints",
    params(
        ("schema" = Option<String>, Query, description = "Only endpoints of this schema", min_length = 1, max_length = 1024, example = "ti:sample"),
        ("status" = Option<models::EndpointStatus>, Query, description = "Only endpoints with this status"),
    ),
    responses(
        (status = 200, body = models::EndpointList, description = "The endpoints that the key sees",
            example = json!(examples::endpoints())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let filter = requests::deliveries::endpoint_list(&uri)?;
    responses::deliveries::endpoint_list(&endpoints::list(&http.app, &who, filter).await?)
}

/// Read an endpoint
///
/// Needs `endpoints:read`.
#[utoipa::path(
    get, path = "/api/v1/endpoints/{id}", tag = "deliveries", operation_id = "getEndpoint",
    params(("id" = uuid::Uuid, Path, description = "The endpoint's id")),
    responses(
        (status = 200, body = models::Endpoint, description = "The endpoint", example = json!(examples::endpoint())),
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
    let id = requests::id(&id, "endpoint")?;
    responses::deliveries::endpoint(&endpoints::get(&http.app, &who, id).await?)
}
