//! Who calls: the credential of a request, as a [`Principal`].

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use axum::http::request::Parts;

use super::problem::{Kind, Problem};
use super::{Http, repeat};
use crate::app::{Principal, keys, maintenance};

/// The original's header.
const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// A caller that this process vouches for. It travels in a request's extensions, which no network
/// can fill.
#[derive(Clone)]
pub(super) struct InProcess(pub(super) Principal);

/// The authenticated caller. A handler that takes one answers 401 and 403 by itself; and 503 to what is no
/// read, while the whole inbox is in maintenance.
pub(super) struct Caller(pub(super) Principal);

impl FromRequestParts<Http> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        let Anytime(who) = Anytime::from_request_parts(parts, http).await?;
        if !parts.method.is_safe() {
            maintenance::admit(&http.app, &who)?;
        }
        Ok(Self(who))
    }
}

/// The authenticated caller, with an `Idempotency-Key` only where that is honoured, of what maintenance of the whole inbox doesn't keep from: maintenance itself; what
/// reads, whatever its method says; what stops a leak or a flood, which can't wait for its end. Where only some of
/// the requests are such, the use case says which.
pub(super) struct Anytime(pub(super) Principal);

impl FromRequestParts<Http> for Anytime {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        let who = match parts.extensions.get() {
            Some(InProcess(who)) => who.clone(),
            None => keys::authenticate(&http.app, presented(&parts.headers)?).await?,
        };
        repeat::check(parts)?;
        Ok(Self(who))
    }
}

/// The key that a request carries, in `api-key` or as a bearer token.
pub(super) fn presented(headers: &HeaderMap) -> Result<&str, Problem> {
    let own = headers.get_all(API_KEY).iter().map(HeaderValue::as_bytes);
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|v| bearer_token(v.as_bytes()));
    let mut found: Option<&[u8]> = None;
    for key in own.chain(bearer).map(<[u8]>::trim_ascii).filter(|key| !key.is_empty()) {
        if found.is_some_and(|other| other != key) {
            return Err(Problem::malformed(
                "the request carries two different keys; send one, as api-key or as Authorization: Bearer",
            ));
        }
        found = Some(key);
    }
    let key = found.ok_or_else(|| {
        let how = "send an API key as `api-key: {key}` or as `Authorization: Bearer {key}`";
        Problem::new(Kind::Unauthenticated, how)
    })?;
    std::str::from_utf8(key).map_err(|_| Problem::malformed("the key is not ASCII text"))
}

/// The token of `Authorization: Bearer`; another scheme is no credential here.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(HeaderName, &'static str)]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        presented(&headers).map(str::to_owned).map_err(|problem| problem.status())
    }

    #[test]
    fn takes_one_key_from_either_header() {
        assert_eq!(read(&[(API_KEY, "k")]), Ok("k".to_owned()));
        assert_eq!(read(&[(AUTHORIZATION, "bearer  k")]), Ok("k".to_owned()));
        assert_eq!(read(&[(API_KEY, "k"), (AUTHORIZATION, "Bearer k")]), Ok("k".to_owned()));
        assert_eq!(read(&[(API_KEY, "k"), (AUTHORIZATION, "Basic eA==")]), Ok("k".to_owned()));
        assert_eq!(read(&[(API_KEY, "k"), (AUTHORIZATION, "Bearer l")]), Err(400));
        assert_eq!(read(&[(API_KEY, "k"), (API_KEY, "l")]), Err(400));
        for none in
            [&[][..], &[(API_KEY, "")], &[(AUTHORIZATION, "Bearer ")], &[(AUTHORIZATION, "Basic eA==")]]
        {
            assert_eq!(read(none), Err(401));
        }
    }
}
