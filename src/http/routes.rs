//! Every route, in one table.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::problem::{Kind, Problem};
use super::{Http, edge, health, openapi, realtime, v1};

/// Answers below this stay as they are: gzip would save less than one packet.
const MIN_COMPRESSED: u64 = 1024;

/// The table, as a router and as its description.
pub(super) fn table() -> (Router<Http>, utoipa::openapi::OpenApi) {
    let (router, mut openapi) = OpenApiRouter::with_openapi(openapi::base())
        .with(routes!(v1::tasks::create, v1::tasks::list))
        .with(routes!(v1::tasks::get, v1::tasks::amend))
        .with(routes!(v1::tasks::cancel))
        .with(routes!(v1::tasks::history))
        .with(routes!(v1::tasks::wait))
        .with(routes!(v1::tasks::transition))
        .with(routes!(v1::events::list))
        .with(routes!(v1::schemas::install, v1::schemas::list))
        .with(routes!(v1::schemas::get, v1::schemas::remove))
        .with(routes!(v1::api_keys::create, v1::api_keys::list))
        .with(routes!(v1::api_keys::get, v1::api_keys::revoke))
        .with(routes!(v1::webhook_keys::create, v1::webhook_keys::list))
        .with(routes!(v1::webhook_keys::rekey))
        .with(routes!(v1::webhook_keys::remove))
        .with(routes!(v1::endpoints::create, v1::endpoints::list))
        .with(routes!(v1::endpoints::get, v1::endpoints::update, v1::endpoints::remove))
        .with(routes!(v1::endpoints::pause))
        .with(routes!(v1::endpoints::resume))
        .with(routes!(v1::endpoints::test))
        .with(routes!(v1::deliveries::list))
        .with(routes!(v1::deliveries::get))
        .with(routes!(v1::deliveries::resend))
        .with(routes!(v1::replays::create, v1::replays::list))
        .with(routes!(v1::replays::get))
        .with(routes!(v1::replays::cancel))
        .with(routes!(v1::log::head))
        .with(routes!(v1::log::verify))
        .with(routes!(v1::log::create_checkpoint, v1::log::checkpoints))
        .with(routes!(v1::maintenance::list, v1::maintenance::begin, v1::maintenance::end))
        .with(routes!(v1::me::get))
        .with(routes!(realtime::token))
        .with(routes!(openapi::serve))
        .merge(health_checks())
        .split_for_parts();
    openapi::tidy(&mut openapi);
    openapi::problems::add_examples(&mut openapi);
    (router, openapi)
}

fn health_checks() -> OpenApiRouter<Http> {
    OpenApiRouter::default()
        .with(routes!(health::health))
        .with(routes!(health::live))
        .with(routes!(health::ready))
}

/// What a process without the API answers.
pub(super) fn probes() -> Router<Http> {
    health_checks().split_for_parts().0
}

/// The table with what stands around every route.
pub(super) fn layered(router: Router, timeout: Duration) -> Router {
    let compressed = SizeAbove::new(MIN_COMPRESSED).and(NotForContentType::const_new("text/event-stream"));
    router
        .fallback(async |uri: Uri| unknown_route(&uri))
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(timeout, edge::edge))
        .layer(CompressionLayer::new().compress_when(compressed))
}

trait BothWays {
    /// Adds routes, each with and without a trailing slash; described without.
    fn with(self, routes: UtoipaMethodRouter<Http>) -> Self;
}

impl BothWays for OpenApiRouter<Http> {
    fn with(self, routes: UtoipaMethodRouter<Http>) -> Self {
        let with_slash: Vec<_> = routes.1.paths.keys().map(|path| format!("{path}/")).collect();
        let methods = routes.2.clone();
        with_slash.iter().fold(self.routes(routes), |table, path| table.route(path, methods.clone()))
    }
}

/// What is answered where nothing is.
pub(super) fn unknown_route(uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::not_found(format!("there is no {path} here; GET /api/v1/openapi.json lists what there is"))
}

async fn unknown_method(request: Request) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{} is not possible here; the Allow header lists what is", request.method()),
    )
}
