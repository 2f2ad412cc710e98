//! Maintenance: what is in it, its beginning and its end.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::maintenance;
use crate::http::Http;
use crate::http::call::Call;
use crate::http::caller::{Anytime, Caller};
use crate::http::openapi::{examples, models, problems};
use crate::http::problem::Problem;

/// Read what is in maintenance
///
/// Needs no permission: any key may read of the maintenance of the whole inbox, and of the schemas that it sees.
/// An empty list says that there is none.
#[utoipa::path(
    get, path = "/api/v1/maintenance", tag = "maintenance", operation_id = "listMaintenance",
    responses(
        (status = 200, body = models::MaintenanceList, description = "What goes on",
            example = json!(examples::maintenance_list())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::maintenance::list(&maintenance::list(&http.app, &who).await?)
}

/// Begin maintenance
///
/// Needs `maintenance:write`; for the whole inbox, with a key that sees every schema. From then on writes
/// answer 503 with the message as `detail` and with `Retry-After`: of the whole inbox, every request but GETs and
/// what is listed below; of a schema, posting and deciding its tasks, installing versions of it and removing it.
/// Reads and health checks go on.
///
/// What goes on in maintenance of the whole inbox, too: these requests, verifying the log, every `dry_run`, and what
/// can't wait when something has leaked or runs wild: revoking API keys, ending and rotating webhook keys, pausing and
/// resuming endpoints.
///
/// No task is posted or decided any more, on any replica, once this has answered; all other writes are refused
/// everywhere within a second. With `hold_deliveries`, webhooks wait too, and none is lost.
///
/// Calling it again says something else about what goes on; what is left out is as by default then.
#[utoipa::path(
    put, path = "/api/v1/maintenance", tag = "maintenance", operation_id = "beginMaintenance",
    request_body(content = models::NewMaintenance, description = "Of what, and what to say", examples(
        ("schema" = (summary = "One schema, whose webhooks wait", value = json!(examples::new_maintenance()))),
        ("inbox" = (summary = "The whole inbox, with the default message", value = json!({}))),
    )),
    responses(
        (status = 200, body = models::Maintenance, description = "What goes on now",
            example = json!(examples::maintenance())),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn begin(
    State(http): State<Http>,
    Anytime(who): Anytime,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let new = requests::maintenance::new(&call.body)?;
    responses::maintenance::one(&maintenance::begin(&http.app, &who, new).await?)
}

/// End maintenance
///
/// Needs `maintenance:write`; for the whole inbox, with a key that sees every schema. Webhooks that were held
/// go out at once. What is not in maintenance answers 404.
#[utoipa::path(
    delete, path = "/api/v1/maintenance", tag = "maintenance", operation_id = "endMaintenance",
    params(("schema" = Option<String>, Query, description = "The schema; absent: the whole inbox", min_length = 1, max_length = 1024, example = "shop")),
    responses(
        (status = 200, body = models::Maintenance, description = "What has ended",
            example = json!(examples::maintenance())),
        problems::Unkeyed, problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn end(
    State(http): State<Http>,
    Anytime(who): Anytime,
    uri: Uri,
) -> Result<Response, Problem> {
    let schema = requests::maintenance::schema(&uri)?;
    responses::maintenance::one(&maintenance::end(&http.app, &who, schema.as_deref()).await?)
}
