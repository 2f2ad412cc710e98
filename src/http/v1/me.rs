//! The caller's own credential.

use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::http::caller::Caller;
use crate::http::openapi::{examples, models, problems};
use crate::http::problem::Problem;

/// Read whose credential this is
///
/// Needs no permission: any key may ask what it is and may do.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "meta", operation_id = "getMe",
    responses(
        (status = 200, body = models::Me, description = "The credential, and the service's version",
            example = json!(examples::me())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn get(Caller(who): Caller, uri: Uri) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    responses::keys::me(&who)
}
