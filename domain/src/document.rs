//! JSON that came from a client and is kept exactly as it was sent.
//!
//! A document is checked once, when it is parsed, and carried as text from then on: stored,
//! hashed, signed and answered without being built up and taken apart again. Numbers keep their
//! digits and objects their order.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The largest `meta` or `output`, in bytes as sent.
pub const MAX_BYTES: usize = 256 * 1024;

/// The deepest nesting; serde_json's own limit is 128, and nobody reads more than this.
pub const MAX_DEPTH: usize = 64;

/// The largest integer that every JSON reader carries exactly (I-JSON, RFC 7493 section 2.2).
const MAX_SAFE_INTEGER: u64 = 9_007_199_254_740_991;

/// Valid JSON text that any receiver can read back without loss.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(Arc<str>);

/// Why a text is not a [`Document`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is longer than [`MAX_BYTES`].
    #[error("is {0} bytes long; at most {MAX_BYTES} are kept")]
    TooLarge(usize),
    /// It is not JSON, or holds what JSON readers disagree about.
    #[error("{0}")]
    Invalid(String),
    /// It is JSON, but not an object.
    #[error("must be a JSON object")]
    NotAnObject,
}

impl Document {
    /// Parses any JSON value.
    ///
    /// # Errors
    ///
    /// Refused besides what is not JSON: U+0000 (PostgreSQL can't store it), a key that occurs
    /// twice in an object, an integer beyond ±(2^53 - 1) or a number that a double can't hold
    /// (RFC 7493), nesting deeper than [`MAX_DEPTH`], more than [`MAX_BYTES`].
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(DocumentError::TooLarge(text.len()));
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        Check { depth: 0 }
            .deserialize(&mut reader)
            .and_then(|()| reader.end())
            .map_err(|e| DocumentError::Invalid(e.to_string()))?;
        Ok(Self(text.into()))
    }

    /// Parses a JSON object, as `meta` must be.
    pub fn parse_object(text: &str) -> Result<Self, DocumentError> {
        let document = Self::parse(text)?;
        if document.0.starts_with('{') { Ok(document) } else { Err(DocumentError::NotAnObject) }
    }

    /// Text that was a document when it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The text, as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, for validating and comparing.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or(serde_json::Value::Null)
    }

    /// Whether both mean the same: order of keys and white space don't count.
    pub fn same_value(&self, other: &Self) -> bool {
        self.0 == other.0 || self.to_value() == other.to_value()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.get().into()))
    }
}

/// Walks a value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Check {
    depth: usize,
}

impl Check {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<(), E> {
        if n > MAX_SAFE_INTEGER { Err(not_exact(n)) } else { Ok(()) }
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<(), E> {
        if n.unsigned_abs() > MAX_SAFE_INTEGER { Err(not_exact(n)) } else { Ok(()) }
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<(), E> {
        // An integer too long for 64 bits arrives here as a double.
        if !n.is_finite() || (n.fract() == 0.0 && n.abs() > MAX_SAFE_INTEGER as f64) {
            return Err(not_exact(n));
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom("contains U+0000, which can't be stored")) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        use serde::de::Error;
        let inner = self.deeper()?;
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.visit_str(&key)?;
            map.next_value_seed(inner)?;
            if let Some(twice) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("the key {twice:?} occurs twice in one object")));
            }
        }
        Ok(())
    }
}

fn not_exact<E: serde::de::Error>(n: impl fmt::Display) -> E {
    E::custom(format_args!(
        "the number {n} can't be carried exactly by every JSON reader (RFC 7493); send it as a string"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Document::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn keeps_text_as_sent() {
        let text = r#"{"b":1.50,"a":[1e3,"é"]}"#;
        assert_eq!(Document::parse_object(text).expect("valid").as_str(), text);
    }

    #[test]
    fn refuses_what_readers_disagree_about() {
        assert!(refused(r#"{"a":"\u0000"}"#).contains("U+0000"));
        assert!(refused("{\"\\u0000\":1}").contains("U+0000"));
        assert!(refused(r#"{"a":9007199254740993}"#).contains("RFC 7493"));
        assert!(refused(r#"{"a":-9007199254740992}"#).contains("RFC 7493"));
        assert!(refused("[123456789012345678901234567890]").contains("RFC 7493"));
        assert!(refused(r#"{"a":1,"a":2}"#).contains("twice"));
        assert!(refused("[1] x").contains("trailing"));
        assert!(refused("1e999").contains("range"));
        assert!(refused(&"[".repeat(65)).contains("deeper"));
        assert!(refused(&format!("\"{}\"", "x".repeat(MAX_BYTES))).contains("bytes"));
        assert_eq!(Document::parse_object("[]"), Err(DocumentError::NotAnObject));
        assert!(Document::parse("9007199254740991").is_ok());
        assert!(Document::parse("0.1").is_ok());
    }

    #[test]
    fn compares_by_meaning() {
        let a = Document::parse(r#"{"a":1,"b":2}"#).expect("valid");
        let b = Document::parse(r#"{ "b":2, "a":1 }"#).expect("valid");
        assert!(a.same_value(&b));
    }
}
