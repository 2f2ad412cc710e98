//! Answers about endpoints.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use task_inbox_domain::schema::{HookAuth, UNSET};
use task_inbox_domain::{EventType, Timestamp};
use uuid::Uuid;

use crate::app::endpoints::{EndpointView, Registered, Tested};
use crate::http::answer;
use crate::http::problem::Problem;

/// What stands for a header's value, which may be a secret.
const MASKED: &str = "***";

#[derive(Serialize)]
struct Endpoint<'a> {
    id: Uuid,
    origin: &'static str,
    schema: Option<&'a str>,
    r#type: Option<&'a str>,
    url: &'a str,
    kind: &'static str,
    header: Option<&'a str>,
    format: &'static str,
    schemas: Option<&'a [String]>,
    task_types: Option<&'a [String]>,
    event_types: Vec<&'static str>,
    states: Option<Vec<&'a str>>,
    headers: BTreeMap<&'a str, &'static str>,
    rate: Option<String>,
    concurrency: Option<u32>,
    timeout: Option<String>,
    description: Option<&'a str>,
    status: &'static str,
    status_reason: Option<&'a str>,
    held: Option<&'static str>,
    failing_since: Option<Timestamp>,
    failures: u32,
    next_probe: Option<Timestamp>,
    has_key: bool,
    waiting: i64,
    created: Timestamp,
    updated: Timestamp,
    /// In the answer to registering it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// In the answers to registering and changing it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<&'a [String]>,
}

impl<'a> Endpoint<'a> {
    fn of(view: &'a EndpointView) -> Self {
        let (endpoint, health) = (&view.row.endpoint, &view.row.health);
        let (interest, treatment) = (&endpoint.interest, &endpoint.treatment);
        let states = interest.states.as_ref();
        Self {
            id: endpoint.id,
            origin: endpoint.origin.as_str(),
            schema: Some(endpoint.schema.as_str()).filter(|name| !name.is_empty()),
            r#type: endpoint.ttype.as_deref(),
            url: &endpoint.hook.url,
            kind: endpoint.hook.auth.kind(),
            header: match &endpoint.hook.auth {
                HookAuth::Hmac => None,
                HookAuth::Head { header } => Some(header),
            },
            format: endpoint.format.as_str(),
            schemas: endpoint.schemas(),
            task_types: interest.task_types.as_deref().or(endpoint.ttype.as_ref().map(std::slice::from_ref)),
            event_types: view.event_types.iter().copied().map(EventType::as_str).collect(),
            states: states.map(|s| s.iter().map(|state| state.as_deref().unwrap_or(UNSET)).collect()),
            headers: treatment.headers.iter().map(|name| (name.as_str(), MASKED)).collect(),
            rate: treatment.rate.map(|rate| rate.to_string()),
            concurrency: treatment.concurrency,
            timeout: treatment.timeout.map(|timeout| match timeout.subsec_millis() {
                0 => format!("{}s", timeout.as_secs()),
                _ => format!("{}ms", timeout.as_millis()),
            }),
            description: endpoint.description.as_deref(),
            status: endpoint.shown_status().as_str(),
            status_reason: endpoint.status_reason.as_deref(),
            held: view.held,
            failing_since: health.failing_since,
            failures: health.failures,
            next_probe: health.open_until,
            has_key: endpoint.has_key,
            waiting: view.row.waiting,
            created: view.row.created,
            updated: view.row.updated,
            key: None,
            warnings: None,
        }
    }
}

/// One endpoint.
pub(in crate::http::v1) fn endpoint(view: &EndpointView) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &Endpoint::of(view))
}

/// An endpoint that was changed.
pub(in crate::http::v1) fn changed(view: &EndpointView) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &Endpoint { warnings: Some(&view.warnings), ..Endpoint::of(view) })
}

/// An endpoint that was registered: the one time that its key is shown.
pub(in crate::http::v1) fn registered(made: &Registered) -> Result<Response, Problem> {
    let view = &made.view;
    let body = Endpoint { key: Some(&made.key), warnings: Some(&view.warnings), ..Endpoint::of(view) };
    let mut response = answer::json(StatusCode::CREATED, &body)?;
    answer::set(&mut response, header::LOCATION, &format!("/api/v1/endpoints/{}", view.row.endpoint.id));
    Ok(response)
}

/// An endpoint that is gone, and how many deliveries with it.
pub(in crate::http::v1) fn removed(id: Uuid, withdrawn: u64) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &json!({ "id": id, "withdrawn": withdrawn }))
}

/// The endpoints that a caller sees.
pub(in crate::http::v1) fn endpoint_list(views: &[EndpointView]) -> Result<Response, Problem> {
    let endpoints: Vec<_> = views.iter().map(Endpoint::of).collect();
    answer::json(StatusCode::OK, &json!({ "endpoints": endpoints }))
}

/// What came of a test.
pub(in crate::http::v1) fn tested(found: &Tested) -> Result<Response, Problem> {
    let body = json!({
        "delivered": found.delivered,
        "status": found.status,
        "duration_ms": (found.duration.as_micros() as u64 + 500) / 1000,
        "outcome": found.outcome,
        "error": found.error,
        // A receiver may answer anything.
        "response": found.response.as_deref().map(String::from_utf8_lossy),
    });
    answer::json(StatusCode::OK, &body)
}
