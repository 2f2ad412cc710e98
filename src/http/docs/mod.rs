//! `/docs`: a page to read the API's description and to try it, Swagger UI.
//!
//! Everything comes out of this binary, and the policy sent along forbids the page to load anything
//! from elsewhere.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;

/// Where it is.
pub(super) const PATH: &str = "/docs";

const PAGE: &str = include_str!("index.html");
const START: &str = include_str!("start.js");

/// What the page is made of, besides those two: Swagger UI's own files, out of its crate.
const ASSETS: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// Scripts, styles, images and requests of this origin alone, nothing inline. Swagger UI draws its icons as
/// data: URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's routes.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route(PATH, get(page)).route("/docs/", get(page)).route("/docs/{file}", get(file))
}

async fn page() -> Response {
    answer("text/html; charset=utf-8", Cow::Borrowed(PAGE.as_bytes()))
}

async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    if name == "start.js" {
        return Ok(answer("text/javascript; charset=utf-8", Cow::Borrowed(START.as_bytes())));
    }
    let unknown = || Problem::not_found("the page has no such part");
    let asset = ASSETS.into_iter().find(|asset| *asset == name).ok_or_else(unknown)?;
    let found =
        utoipa_swagger_ui::serve(asset, Arc::default()).map_err(|e| Problem::internal(e.to_string()))?;
    let found = found.ok_or_else(|| Problem::internal(format!("Swagger UI has no {asset}")))?;
    Ok(answer(&found.content_type, found.bytes))
}

fn answer(content_type: &str, bytes: Cow<'static, [u8]>) -> Response {
    let bytes = match bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("text/plain")),
        ),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    (headers, bytes).into_response()
}
