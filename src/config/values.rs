//! How a text becomes a value, and what is said of one that doesn't.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{LogFormat, Role};
use crate::app::duration;
use crate::bus;

pub(super) fn database_url(text: &str) -> Result<String, String> {
    let known = ["sqlite:", "postgres://", "postgresql://"];
    if known.iter().any(|scheme| text.starts_with(scheme)) {
        Ok(text.to_owned())
    } else {
        // It may hold a password, so it is not quoted.
        Err("must begin with sqlite:// or postgres://".to_owned())
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("is {text:?}, not an address and port such as 127.0.0.1:8080"))
}

pub(super) fn url(text: &str) -> Result<url::Url, String> {
    url::Url::parse(text).map_err(|e| format!("is not a URL: {e}"))
}

/// Reads the address of a server, as the command line takes it.
///
/// # Errors
///
/// Says what is expected, to stand after the name of what was set. It never quotes a password.
pub fn server_url(text: &str) -> Result<url::Url, String> {
    let server = url(text)?;
    if !matches!(server.scheme(), "http" | "https") || server.host_str().is_none() {
        return Err("must be the address of a server, such as https://inbox.example.com".to_owned());
    }
    if !server.username().is_empty() || server.password().is_some() {
        return Err("holds a user or a password; the server knows API keys alone".to_owned());
    }
    if server.query().is_some() || server.fragment().is_some() {
        return Err("has something after its path; give the server's address alone".to_owned());
    }
    Ok(server)
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "json" => Ok(LogFormat::Json),
        "human" => Ok(LogFormat::Human),
        other => Err(format!("is {other:?}, not human or json")),
    }
}

pub(super) fn roles(text: &str) -> Result<Vec<Role>, String> {
    list(text, |name| {
        let known = Role::ALL.iter().find(|(_, known)| *known == name).map(|(role, _)| *role);
        known.ok_or_else(|| {
            let names: Vec<_> = Role::ALL.iter().map(|(_, name)| *name).collect();
            format!("names the role {name:?}; there are {}", names.join(", "))
        })
    })
}

pub(super) fn nets(text: &str) -> Result<Vec<IpNet>, String> {
    list(text, |net| {
        let parsed = net.parse().ok().or_else(|| net.parse::<std::net::IpAddr>().ok().map(IpNet::from));
        parsed.ok_or_else(|| format!("holds {net:?}, which is not a network such as 10.0.0.0/8"))
    })
}

pub(super) fn list<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(read).collect()
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Ok(true),
        "0" | "false" | "off" | "no" => Ok(false),
        _ => Err(format!("is {text:?}, not on or off")),
    }
}

/// Time to wait for a place and to settle: with less, leases would end before anything was sent.
pub(super) fn margin(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        duration if duration < Duration::from_secs(1) => Err("must be at least 1s".to_owned()),
        duration => Ok(duration),
    }
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// The address of a NATS server.
pub(super) fn nats(text: &str) -> Result<String, String> {
    match bus::Kind::parse(text) {
        Ok(bus::Kind::Nats(url)) => Ok(url),
        _ => Err("must be the address of a NATS server, such as nats://{host}:4222".to_owned()),
    }
}
