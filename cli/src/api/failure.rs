//! What it means that no answer came: one sentence for each way in which a connection fails.

use std::error::Error;
use std::fmt::Write;
use std::io::{self, ErrorKind};

/// How a request failed below HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What happened and what to do.
    pub(super) message: String,
    /// Whether the request may have reached the server all the same.
    pub(super) arrived: bool,
    /// Whether it is worth another try.
    pub(super) passing: bool,
}

/// What an error of the client means, for this server.
pub(super) fn of(error: &reqwest::Error, server: &str, seconds: f64) -> Failure {
    let causes: Vec<_> = causes(error);
    let find = |kind: ErrorKind| {
        causes.iter().any(|c| c.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == kind))
    };
    let tls = causes.iter().find_map(|c| c.downcast_ref::<rustls::Error>());
    let said = causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let never = |message: String| Failure { message, arrived: false, passing: false };
    if let Some(tls) = tls {
        return never(match tls {
            rustls::Error::InvalidCertificate(_) => format!(
                "the certificate of {server} is not trusted ({tls}); check the address, or add its authority to the \
                 system's certificates or to a file that SSL_CERT_FILE names"
            ),
            _ => format!(
                "{server} does not speak TLS as https needs ({tls}); a server without TLS is an http:// address"
            ),
        });
    }
    if error.is_timeout() {
        let message = format!("{server} did not answer within {seconds} s; --timeout allows more");
        // Who waited this long once need not do so again.
        return Failure { message, arrived: !error.is_connect(), passing: false };
    }
    if !error.is_connect() {
        let message =
            format!("the connection to {server} was lost before the answer came ({})", last(&causes));
        return Failure { message, arrived: true, passing: true };
    }
    if find(ErrorKind::ConnectionRefused) {
        return never(format!("nothing listens at {server}; check the address, and that the server runs"));
    }
    if said.contains("dns error") {
        return never(format!("the host of {server} can't be found; check the address"));
    }
    if server.starts_with("https:") && (find(ErrorKind::InvalidData) || find(ErrorKind::UnexpectedEof)) {
        return never(format!(
            "{server} does not speak TLS as https needs; a server without TLS is an http:// address"
        ));
    }
    never(format!("{server} can't be reached ({})", last(&causes)))
}

/// What it means that there is no client at all.
pub(super) fn of_client(error: &reqwest::Error) -> String {
    let what = last(&causes(error));
    format!(
        "https needs the system's certificates, which can't be read ({what}); install ca-certificates, or set SSL_CERT_FILE"
    )
}

/// An error with everything below it. An `io::Error` hides the error that it was made of from
/// `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut found = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        found.push(error);
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    found
}

/// What the innermost error says; the outer ones only say that there was one.
fn last(causes: &[&(dyn Error + 'static)]) -> String {
    let mut text = String::new();
    if let Some(error) = causes.last() {
        let _ = write!(text, "{error}");
    }
    text
}
