//! The HTTP API: the only importer of axum and utoipa.
//!
//! One table lists every route (`routes`); a handler extracts, calls [`crate::app`] and wraps.
//! Bodies and queries are read by hand into the use cases' types (`fields`, `parameters`),
//! answers are written by hand from theirs (`answer`). Nothing here decides anything about
//! tasks, and nothing below here knows a status code.
//!
//! `openapi/openapi.json` is generated from the same table.

mod answer;
mod call;
mod caller;
mod docs;
mod edge;
mod fields;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod local;
mod mcp;
mod metrics;
mod openapi;
mod origin;
mod parameters;
mod problem;
mod realtime;
mod repeat;
mod routes;
mod serve;
mod stream;
mod v1;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use ipnet::IpNet;

use crate::app::App;

pub use local::{Local, LocalAnswer};
pub use openapi::openapi;
pub use realtime::Times;
pub use serve::serve;

/// What can be set about the API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses whose `X-Forwarded-*` and `Forwarded` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a request's body may take to arrive, and how long the answer to be found after it.
    pub timeout: Duration,
    /// Whether `/docs` is there.
    pub docs: bool,
    /// Whether the API is there; without it, health checks are answered.
    pub api: bool,
    /// Whether `/metrics` is there.
    pub metrics: bool,
    /// How patient realtime connections are.
    pub realtime: Times,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            timeout: Duration::from_secs(30),
            docs: true,
            api: true,
            metrics: true,
            realtime: Times::default(),
        }
    }
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
struct Http(Arc<Shared>);

struct Shared {
    app: App,
    settings: Settings,
    /// The OpenAPI document, as served.
    openapi: Bytes,
    metrics: metrics::Kept,
    /// What agents call.
    mcp: crate::mcp::Endpoint,
}

impl std::ops::Deref for Http {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The whole API over these use cases.
pub fn router(app: App, settings: Settings) -> Router {
    let (router, openapi) = routes::table();
    let more = realtime::router().merge(mcp::router());
    let router = match settings {
        Settings { api: false, .. } => routes::probes(),
        Settings { docs: true, .. } => router.merge(more).merge(docs::router()),
        _ => router.merge(more),
    };
    let router = router.merge(metrics::router());
    let whole = settings.timeout * 2;
    let openapi = Bytes::from(openapi::to_text(&openapi));
    routes::layered(
        router.with_state(Http(Arc::new(Shared {
            mcp: crate::mcp::Endpoint::new(app.clone()),
            app,
            settings,
            openapi,
            metrics: metrics::Kept::default(),
        }))),
        whole,
    )
}
