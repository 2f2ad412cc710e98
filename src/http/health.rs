//! Health: what an operator checks after setting up, and what an orchestrator asks.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::Http;
use super::answer::json;
use super::openapi::problems;
use super::origin::origin;
use super::problem::Problem;

/// How long the database may take to answer a readiness check.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the service is, and where it believes the request came from.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// The service's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The client's address, through the trusted proxies.
    #[schema(example = "203.0.113.7")]
    client_ip: String,
    /// The URL that the client asked for.
    #[schema(example = "https://inbox.example.com/health")]
    url: String,
}

/// A probe's answer.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// See the service's version, and the address and URL as it sees them
///
/// A check of proxy settings: if `client_ip` is your proxy's, name it in
/// `TASK_INBOX_TRUSTED_PROXIES`.
#[utoipa::path(
    get, path = "/health", tag = "health", security(()),
    responses((status = 200, body = Health, description = "The service answers", example = json!({
        "version": "0.1.0", "client_ip": "203.0.113.7", "url": "https://inbox.example.com/health"
    })), problems::Open)
)]
pub(super) async fn health(
    State(http): State<Http>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let Some(Extension(ConnectInfo(peer))) = peer else {
        return Err(Problem::internal("the server tells no peer address"));
    };
    let origin = origin(peer, &headers, &uri, &http.settings.trusted_proxies);
    let version = env!("CARGO_PKG_VERSION");
    json(StatusCode::OK, &Health { version, client_ip: origin.client.to_string(), url: origin.url })
}

/// Whether the process runs
#[utoipa::path(
    get, path = "/health/live", tag = "health", security(()),
    responses((status = 200, body = Status, description = "It runs", example = json!({"status": "ok"})), problems::Open)
)]
pub(super) async fn live() -> Result<Response, Problem> {
    json(StatusCode::OK, &Status { status: "ok" })
}

/// Whether the service can work: its database answers
#[utoipa::path(
    get, path = "/health/ready", tag = "health", security(()),
    responses((status = 200, body = Status, description = "It can", example = json!({"status": "ok"})), problems::Open)
)]
pub(super) async fn ready(State(http): State<Http>) -> Result<Response, Problem> {
    match tokio::time::timeout(READY_TIMEOUT, http.app.db.now()).await {
        Ok(Ok(_)) => json(StatusCode::OK, &Status { status: "ok" }),
        Ok(Err(e)) => Err(Problem::unavailable("the database does not answer").because(e.to_string())),
        Err(_) => Err(Problem::unavailable("the database does not answer").because("no answer within 2 s")),
    }
}
