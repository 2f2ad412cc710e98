//! Answers about deliveries.

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use task_inbox_domain::cursor::DeliveryCursor;
use task_inbox_domain::webhook::signing;
use task_inbox_domain::{EventType, Timestamp};
use uuid::Uuid;

use crate::app::deliveries::DeliveryList;
use crate::http::answer;
use crate::http::problem::Problem;
use crate::store::delivery_list::{AttemptRow, DeliveryRow};

#[derive(Serialize)]
struct Delivery<'a> {
    id: Uuid,
    endpoint_id: Uuid,
    url: Option<&'a str>,
    event_id: String,
    event_type: Option<&'static str>,
    schema: &'a str,
    task_id: Option<Uuid>,
    version: Option<i64>,
    seq: Option<i64>,
    status: &'static str,
    reason: Option<&'a str>,
    attempts: i32,
    is_resend: bool,
    due_at: Option<Timestamp>,
    created: Timestamp,
    finished: Option<Timestamp>,
}

impl<'a> Delivery<'a> {
    fn of(row: &'a DeliveryRow) -> Self {
        Self {
            id: row.id,
            endpoint_id: row.endpoint_id,
            url: row.url.as_deref(),
            event_id: signing::webhook_id(row.event_id),
            event_type: row.event_type.map(EventType::as_str),
            schema: &row.schema,
            task_id: row.task_id,
            version: row.version,
            seq: row.seq,
            status: row.status.as_str(),
            reason: row.reason.as_deref(),
            attempts: row.attempts,
            is_resend: row.is_resend,
            due_at: row.due_at,
            created: row.created,
            finished: row.finished,
        }
    }
}

/// A page of deliveries.
pub(in crate::http::v1) fn delivery_list(list: &DeliveryList) -> Result<Response, Problem> {
    let deliveries: Vec<_> = list.deliveries.iter().map(Delivery::of).collect();
    let next = list.next.map(DeliveryCursor::encode);
    answer::json(StatusCode::OK, &json!({ "deliveries": deliveries, "next_cursor": next }))
}

#[derive(Serialize)]
struct Attempt<'a> {
    number: i32,
    started: Timestamp,
    duration_ms: i64,
    outcome: &'a str,
    status: Option<i32>,
    error: Option<&'a str>,
    response: Option<String>,
}

impl<'a> Attempt<'a> {
    fn of(row: &'a AttemptRow) -> Self {
        Self {
            number: row.number,
            started: row.started,
            duration_ms: (row.duration_us + 500) / 1000,
            outcome: &row.outcome,
            status: row.status,
            error: row.error.as_deref(),
            // A receiver may answer anything.
            response: row.response.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        }
    }
}

/// One delivery with its attempts.
pub(in crate::http::v1) fn delivery(row: &DeliveryRow, attempts: &[AttemptRow]) -> Result<Response, Problem> {
    let attempts: Vec<_> = attempts.iter().map(Attempt::of).collect();
    answer::json(StatusCode::OK, &json!({ "delivery": Delivery::of(row), "attempts": attempts }))
}

/// A delivery that is sent again: a new one.
pub(in crate::http::v1) fn resent(row: &DeliveryRow) -> Result<Response, Problem> {
    let body = json!({ "delivery": Delivery::of(row), "attempts": [] });
    let mut response = answer::json(StatusCode::CREATED, &body)?;
    answer::set(&mut response, header::LOCATION, &format!("/api/v1/deliveries/{}", row.id));
    Ok(response)
}
