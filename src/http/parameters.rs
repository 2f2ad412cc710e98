//! What a URL says: one path segment, and query parameters, each known by name.
//!
//! A filter that is ignored because its name was misspelt answers a question that nobody asked:
//! unknown, repeated and unreadable parameters are refused.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::fields::check_text;
use super::problem::Problem;

/// The longest value that any parameter has.
const LONGEST: usize = 1024;

/// The one variable segment of the path, decoded.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|_| Problem::malformed("the path is not UTF-8"))
    }
}

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Reads a query that may hold the `known` parameters.
    pub(super) fn parse(query: Option<&'a str>, known: &[&str]) -> Result<Self, Problem> {
        let mut values: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name: String = name.chars().take(64).collect();
                return Err(Problem::malformed(format!(
                    "there is no parameter {name:?} here; known: {known}"
                )));
            }
            if values.iter().any(|(other, _)| *other == name) {
                return Err(Problem::malformed(format!("the parameter {name} is given twice")));
            }
            check_text(&value, LONGEST)
                .map_err(|e| Problem::malformed(format!("the parameter {name} {e}")))?;
            // Percent-encoded bytes that are no UTF-8 arrive as this.
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(Problem::malformed(format!("the parameter {name} is not UTF-8")));
            }
            values.push((name, value));
        }
        Ok(Self(values))
    }

    /// The parameter as given, empty or not.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// The parameter's text, which must not be empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.raw(name) {
            Some("") => Err(Problem::malformed(format!(
                "the parameter {name} is empty; leave it out to not filter by it"
            ))),
            value => Ok(value),
        }
    }

    /// The parameter as something that its text is read into.
    pub(super) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.text(name)?
            .map(|text| {
                parse(text).ok_or_else(|| {
                    Problem::malformed(format!("the parameter {name} must be {expected}, not {text:?}"))
                })
            })
            .transpose()
    }

    /// `true` or `false`; absent is false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        let read = self.read(name, "true or false", |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })?;
        Ok(read.unwrap_or_default())
    }

    /// How many items a page holds: 100, or what `limit` says from 1 to 500.
    pub(super) fn limit(&self) -> Result<u64, Problem> {
        let read = self.read("limit", "a number from 1 to 500", |text| {
            text.parse().ok().filter(|limit| (1..=500).contains(limit))
        })?;
        Ok(read.unwrap_or(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_parameters() {
        let parameters = Parameters::parse(Some("a=x%20y+z&b="), &["a", "b", "c"]).expect("known");
        assert_eq!(parameters.text("a").expect("not empty"), Some("x y z"));
        assert_eq!(parameters.raw("b"), Some(""));
        assert!(parameters.text("b").is_err());
        assert_eq!(parameters.text("c").expect("absent"), None);
        for query in ["d=1", "a=1&a=1", "a=%00", "a=%ff", "=", "&x"] {
            assert!(Parameters::parse(Some(query), &["a"]).is_err(), "{query}");
        }
        assert!(Parameters::parse(None, &[]).is_ok());
        assert!(Parameters::parse(Some(""), &[]).is_ok());
    }

    #[test]
    fn limits_pages() {
        let limit = |query| Parameters::parse(Some(query), &["limit"]).and_then(|p| p.limit());
        assert_eq!(limit("").expect("default"), 100);
        assert_eq!(limit("limit=500").expect("the most"), 500);
        for query in ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=99999999999999999999"] {
            assert!(limit(query).is_err(), "{query}");
        }
    }
}
