//! What happens to every request, in one layer: its id, the representation it accepts, a time
//! limit, a panic's end, the problem document, the headers of every answer, and its log line.
//!
//! One layer rather than one for each, because each boxes the request's future once more.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use uuid::Uuid;

use super::problem::{Kind, Problem};
use super::repeat::Repeat;
use super::routes;
use super::{docs, mcp, metrics, realtime, stream};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer. `limit` is how long an answer may take.
pub(super) async fn edge(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let others = [metrics::PATH, realtime::PATH, mcp::PATH];
    let answers_json = route
        .as_ref()
        .map(|route| route.as_str().trim_end_matches('/'))
        .is_some_and(|route| !route.starts_with(docs::PATH) && !others.contains(&route));
    let mut response = if uri.path().contains("//") {
        // An empty segment names nothing, whatever pattern it fits.
        routes::unknown_route(&uri).into_response()
    } else if answers_json
        && !accepts_json(request.headers())
        && !(route.as_ref().is_some_and(|route| route.as_str().starts_with(stream::PATH))
            && stream::is_wanted(request.headers()))
    {
        Problem::new(Kind::NotAcceptable, "answers are application/json; Accept must allow it")
            .into_response()
    } else {
        match tokio::time::timeout(limit, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => Problem::internal(format!("panic: {}", message(&*panic))).into_response(),
            Err(_) => {
                let repeat = route.as_ref().and_then(|route| Repeat::of(&method, route.as_str()));
                Problem::unavailable(format!(
                    "the answer took too long; whether the request had its effect is not known, so {}",
                    Repeat::advice(repeat)
                ))
                .into_response()
            }
        }
    };
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        *response.body_mut() = problem.write(uri.path(), response.headers_mut());
    }
    let failed = response.status().is_server_error() && !problem.as_ref().is_some_and(Problem::is_intended);
    let cause = failed.then(|| problem.as_ref().and_then(Problem::cause).unwrap_or_default());
    let route = route.as_ref().map_or("-", |r| r.as_str().trim_end_matches('/'));
    log(method.as_str(), route, response.status(), started.elapsed(), &id, cause);
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // For who called without a network, and may read the cause.
    if let Some(problem) = problem {
        response.extensions_mut().insert(problem);
    }
    response
}

/// One line a request, with the route in place of the path: ids and names of people's things stay
/// out of the log, and lines can be counted by route. A failure (with its cause) is logged here and nowhere
/// else: a 5xx, but what maintenance refuses.
fn log(method: &str, route: &str, status: StatusCode, took: Duration, id: &HeaderValue, cause: Option<&str>) {
    let (status, took) = (status.as_u16(), took.as_micros() as u64);
    let request_id = id.to_str().unwrap_or_default();
    if let Some(cause) = cause {
        tracing::error!(target: "task_inbox::access", method, route, status, took_us = took, request_id, cause, "request failed");
    } else {
        tracing::info!(target: "task_inbox::access", method, route, status, took_us = took, request_id, "request");
    }
}

/// The caller's own id, if it is fit for a log line; else a new UUIDv7.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=128).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(sane) {
        return given.clone();
    }
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)).unwrap_or(HeaderValue::from_static("-"))
}

/// Whether `Accept` lets through JSON (RFC 9110, section 12.5.1); without one, everything goes.
pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
    let mut accepts = headers.get_all(header::ACCEPT).iter().peekable();
    if accepts.peek().is_none() {
        return true;
    }
    // The most specific range that matches decides.
    let mut best: Option<(u8, bool)> = None;
    for range in accepts.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let specific = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/json" => 3,
            "application/problem+json" => 2,
            "application/*" => 1,
            "*/*" => 0,
            _ => continue,
        };
        let refused = parts.any(|p| {
            let quality = p.strip_prefix("q=").or_else(|| p.strip_prefix("Q="));
            quality.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        if best.is_none_or(|(known, _)| specific > known) {
            best = Some((specific, !refused));
        }
    }
    best.is_some_and(|(_, accepted)| accepted)
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    async fn answer(path: &str) -> (StatusCode, HeaderMap, serde_json::Value) {
        let router = Router::new()
            .route("/panics", get(|| async { panic!("the password is swordfish") as () }))
            .route("/hangs", get(std::future::pending::<()>))
            .layer(from_fn_with_state(Duration::from_millis(10), edge));
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        (parts.status, parts.headers, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_tells_nothing() {
        let (status, headers, body) = answer("/panics").await;
        assert_eq!(status, 500);
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(body["type"], "/problems/internal");
        assert_eq!(body["instance"], "/panics");
        assert!(!body.to_string().contains("swordfish"));
        assert!(headers.contains_key("x-request-id"));
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_given_up() {
        let (status, headers, _) = answer("/hangs").await;
        assert_eq!(status, 503);
        assert_eq!(headers["retry-after"], "1");
    }

    #[test]
    fn reads_accept() {
        let accepts = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            accepts_json(&headers)
        };
        assert!(accepts(&[]));
        for yes in
            ["*/*", "application/*", "application/json", "text/html, */*;q=0.1", "APPLICATION/JSON; q=0.5"]
        {
            assert!(accepts(&[yes]), "{yes}");
        }
        for no in ["text/html", "application/json;q=0, */*", "*/*; q=0.0", "", "application/xml"] {
            assert!(!accepts(&[no]), "{no}");
        }
        assert!(accepts(&["text/html", "application/json"]));
    }

    #[test]
    fn request_ids_are_kept_if_sane() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).expect("a value"));
            request_id(&headers)
        };
        assert_eq!(with("abc-1.2_3"), "abc-1.2_3");
        for bad in ["", "a b", "a\"b", &"x".repeat(129)] {
            let made = with(bad);
            let id = Uuid::parse_str(made.to_str().expect("ASCII")).expect("a UUID");
            assert_eq!(id.get_version_num(), 7);
        }
    }
}
