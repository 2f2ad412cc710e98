//! Replays: what an endpoint missed, sent again by jobs.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::replays;
use crate::http::Http;
use crate::http::call::Call;
use crate::http::caller::{Anytime, Caller};
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// Send again what an endpoint missed
///
/// Needs `endpoints:write`. Makes a job that goes on through restarts until it is done or cancelled. What it sends are
/// deliveries of their own with the same `webhook-id`: they wait for no others, hold none up, and leave the retries
/// of the first ones as they are. With `dry_run`, it is only said how many that would be. One runs at a time for
/// an endpoint, `what` and `schema`. What tells of tasks of a schema that was removed is not sent again.
#[utoipa::path(
    post, path = "/api/v1/replays", tag = "deliveries", operation_id = "createReplay",
    request_body(content = models::NewReplay, description = "What to send again", examples(
        ("since" = (summary = "Everything since a time", value = json!(examples::new_replay()))),
        ("dead" = (summary = "How many were given up", value = json!({
            "endpoint": "0199b8c4-51d1-7a32-9d0f-2f6f1c5b7a10", "what": "dead", "dry_run": true
        }))),
    )),
    responses(
        (status = 201, body = models::Replay, description = "The job, which runs",
            headers(("Location" = String, description = "Where it can be watched")),
            links(("watch" = (operation_id = "getReplay", parameters(("id" = "$response.body#/id")))),
                  ("cancel" = (operation_id = "cancelReplay", parameters(("id" = "$response.body#/id"))))),
            example = json!(examples::replay())),
        (status = 200, body = models::ReplayPreview, description = "With `dry_run`: what it would send",
            example = json!({"count": 318, "at_least": false})),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "One runs that sends the same again; the answer names it"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn create(
    State(http): State<Http>,
    Anytime(who): Anytime,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    match requests::replays::new_replay(&call.body)? {
        (new, true) => responses::replays::preview(replays::preview(&http.app, &who, new).await?),
        (new, false) => responses::replays::created(&replays::create(&http.app, &who, new).await?),
    }
}

/// List replays, newest first
///
/// Needs `endpoints:read`. They go with their endpoint. Pass `next_cursor` as `cursor` for the next page; it is null
/// on the last one.
#[utoipa::path(
    get, path = "/api/v1/replays", tag = "deliveries", operation_id = "listReplays",
    params(
        ("endpoint" = Option<uuid::Uuid>, Query, description = "Only those of this endpoint"),
        ("limit" = Option<u16>, Query, description = "Replays on a page, 100 by default", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; empty: the beginning", format = "cursor"),
    ),
    responses(
        (status = 200, body = models::ReplayList, description = "A page of the replays that the key sees",
            example = json!(examples::replays())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let (endpoint, before, limit) = requests::replays::replay_list(&uri)?;
    responses::replays::list(&replays::list(&http.app, &who, endpoint, before, limit).await?)
}

/// Read a replay
///
/// Needs `endpoints:read`.
#[utoipa::path(
    get, path = "/api/v1/replays/{id}", tag = "deliveries", operation_id = "getReplay",
    params(("id" = uuid::Uuid, Path, description = "The replay's id")),
    responses(
        (status = 200, body = models::Replay, description = "The replay, and how far it has come",
            example = json!(examples::replay())),
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
    responses::replays::replay(&replays::get(&http.app, &who, requests::id(&id, "replay")?).await?)
}

/// Cancel a replay
///
/// Needs `endpoints:write`. It makes no more deliveries; those that it has made go out.
#[utoipa::path(
    post, path = "/api/v1/replays/{id}/cancel", tag = "deliveries", operation_id = "cancelReplay",
    params(("id" = uuid::Uuid, Path, description = "The replay's id")),
    responses(
        (status = 200, body = models::Replay, description = "The replay, which has ended",
            example = json!(examples::cancelled_replay())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "It has ended already"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn cancel(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    requests::no_fields(&call.body)?;
    responses::replays::replay(&replays::cancel(&http.app, &who, requests::id(&id, "replay")?).await?)
}
