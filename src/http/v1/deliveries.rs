//! Deliveries and their attempts: looked at, and sent again.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::{deliveries, replays};
use crate::http::Http;
use crate::http::call::Call;
use crate::http::caller::Caller;
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// List deliveries, newest first
///
/// Needs `endpoints:read`. A delivery is one event on its way to one endpoint. Filters combine. Pass
/// `next_cursor` as `cursor` for the next page; it is null on the last one.
#[utoipa::path(
    get, path = "/api/v1/deliveries", tag = "deliveries", operation_id = "listDeliveries",
    params(
        ("schema" = Option<String>, Query, description = "Only deliveries of this schema's events", min_length = 1, max_length = 1024, example = "ti:sample"),
        ("endpoint" = Option<uuid::Uuid>, Query, description = "Only deliveries to this endpoint"),
        ("task" = Option<uuid::Uuid>, Query, description = "Only deliveries of this task's events"),
        ("event" = Option<String>, Query, description = "Only deliveries of this event: its id with or without `evt_`",
            pattern = "^(evt_)?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
        ("status" = Option<models::DeliveryStatus>, Query, description = "Only deliveries with this status"),
        ("limit" = Option<u16>, Query, description = "Deliveries on a page, 100 by default", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; empty: the beginning", format = "cursor"),
    ),
    responses(
        (status = 200, body = models::DeliveryList, description = "A page of deliveries",
            example = json!(examples::deliveries())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let (filter, before, limit) = requests::deliveries::delivery_list(&uri)?;
    let page = deliveries::list(&http.app, &who, filter, before, limit).await?;
    responses::deliveries::delivery_list(&page)
}

/// Read a delivery with its attempts
///
/// Needs `endpoints:read`. Each attempt is one request that was sent to the receiver, with the
/// beginning of its answer (16 KiB at most).
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", tag = "deliveries", operation_id = "getDelivery",
    params(("id" = uuid::Uuid, Path, description = "The delivery's id")),
    responses(
        (status = 200, body = models::DeliveryAnswer, description = "The delivery, and its attempts in their order",
            example = json!(examples::delivery())),
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
    let (delivery, attempts) = deliveries::get(&http.app, &who, requests::id(&id, "delivery")?).await?;
    responses::deliveries::delivery(&delivery, &attempts)
}

/// Send a delivery again
///
/// Needs `endpoints:write`. Whatever became of it, it is sent once more, now, as a delivery of its own with the same
/// `webhook-id`. It waits for no other and holds none up; the retries of the first one go on as they were planned.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/resend", tag = "deliveries", operation_id = "resendDelivery",
    params(("id" = uuid::Uuid, Path, description = "The delivery's id")),
    responses(
        (status = 201, body = models::DeliveryAnswer, description = "The new delivery",
            headers(("Location" = String, description = "Where it can be followed")),
            links(("follow" = (operation_id = "getDelivery", parameters(("id" = "$response.body#/delivery/id"))))),
            example = json!(examples::resent())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "Its endpoint, its event or its task's schema is gone"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn resend(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    requests::no_fields(&call.body)?;
    responses::deliveries::resent(&replays::resend(&http.app, &who, requests::id(&id, "delivery")?).await?)
}
