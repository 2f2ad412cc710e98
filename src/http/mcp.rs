//! Where agents call: the Model Context Protocol by streamable HTTP. [`crate::mcp`] speaks it; here is what every
//! request goes through.
//!
//! It is not in the API's description, which knows no JSON-RPC; docs/MCP.md describes it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use http_body_util::{BodyExt, Limited};

use super::Http;
use super::call::{self, Call};
use super::caller::Anytime;
use super::problem::{Kind, Problem};
use super::v1::requests;
use crate::mcp::Caller;

/// Where it is.
pub(super) const PATH: &str = "/mcp";

/// The most that is read of what the protocol says about a request that it doesn't take.
const MAX_SAID: usize = 4096;

/// The route. No stream is opened by GET, and no session ended by DELETE: there are none.
pub(super) fn router() -> Router<Http> {
    Router::new().route(PATH, post(answer)).route(&format!("{PATH}/"), post(answer))
}

/// Answers during maintenance, too: tools that read go on, and those that write say when to come back.
async fn answer(State(http): State<Http>, Anytime(who): Anytime, call: Call) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let key = call::idempotency_key(&call.headers)?;
    // Visible ASCII.
    let idempotency_key = key.map(|key| String::from_utf8_lossy(key).into_owned());
    let mut request =
        Request::post(call.uri).body(call.body).map_err(|e| Problem::internal(e.to_string()))?;
    *request.headers_mut() = call.headers;
    let mut response = http.mcp.answer(Caller { who, idempotency_key }, request).await.map(Body::new);
    // The edge says it, as of every answer: nothing of this is to be stored anywhere.
    response.headers_mut().remove(header::CACHE_CONTROL);
    let is_text =
        response.headers().get(header::CONTENT_TYPE).is_none_or(|t| t.as_bytes().starts_with(b"text/plain"));
    if response.status().is_success() || !is_text {
        return Ok(response);
    }
    let status = response.status();
    let said = Limited::new(response.into_body(), MAX_SAID).collect().await;
    let said = said.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Err(refused(status, &said))
}

/// What the protocol doesn't take, as every other error.
fn refused(status: StatusCode, said: &Bytes) -> Problem {
    let said = String::from_utf8_lossy(said);
    match status {
        // A body that is JSON, but no message. What is no JSON at all was told before.
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::malformed(format!(
            "the body is not one JSON-RPC message of the Model Context Protocol: {said}"
        )),
        status if status.is_server_error() => Problem::internal(said.into_owned()),
        status => match Kind::of_status(status.as_u16()) {
            Some(kind) => Problem::new(kind, said),
            None => Problem::malformed(said),
        },
    }
}
