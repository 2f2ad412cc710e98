//! Answers about maintenance.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use task_inbox_domain::Timestamp;

use crate::app::duration;
use crate::http::answer;
use crate::http::problem::Problem;
use crate::store::registry::Maintenance;

#[derive(Serialize)]
struct Dto<'a> {
    schema: Option<&'a str>,
    message: &'a str,
    retry_after: String,
    hold_deliveries: bool,
    since: Timestamp,
    by: &'a str,
}

impl<'a> Dto<'a> {
    fn of(maintenance: &'a Maintenance) -> Self {
        Self {
            schema: maintenance.schema.as_deref(),
            message: &maintenance.message,
            retry_after: duration::write(maintenance.retry_after),
            hold_deliveries: maintenance.hold_deliveries,
            since: maintenance.since,
            by: &maintenance.by,
        }
    }
}

/// What began or ended.
pub(in crate::http::v1) fn one(maintenance: &Maintenance) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &Dto::of(maintenance))
}

/// What goes on.
pub(in crate::http::v1) fn list(all: &[Maintenance]) -> Result<Response, Problem> {
    let all: Vec<_> = all.iter().map(Dto::of).collect();
    answer::json(StatusCode::OK, &json!({ "maintenance": all }))
}
