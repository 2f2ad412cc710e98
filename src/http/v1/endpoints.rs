//! Endpoints: registered, changed, paused, tried and looked at.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::endpoints;
use crate::http::Http;
use crate::http::call::Call;
use crate::http::caller::{Anytime, Caller};
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// Register an endpoint
///
/// Needs `endpoints:write`. Beside what schemas declare, any number of endpoints may ask for events: of these
/// schemas, types, states. It hears of what is made from now on. The answer is the only time that its key is shown.
/// A URL that leads to an address which webhooks must not reach is refused; one that can't be looked up is
/// warned of.
#[utoipa::path(
    post, path = "/api/v1/endpoints", tag = "deliveries", operation_id = "createEndpoint",
    request_body(content = models::NewEndpoint, description = "Where events go, and which", examples(
        ("some" = (summary = "Some events of one schema, not too fast", value = json!(examples::new_endpoint()))),
        ("ntfy" = (summary = "Somebody's phone shows new tasks", value = json!({
            "url": "https://ntfy.sh/my-topic", "format": "ntfy", "event_types": ["task.created"]
        }))),
        ("operators" = (summary = "What operators want to hear of", value = json!({
            "url": "https://ops.example/hooks/alarms",
            "event_types": ["endpoint.paused", "endpoint.disabled", "endpoint.recovered", "delivery.dead"]
        }))),
    )),
    responses(
        (status = 201, body = models::RegisteredEndpoint, description = "The endpoint was registered",
            headers(("Location" = String, description = "Where it is")),
            example = json!(examples::registered_endpoint())),
        problems::Authenticated, problems::WithBody,
    )
)]
pub(in crate::http) async fn create(
    State(http): State<Http>,
    Caller(who): Caller,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let (change, key) = requests::endpoints::new_endpoint(&call.body)?;
    responses::endpoints::registered(&endpoints::create(&http.app, &who, change, key.as_deref()).await?)
}

/// List endpoints, by schema and type
///
/// Needs `endpoints:read`. An endpoint is where webhooks go: a schema's `default_hook_url`, the `hook_url` of one
/// of its types, a host of its `callback_hosts`, or one that was registered. `held` says why deliveries wait, if
/// they do, as this server sees it. A key that is for some schemas sees those that get events of no others.
#[utoipa::path(
    get, path = "/api/v1/endpoints", tag = "deliveries", operation_id = "listEndpoints",
    params(
        ("schema" = Option<String>, Query, description = "Only endpoints that get events of this schema", min_length = 1, max_length = 1024, example = "ti:sample"),
        ("status" = Option<models::EndpointStatus>, Query, description = "Only endpoints with this status"),
        ("origin" = Option<models::Origin>, Query, description = "Only endpoints that come from there"),
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
    let filter = requests::endpoints::endpoint_list(&uri)?;
    responses::endpoints::endpoint_list(&endpoints::list(&http.app, &who, filter).await?)
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
    responses::endpoints::endpoint(&endpoints::get(&http.app, &who, id).await?)
}

/// Change a registered endpoint
///
/// Needs `endpoints:write`. What is absent stays; here, `null` takes back what was said. What schemas declare is
/// changed by a new version of their file.
#[utoipa::path(
    patch, path = "/api/v1/endpoints/{id}", tag = "deliveries", operation_id = "updateEndpoint",
    params(("id" = uuid::Uuid, Path, description = "The endpoint's id")),
    request_body(content = models::EndpointChange, description = "What to change", examples(
        ("slower" = (summary = "Another rate, and events of all states again", value = json!({
            "rate": "20/s", "states": null
        }))),
    )),
    responses(
        (status = 200, body = models::ChangedEndpoint, description = "The endpoint as it is now",
            example = json!(examples::changed_endpoint())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "A schema declares it"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn update(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let (id, change) = (requests::id(&id, "endpoint")?, requests::endpoints::endpoint_change(&call.body)?);
    responses::endpoints::changed(&endpoints::update(&http.app, &who, id, change).await?)
}

/// Delete a registered endpoint
///
/// Needs `endpoints:write`. What waits for it is withdrawn. What schemas declare goes with a new version of their
/// file.
#[utoipa::path(
    delete, path = "/api/v1/endpoints/{id}", tag = "deliveries", operation_id = "deleteEndpoint",
    params(("id" = uuid::Uuid, Path, description = "The endpoint's id")),
    responses(
        (status = 200, body = models::RemovedEndpoint, description = "The endpoint is gone",
            example = json!(examples::removed_endpoint())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "A schema declares it"),
        problems::Unkeyed, problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn remove(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    let id = requests::id(&id, "endpoint")?;
    responses::endpoints::removed(id, endpoints::remove(&http.app, &who, id).await?)
}

/// Pause an endpoint
///
/// Needs `endpoints:write`. Its deliveries wait, none is lost, and their order is kept. What is being sent right now
/// still ends.
#[utoipa::path(
    post, path = "/api/v1/endpoints/{id}/pause", tag = "deliveries", operation_id = "pauseEndpoint",
    params(("id" = uuid::Uuid, Path, description = "The endpoint's id")),
    request_body(content = Option<models::Pause>, description = "Why; not needed", examples(
        ("why" = (summary = "With a message", value = json!({"message": "the shop is being deployed"}))),
    )),
    responses(
        (status = 200, body = models::Endpoint, description = "The endpoint, which is paused",
            example = json!(examples::paused_endpoint())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "It is paused already"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn pause(
    State(http): State<Http>,
    Anytime(who): Anytime,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let (id, message) = (requests::id(&id, "endpoint")?, requests::endpoints::pause(&call.body)?);
    responses::endpoints::endpoint(&endpoints::pause(&http.app, &who, id, message.as_deref()).await?)
}

/// Resume an endpoint
///
/// Needs `endpoints:write`. One that was paused or disabled takes deliveries again: what waited goes out, in its
/// order, as fast as its rate allows.
#[utoipa::path(
    post, path = "/api/v1/endpoints/{id}/resume", tag = "deliveries", operation_id = "resumeEndpoint",
    params(("id" = uuid::Uuid, Path, description = "The endpoint's id")),
    responses(
        (status = 200, body = models::Endpoint, description = "The endpoint, which is active",
            example = json!(examples::endpoint())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "It is neither paused nor disabled"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn resume(
    State(http): State<Http>,
    Anytime(who): Anytime,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    requests::no_fields(&call.body)?;
    let id = requests::id(&id, "endpoint")?;
    responses::endpoints::endpoint(&endpoints::resume(&http.app, &who, id).await?)
}

/// Test an endpoint
///
/// Needs `endpoints:write`. Sends `{"type": "endpoint.test", ...}`, or a message in the endpoint's form, signed as its
/// webhooks are, and answers with what came of it; the `webhook-id` begins with `tst_`. It is no delivery: it
/// is not listed, counts for nothing, and goes out while deliveries wait, too.
#[utoipa::path(
    post, path = "/api/v1/endpoints/{id}/test", tag = "deliveries", operation_id = "testEndpoint",
    params(("id" = uuid::Uuid, Path, description = "The endpoint's id")),
    responses(
        (status = 200, body = models::TestedEndpoint, description = "What came of it; `delivered` tells whether the receiver took it",
            example = json!(examples::tested_endpoint())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "It has no key that this server can sign with, or no URL of its own"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn test(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    requests::no_fields(&call.body)?;
    let id = requests::id(&id, "endpoint")?;
    responses::endpoints::tested(&endpoints::test(&http.app, &who, id).await?)
}
