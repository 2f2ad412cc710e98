//! Where a request came from, seen through the proxies that are trusted to say so.
//!
//! Anybody can send `X-Forwarded-For`: it counts only when the connection comes from a trusted
//! address, and only as far as trusted addresses vouch for it, from the right.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};
use ipnet::IpNet;

/// What the service believes about a request's origin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client's address.
    pub(super) client: IpAddr,
    /// The URL that it asked for.
    pub(super) url: String,
}

/// What a proxy says.
#[derive(Debug, Default)]
struct Forwarded {
    /// Addresses, the client's first. An entry that is no address (`unknown`, `_hidden`) is `None`.
    addresses: Vec<Option<IpAddr>>,
    proto: Option<String>,
    host: Option<String>,
}

/// Finds out where a request came from.
pub(super) fn origin(peer: SocketAddr, headers: &HeaderMap, uri: &Uri, trusted: &[IpNet]) -> Origin {
    let peer = peer.ip().to_canonical();
    let trusts = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let forwarded = if trusts(&peer) { forwarded(headers) } else { Forwarded::default() };
    let mut client = peer;
    for address in forwarded.addresses.iter().rev() {
        let Some(address) = address else { break };
        client = *address;
        if !trusts(address) {
            break;
        }
    }
    let host = forwarded.host.as_deref().or_else(|| text(headers, "host")).or_else(|| uri.host());
    Origin {
        client,
        url: format!(
            "{}://{}{}",
            forwarded.proto.as_deref().unwrap_or("http"),
            host.unwrap_or("-"),
            uri.path()
        ),
    }
}

/// `X-Forwarded-*` where there is one, else `Forwarded` (RFC 7239). Never both: a proxy that sets
/// one kind passes the client's own header of the other kind through.
fn forwarded(headers: &HeaderMap) -> Forwarded {
    if headers.contains_key("x-forwarded-for") {
        return Forwarded {
            addresses: all(headers, "x-forwarded-for").map(|a| address(a.trim())).collect(),
            proto: last(headers, "x-forwarded-proto").and_then(proto),
            host: last(headers, "x-forwarded-host").map(str::to_owned),
        };
    }
    let mut found = Forwarded::default();
    for element in all(headers, header::FORWARDED.as_str()) {
        for (name, value) in element.split(';').filter_map(|pair| pair.trim().split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => found.addresses.push(address(value)),
                "proto" => found.proto = proto(value),
                "host" => found.host = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    found
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The elements of a list header, over all of its lines.
fn all<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','))
}

/// What the nearest proxy added.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    all(headers, name).last().map(str::trim)
}

fn proto(text: &str) -> Option<String> {
    Some(text.to_ascii_lowercase()).filter(|p| p == "http" || p == "https")
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|a| a.ip())).ok();
    parsed.map(|a: IpAddr| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn seen(peer: &str, lines: &[(&'static str, &'static str)]) -> (String, String) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let trusted = ["10.0.0.0/8".parse().expect("a net"), "fd00::/8".parse().expect("a net")];
        let peer = SocketAddr::new(peer.parse().expect("an address"), 1);
        let origin = origin(peer, &headers, &Uri::from_static("/health"), &trusted);
        (origin.client.to_string(), origin.url)
    }

    #[test]
    fn believes_only_trusted_proxies() {
        let lines = [("host", "a"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")];
        assert_eq!(seen("9.9.9.9", &lines), ("9.9.9.9".to_owned(), "http://a/health".to_owned()));
        assert_eq!(seen("10.0.0.1", &lines), ("1.2.3.4".to_owned(), "https://a/health".to_owned()));
        assert_eq!(seen("::ffff:10.0.0.1", &lines).0, "1.2.3.4");
    }

    #[test]
    fn stops_at_the_first_address_that_nobody_vouches_for() {
        let client = |value| seen("10.0.0.1", &[("x-forwarded-for", value)]).0;
        assert_eq!(client("6.6.6.6, 1.2.3.4, 10.0.0.2"), "1.2.3.4");
        assert_eq!(client("10.0.0.3, 10.0.0.2"), "10.0.0.3");
        assert_eq!(client("6.6.6.6, unknown, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client("[2001:db8::1]:80"), "2001:db8::1");
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4:5")];
        assert_eq!(seen("fd00::1", &lines).0, "1.2.3.4");
    }

    #[test]
    fn reads_forwarded_where_there_is_nothing_else() {
        let lines = [("forwarded", "for=\"[2001:db8::1]:80\";proto=https;host=b.example, for=10.0.0.9")];
        let expected = ("2001:db8::1".to_owned(), "https://b.example/health".to_owned());
        assert_eq!(seen("10.0.0.1", &lines), expected);
        let both = [("forwarded", "for=6.6.6.6;proto=https"), ("x-forwarded-for", "1.2.3.4"), ("host", "a")];
        assert_eq!(seen("10.0.0.1", &both), ("1.2.3.4".to_owned(), "http://a/health".to_owned()));
    }
}
