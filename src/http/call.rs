//! Requests with a body: how much of it, of which type, how long it may take, and its
//! `Idempotency-Key`.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, Uri};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::Http;
use super::problem::{Kind, Problem};
use crate::app::Principal;
use crate::store::commit::Idempotency;

/// The largest body. `meta` alone may have half of it.
pub(super) const MAX_BODY: usize = 512 * 1024;

/// How much more is read, and dropped, so that a client that is still sending can read the 413:
/// closing on unread data resets the connection, and the answer with it.
const MAX_DRAINED: usize = 8 * MAX_BODY;

/// What makes a post or a decision safe to repeat; `repeat` has the rest.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request whose body is JSON, or empty.
pub(super) struct Call {
    method: Method,
    /// Path and query.
    pub(super) uri: Uri,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body, as sent.
    pub(super) body: Bytes,
}

impl FromRequest<Http> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, http: &Http) -> Result<Self, Problem> {
        let call = receive(request, http.settings.timeout).await?;
        check_type(&call, "JSON, as application/json", |essence| {
            essence == "application/json"
                || (essence.starts_with("application/") && essence.ends_with("+json"))
        })?;
        Ok(call)
    }
}

/// A request whose body is a YAML file.
pub(super) struct YamlCall {
    /// Path and query.
    pub(super) uri: Uri,
    /// The file.
    pub(super) text: String,
}

impl FromRequest<Http> for YamlCall {
    type Rejection = Problem;

    async fn from_request(request: Request, http: &Http) -> Result<Self, Problem> {
        let call = receive(request, http.settings.timeout).await?;
        check_type(&call, "a YAML file, as application/yaml", |essence| {
            matches!(
                essence,
                "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" | "text/plain"
            )
        })?;
        let text = String::from_utf8(call.body.into())
            .map_err(|e| Problem::malformed(format!("the body is not UTF-8: {}", e.utf8_error())))?;
        if text.trim().is_empty() {
            return Err(Problem::malformed("the body is empty; this call takes a schema file"));
        }
        Ok(Self { uri: call.uri, text })
    }
}

async fn receive(request: Request, timeout: Duration) -> Result<Call, Problem> {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(timeout, read(&parts.headers, body)).await.map_err(|_| {
        Problem::new(Kind::TimedOut, format!("the body did not arrive within {} s", timeout.as_secs()))
    })??;
    Ok(Call { method: parts.method, uri: parts.uri, headers: parts.headers, body })
}

async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Kind::TooLarge, format!("the body is larger than {MAX_BODY} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let waits = headers.contains_key(header::EXPECT);
    if announced.is_some_and(|length| length > MAX_DRAINED || (waits && length > MAX_BODY)) {
        return Err(too_large());
    }
    let broken = |e: axum::Error| Problem::malformed(format!("the body ended early: {e}"));
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        total += data.len();
        if total > MAX_DRAINED {
            break;
        }
        if total > MAX_BODY {
            continue;
        }
        // Nearly every body comes in one piece, which is taken as it is.
        if total == data.len() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(announced.unwrap_or(total * 2).min(MAX_BODY));
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    match total {
        _ if total > MAX_BODY => Err(too_large()),
        _ if rest.is_empty() => Ok(first),
        _ => Ok(rest.into()),
    }
}

fn check_type(call: &Call, expected: &str, is_type: impl Fn(&str) -> bool) -> Result<(), Problem> {
    if call.body.is_empty() {
        return Ok(());
    }
    let refuse = |what: &str| {
        Err(Problem::new(Kind::UnsupportedMediaType, format!("{what}; this call takes {expected}")))
    };
    if let Some(coding) = call.headers.get(header::CONTENT_ENCODING).filter(|v| *v != "identity") {
        return refuse(&format!(
            "the body has the content-encoding {}",
            String::from_utf8_lossy(coding.as_bytes())
        ));
    }
    let Some(given) = call.headers.get(header::CONTENT_TYPE) else {
        return refuse("the body has no content-type");
    };
    // What nearly everybody sends is not taken apart.
    if given.to_str().is_ok_and(&is_type) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(given.as_bytes()).to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let foreign = |parameter: &str| {
        parameter
            .strip_prefix("charset=")
            .is_some_and(|c| !matches!(c.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"))
    };
    if !is_type(parts.next().unwrap_or_default()) || parts.any(foreign) {
        return refuse(&format!("the body's content-type is {text}"));
    }
    Ok(())
}

/// The request's `Idempotency-Key`, as it was sent.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter().map(HeaderValue::as_bytes);
    let Some(key) = values.next() else { return Ok(None) };
    let visible = key.iter().all(u8::is_ascii_graphic);
    if values.next().is_some() || !visible || !(1..=255).contains(&key.len()) {
        return Err(Problem::malformed(
            "Idempotency-Key must be one value of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(key))
}

impl Call {
    /// The request's `Idempotency-Key`, bound to the caller, the method and the path.
    ///
    /// `with_query` counts the query as part of what is sent, where it says what to do.
    pub(super) fn idempotency(
        &self,
        who: &Principal,
        with_query: bool,
    ) -> Result<Option<Idempotency>, Problem> {
        let Some(key) = idempotency_key(&self.headers)? else { return Ok(None) };
        // Neither a pseudonym, a method nor a path holds a line feed, so the parts can't run together.
        let mut scope = Sha256::new();
        for part in
            [who.actor.pseudonym().as_bytes(), self.method.as_str().as_bytes(), self.path().as_bytes()]
        {
            scope.update(part);
            scope.update(b"\n");
        }
        scope.update(key);
        let mut content = Sha256::new();
        if with_query && let Some(query) = self.uri.query() {
            content.update(query.as_bytes());
            content.update(b"\n");
        }
        content.update(&self.body);
        Ok(Some(Idempotency { key_hash: scope.finalize().into(), body_hash: content.finalize().into() }))
    }

    fn path(&self) -> &str {
        self.uri.path().trim_end_matches('/')
    }
}
