//! The readers of headers and queries, for the fuzz targets: with the feature `fuzzing` only.
//!
//! Each is what the routes use; a refusal is told by its status.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri};
use ipnet::IpNet;

use super::parameters::Parameters;
use super::problem::Problem;
use super::{call, caller, edge, origin, v1};

/// The key in `api-key` or `Authorization`.
pub fn presented_key(headers: &HeaderMap) -> Result<&str, u16> {
    caller::presented(headers).map_err(|problem| problem.status())
}

/// The version in `If-Match`.
pub fn if_match(headers: &HeaderMap) -> Result<Option<i64>, u16> {
    v1::requests::if_match(headers).map_err(|problem| problem.status())
}

/// The `Idempotency-Key`.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, u16> {
    call::idempotency_key(headers).map_err(|problem| problem.status())
}

/// Whether `Accept` lets JSON through.
pub fn accepts_json(headers: &HeaderMap) -> bool {
    edge::accepts_json(headers)
}

/// The client's address and the URL that it asked for.
pub fn origin(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> (IpAddr, String) {
    let origin = origin::origin(peer, headers, &Uri::from_static("/health"), trusted);
    (origin.client, origin.url)
}

/// The values of the `known` parameters of a query.
pub fn query(text: &str, known: &[&str]) -> Result<Vec<(String, String)>, u16> {
    let read = |parameters: Parameters<'_>| {
        let value = |name: &&str| Some(((*name).to_owned(), parameters.raw(name)?.to_owned()));
        known.iter().filter_map(value).collect()
    };
    Parameters::parse(Some(text), known).map(read).map_err(|problem: Problem| problem.status())
}
