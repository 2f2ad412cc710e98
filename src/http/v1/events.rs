//! The log, read by cursor.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::{requests, responses};
use crate::app::events;
use crate::http::Http;
use crate::http::caller::Caller;
use crate::http::openapi::{examples, models, problems};
use crate::http::problem::Problem;
use crate::http::stream;

/// Read the log
///
/// Needs `tasks:read`. Every change, in the one order that all readers see. Pass `next_cursor` as `after` to go on;
/// it is there on every page and moves past filtered events too. An empty page means that there
/// is nothing new yet, or nothing that the filter lets through in the part that was looked at:
/// ask again from `next_cursor`. Whoever wants only what is yet to come begins with `after=latest`, whose page
/// is empty and whose `next_cursor` is the log's end. An item is exactly the body of the `hmac` webhook. A key that is
/// for some schemas reads the events of these as they are installed now, not of such as bore their names before, and
/// what is told of the endpoints that it sees.
///
/// With `Accept: text/event-stream`, the answer is a stream of server-sent events that goes on: `event` is the event's
/// type, `data` its body, `id` its cursor. It begins after `Last-Event-ID`, or else `after`, and moves on past what
/// the filter leaves out, also by heartbeats, which carry an `id` and no data.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "listEvents",
    params(
        ("after" = Option<String>, Query, description = "`next_cursor` of the page before, or an event's `cursor`; absent or empty: from the beginning; `latest`: from the end", format = "cursor"),
        ("schema" = Option<String>, Query, description = "Only events of this schema", min_length = 1, max_length = 1024, example = "ti:sample"),
        ("ttype" = Option<String>, Query, description = "Only events of tasks of types with this name", min_length = 1, max_length = 1024),
        ("task" = Option<uuid::Uuid>, Query, description = "Only events of this task"),
        ("type" = Option<models::EventType>, Query, description = "Only events of this type"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` that a stream had last; counts before `after`", format = "cursor"),
        ("limit" = Option<u16>, Query, description = "Events on a page, 100 by default; fewer where they are large", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, body = models::EventList, description = "A page of the log; or the stream, if that is asked for",
            example = json!(examples::events())),
        (status = 410, body = models::GoneProblem, content_type = "application/problem+json",
            description = "Events after this cursor have been trimmed; what is kept begins after the answer's `cursor`"),
        (status = 422, body = models::Problem, content_type = "application/problem+json",
            description = "The cursor is ahead of the log: another server's, or from before a restore"),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let (filter, after, limit) = requests::event_list(&uri, &headers)?;
    if stream::is_wanted(&headers) {
        return Ok(stream::answer(&http.app, who, after, filter, limit).await?);
    }
    Ok(responses::event_list(&events::list(&http.app, &who, after, filter, limit).await?))
}
