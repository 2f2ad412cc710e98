//! The log as a whole: where it stands, whether it is what was written, and its checkpoints.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::audit;
use crate::http::Http;
use crate::http::call::Call;
use crate::http::caller::{Anytime, Caller};
use crate::http::openapi::{examples, models, problems};
use crate::http::problem::Problem;

/// Read where the log stands
///
/// Needs `audit:read` for all schemas.
#[utoipa::path(
    get, path = "/api/v1/log", tag = "audit", operation_id = "getLog",
    responses(
        (status = 200, body = models::LogHead, description = "The log's end and beginning",
            example = json!(examples::log_head())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn head(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    let (head, checkpoints) = audit::head(&http.app, &who).await?;
    responses::log::head(&head, checkpoints)
}

/// Verify a part of the log
///
/// Needs `audit:read` for all schemas. Recomputes the chain of hashes over about `limit` events (to
/// the end of the batch that the last one belongs to). Call again with the answer's `next` as
/// `after` until it is null: then the whole log was verified, from its beginning to its end.
///
/// A call believes what `after` says: by itself it proves only that the log is a chain from there
/// on. A proof is the whole run, begun without `after`, in which the caller kept each `next` itself and
/// handed it back unchanged. And only a checkpoint that was kept outside (`from`, in every call of the
/// run) proves that whoever can write to the database did not rebuild the whole chain: `proved_from` is
/// set in the answer of the step that reaches it.
#[utoipa::path(
    post, path = "/api/v1/log/verify", tag = "audit", operation_id = "verifyLog",
    request_body(content = Option<models::Verify>, description = "Where to begin; not needed for the first call", examples(
        ("first" = (summary = "The first call of a run, against a checkpoint", value = json!(examples::verify_first()))),
        ("next" = (summary = "A further one", value = json!(examples::verify_next()))),
    )),
    responses(
        (status = 200, body = models::Verified, description = "What was found; `ok` tells whether it is what was written",
            examples(
                ("whole" = (summary = "A whole log that fits into one call", value = json!(examples::verified()))),
                ("on the way" = (summary = "A part of a longer one", value = json!(examples::verified_in_part()))),
                ("altered" = (summary = "A log that was altered", value = json!(examples::verified_altered()))),
            )),
        (status = 410, body = models::GoneProblem, content_type = "application/problem+json",
            description = "The log was trimmed beyond `after` meanwhile: begin again"),
        problems::Authenticated, problems::WithBody,
    )
)]
pub(in crate::http) async fn verify(
    State(http): State<Http>,
    Anytime(who): Anytime,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let step = requests::log::step(&call.body)?;
    let found = audit::verify_step(&http.app, &who, step.from.as_ref(), step.after, step.limit).await?;
    responses::log::step(&found)
}

/// Make a checkpoint
///
/// Needs `audit:write` for all schemas. Signs the log's end with a key that is made from the master
/// key, which is not in the database. Keep the answer outside of the service: it proves later that
/// nothing up to there was changed.
#[utoipa::path(
    post, path = "/api/v1/checkpoints", tag = "audit", operation_id = "createCheckpoint",
    responses(
        (status = 201, body = models::Checkpoint, description = "The checkpoint", example = json!(examples::checkpoint())),
        problems::Authenticated, problems::WithBody,
    )
)]
pub(in crate::http) async fn create_checkpoint(
    State(http): State<Http>,
    Caller(who): Caller,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    requests::no_fields(&call.body)?;
    responses::log::created_checkpoint(&audit::checkpoint(&http.app, &who).await?)
}

/// List checkpoints, oldest first
///
/// Needs `audit:read` for all schemas. These are the copies in the database; what proves something
/// is the copy that was kept outside.
#[utoipa::path(
    get, path = "/api/v1/checkpoints", tag = "audit", operation_id = "listCheckpoints",
    responses(
        (status = 200, body = models::CheckpointList, description = "The checkpoints", example = json!(examples::checkpoints())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn checkpoints(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::log::checkpoint_list(&audit::checkpoints(&http.app, &who).await?)
}
