//! Which URLs may be requested at all, before a name is resolved.
//!
//! The resolver is never asked for an address that stands in the URL itself, so such a host is
//! judged here. `url` follows the WHATWG URL standard, which reads `2130706433`, `0x7f.1` and
//! `017700000001` as 127.0.0.1: what arrives here as a name is no address in disguise.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::{AddressRefused, Policy};

/// Why a URL is not requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `http` or `https`.
    #[error("the scheme `{0}` is not http or https")]
    Scheme(String),
    /// User name or password, which end up in logs and can make one host look like another.
    #[error("the URL contains a user name or password")]
    Userinfo,
    /// No host.
    #[error("the URL has no host")]
    Host,
    /// The host is an address that must not be reached.
    #[error(transparent)]
    Address(#[from] AddressRefused),
}

/// Checks scheme, userinfo and a host that is an IP address. Names are checked when they are
/// resolved, again for each connection.
pub fn check_url(policy: &Policy, url: &Url) -> Result<(), UrlError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Userinfo);
    }
    let ip = match url.host() {
        None => return Err(UrlError::Host),
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
    };
    Ok(policy.judge(ip)?)
}
