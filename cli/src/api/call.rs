//! A request of the API, before it is known which way it goes.

use std::fmt::{Display, Write};

use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, IF_MATCH};
use serde_json::Value;
use url::form_urlencoded;

/// Whether a request may be made again when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It reads, or does the same again.
    Safe,
    /// It may with the same `Idempotency-Key`, which it carries from the first time on.
    Keyed,
    /// It would do it twice.
    Never,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// The media type and the body.
    pub(crate) body: Option<(&'static str, Bytes)>,
    pub(crate) repeat: Repeat,
}

/// A path below `/api/v1`, of segments that may hold anything.
fn path(segments: &[&str]) -> String {
    let mut path = "/api/v1".to_owned();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            // RFC 3986, section 3.3, but for what some proxies treat as something special.
            if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
                path.push(char::from(byte));
            } else {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

impl Call {
    fn new(method: Method, segments: &[&str], repeat: Repeat) -> Self {
        Self { method, target: path(segments), headers: Vec::new(), body: None, repeat }
    }

    /// Reads.
    pub(crate) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments, Repeat::Safe)
    }

    /// Makes something.
    pub(crate) fn post(segments: &[&str], body: &Value) -> Self {
        Self::new(Method::POST, segments, Repeat::Never).json(body)
    }

    /// Changes something.
    pub(crate) fn patch(segments: &[&str], body: &Value) -> Self {
        Self::new(Method::PATCH, segments, Repeat::Never).json(body)
    }

    /// Makes something what it is to be.
    pub(crate) fn put(segments: &[&str], body: &Value) -> Self {
        Self::new(Method::PUT, segments, Repeat::Safe).json(body)
    }

    /// Takes something away.
    pub(crate) fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments, Repeat::Never)
    }

    /// Makes something of a YAML file.
    pub(crate) fn yaml(segments: &[&str], text: &str) -> Self {
        let mut call = Self::new(Method::POST, segments, Repeat::Never);
        call.body = Some(("application/yaml", Bytes::copy_from_slice(text.as_bytes())));
        call
    }

    fn json(mut self, body: &Value) -> Self {
        self.body = Some(("application/json", body.to_string().into()));
        self
    }

    /// Adds a parameter, if there is one.
    pub(crate) fn query(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.target.push(if self.target.contains('?') { '&' } else { '?' });
            let pair = form_urlencoded::Serializer::new(String::new())
                .append_pair(name, &value.to_string())
                .finish();
            self.target.push_str(&pair);
        }
        self
    }

    /// Adds a parameter that is true, or none.
    pub(crate) fn flag(self, name: &str, set: bool) -> Self {
        self.query(name, set.then_some("true"))
    }

    /// Only if the task is at this version.
    pub(crate) fn if_version(mut self, version: Option<i64>) -> Self {
        self.headers.extend(version.map(|version| (IF_MATCH, format!("\"{version}\""))));
        self
    }

    /// It does the same again.
    pub(crate) fn repeatable(mut self) -> Self {
        self.repeat = Repeat::Safe;
        self
    }

    /// It is not done twice under one `Idempotency-Key`.
    pub(crate) fn keyed(mut self) -> Self {
        self.repeat = Repeat::Keyed;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_fits_into_a_path_and_a_query() {
        let call =
            Call::get(&["schemas", "a/b ?ü"]).query("x", Some("1 &=")).query("y", None::<u8>).flag("z", true);
        assert_eq!(call.target, "/api/v1/schemas/a%2Fb%20%3F%C3%BC?x=1+%26%3D&z=true");
        assert_eq!(path(&["schemas", "ti:sample"]), "/api/v1/schemas/ti:sample");
    }
}
