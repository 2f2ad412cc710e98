//! Why an attempt got no answer, in few kinds that can be stored, counted and shown.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use super::address::AddressRefused;
use super::target::UrlError;

/// An attempt that got no complete answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// The details, for a person; contains no URL, whose query may be secret.
    pub detail: String,
    /// From the call to the failure.
    pub elapsed: Duration,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The deadline passed, or connecting took too long.
    Timeout,
    /// No connection.
    Connect,
    /// The name doesn't resolve.
    Dns,
    /// No secure connection, for example an untrusted certificate.
    Tls,
    /// The URL or the name leads to an address that must not be reached.
    AddressRefused,
    /// The connection broke, or what came back isn't HTTP.
    Protocol,
    /// The URL is not one for webhooks.
    Url,
}

impl FailureKind {
    /// The name to store and to show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::AddressRefused => "address_refused",
            Self::Protocol => "protocol",
            Self::Url => "url",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure that doesn't know yet how long it took.
pub(super) type Cause = (FailureKind, String);

pub(super) fn of_url(error: &UrlError) -> Cause {
    let kind = match error {
        UrlError::Address(_) => FailureKind::AddressRefused,
        UrlError::Scheme(_) | UrlError::Userinfo | UrlError::Host => FailureKind::Url,
    };
    (kind, error.to_string())
}

pub(super) fn of_lookup(error: &(dyn Error + Send + Sync + 'static)) -> Cause {
    let kind = if error.is::<AddressRefused>() { FailureKind::AddressRefused } else { FailureKind::Dns };
    (kind, error.to_string())
}

pub(super) fn of_request(error: reqwest::Error) -> Cause {
    let error = error.without_url();
    if let Some(refused) = find::<AddressRefused>(&error) {
        return (FailureKind::AddressRefused, refused.to_string());
    }
    let kind = if error.is_timeout() {
        FailureKind::Timeout
    } else if error.is_dns() {
        FailureKind::Dns
    } else if find::<rustls::Error>(&error).is_some() {
        FailureKind::Tls
    } else if error.is_connect() {
        FailureKind::Connect
    } else if error.is_builder() {
        FailureKind::Url
    } else {
        FailureKind::Protocol
    };
    (kind, describe(&error))
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// An error and its causes. [`io::Error::source`] skips the error that an `io::Error` wraps, which
/// is where rustls puts its own.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The causes in a line, without those that the line says already. Bounded, since a peer has
/// influence on it (names in a certificate) and it is stored with each attempt.
fn describe(error: &reqwest::Error) -> String {
    const LONGEST: usize = 500;
    let mut line = String::new();
    for cause in chain(error) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause);
        }
    }
    line.truncate(line.floor_char_boundary(LONGEST));
    line
}
