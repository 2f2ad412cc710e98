//! Sending a request again whose answer was lost: where `Idempotency-Key` makes that safe, and what does
//! elsewhere.
//!
//! A header that is ignored is a promise that nobody keeps: who sends it repeats, and does it twice. So a write
//! that does not honour it refuses it.

use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;

use super::call::IDEMPOTENCY_KEY;
use super::problem::Problem;
use super::realtime;

/// What makes a request safe to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It reads.
    Reads,
    /// The same `Idempotency-Key`.
    Keyed,
    /// Something else.
    Otherwise(&'static str),
}

impl Repeat {
    /// Of a route; of what is in no table, nothing is known.
    pub(super) fn of(method: &Method, route: &str) -> Option<Self> {
        if method.is_safe() {
            return Some(Self::Reads);
        }
        let route = route.trim_end_matches('/');
        // Each call makes a token, of which nothing is kept.
        if (method.as_str(), route) == ("POST", realtime::TOKEN_PATH) {
            return Some(Self::Reads);
        }
        let path = route.strip_prefix("/api/v1")?;
        let otherwise = match (method.as_str(), path) {
            ("POST", "/tasks" | "/tasks/{id}/cancel") | ("PATCH", "/tasks/{id}" | "/tasks/{id}/state") => {
                return Some(Self::Keyed);
            }
            ("POST", "/log/verify") => return Some(Self::Reads),
            ("POST", "/schemas") => "a version is installed once, and the second time it is answered 409",
            ("POST", "/api-keys") => {
                "give the `key` yourself: it is taken once, and the second time it is answered 409"
            }
            ("POST", "/webhook-keys") => {
                "without `rotate`, the second one is answered 409; before you rotate again, look at \
                 GET /api/v1/webhook-keys"
            }
            ("POST", "/webhook-keys/rekey") => "each call moves what is left",
            ("POST", "/endpoints") => "look for its URL in GET /api/v1/endpoints before",
            ("POST", "/endpoints/{id}/pause" | "/endpoints/{id}/resume" | "/replays/{id}/cancel") => {
                "the second time it is answered 409"
            }
            ("POST", "/endpoints/{id}/test") => "each call is one test, which changes nothing",
            ("POST", "/deliveries/{id}/resend") => {
                "receivers deduplicate by `webhook-id`, which is that of the first delivery"
            }
            ("POST", "/replays") => {
                "look for it in GET /api/v1/replays before; receivers deduplicate by `webhook-id`, which is that of the \
                 first delivery"
            }
            ("POST", "/checkpoints") => "another checkpoint does no harm",
            ("PATCH", "/endpoints/{id}") | ("PUT", "/maintenance") => "the second time it changes nothing",
            ("DELETE", "/api-keys/{id}") => "revoking twice is the same as once",
            ("DELETE", "/schemas/{name}" | "/webhook-keys/{id}" | "/endpoints/{id}" | "/maintenance") => {
                "the second time it is answered 404"
            }
            _ => return None,
        };
        Some(Self::Otherwise(otherwise))
    }

    /// What to do where it is not known whether a request had its effect.
    pub(super) fn advice(route: Option<Self>) -> &'static str {
        match route {
            Some(Self::Reads) => "repeat it",
            Some(Self::Keyed) => "repeat it with the same Idempotency-Key",
            Some(Self::Otherwise(_)) | None => "look whether it had before you repeat it",
        }
    }
}

/// Refuses `Idempotency-Key` where it is not honoured.
pub(super) fn check(parts: &Parts) -> Result<(), Problem> {
    if !parts.headers.contains_key(IDEMPOTENCY_KEY) {
        return Ok(());
    }
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(Repeat::Otherwise(what)) = Repeat::of(&parts.method, route) else { return Ok(()) };
    let detail = format!(
        "Idempotency-Key works for posting, changing, withdrawing and deciding tasks, and not here; leave it out. What makes this safe to \
         repeat: {what}"
    );
    Err(Problem::invalid(detail, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    #[test]
    fn of_every_route_it_is_known_what_makes_it_safe_to_repeat() {
        for (path, item) in routes::table().1.paths.paths {
            for (method, operation) in [
                ("GET", item.get),
                ("POST", item.post),
                ("PUT", item.put),
                ("PATCH", item.patch),
                ("DELETE", item.delete),
            ] {
                if operation.is_some() {
                    let method = method.parse().expect("a method");
                    assert!(Repeat::of(&method, &path).is_some(), "{method} {path}");
                    assert_eq!(Repeat::of(&method, &path), Repeat::of(&method, &format!("{path}/")));
                }
            }
        }
    }
}
