//! Each part of a webhook as it was given, and as it may have been meant.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::fault::{Fault, Mistake};
use super::lenient;
use crate::Timestamp;
use crate::webhook::signing::{HMAC_PREFIX, HmacKey};

/// The bytes of a key.
pub(super) type Key = Vec<u8>;

/// A part, and the mistake without which it would be this.
pub(super) struct Tried<T> {
    pub(super) mistake: Option<Mistake>,
    pub(super) value: T,
}

/// The first of them is as it was given; what is equal to one before is left out.
fn tried<T: PartialEq>(variants: impl IntoIterator<Item = (Option<Mistake>, Option<T>)>) -> Vec<Tried<T>> {
    let mut found: Vec<Tried<T>> = Vec::new();
    for (mistake, value) in variants {
        if let Some(value) = value.filter(|value| found.iter().all(|one| one.value != *value)) {
            found.push(Tried { mistake, value });
        }
    }
    found
}

/// The keys that a text may stand for. One that can't be read has none that is right.
pub(super) fn keys(text: &str) -> Vec<Tried<Key>> {
    let text = text.trim();
    let bare = text.trim_matches(['"', '\'', '`']).trim();
    let encoded = bare.strip_prefix(HMAC_PREFIX);
    let right = HmacKey::parse(text).ok().and_then(|_| BASE64_STANDARD.decode(encoded?).ok());
    tried([
        (None, right),
        (Some(Mistake::SecretForm), encoded.and_then(lenient)),
        (Some(Mistake::SecretPrefixMissing), lenient(bare).filter(|_| encoded.is_none())),
        (Some(Mistake::SecretNotDecoded), Some(encoded.unwrap_or(bare).into())),
        (Some(Mistake::SecretWithPrefix), Some(format!("{HMAC_PREFIX}{}", encoded.unwrap_or(bare)).into())),
        (Some(Mistake::SecretPrefixDecoded), encoded.and_then(|_| lenient(bare))),
        // Python's decoder passes over what is not in its alphabet.
        (Some(Mistake::SecretPrefixDecoded), encoded.and_then(|rest| lenient(&format!("whsec{rest}")))),
    ])
}

/// The ids that a text may stand for.
pub(super) fn ids(text: &str) -> Vec<Tried<String>> {
    tried([
        (None, Some(text.to_owned())),
        (Some(Mistake::IdPrefixMissing), Some(format!("evt_{text}")).filter(|_| !text.starts_with("evt_"))),
        (Some(Mistake::IdPrefixAdded), text.strip_prefix("evt_").map(str::to_owned)),
    ])
}

/// The timestamps that a text may stand for, as they are signed.
pub(super) fn timestamps(text: &str) -> Vec<Tried<String>> {
    let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|b| b.is_ascii_digit()));
    let date = Timestamp::parse(text).ok().map(|at| at.as_secs().to_string());
    tried([
        (None, Some(text.to_owned())),
        (Some(Mistake::TimestampUnit), seconds(text).and_then(in_seconds).map(|s| s.to_string())),
        (Some(Mistake::TimestampForm), date),
        (Some(Mistake::TimestampForm), whole.and_then(|(whole, _)| seconds(whole)).map(|s| s.to_string())),
    ])
}

/// A whole number, as the header holds it.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Seconds, if the number is of milliseconds, microseconds or nanoseconds. As seconds, 100,000,000,000 is
/// in the year 5138; as milliseconds, in 1973.
pub(super) const fn in_seconds(number: i64) -> Option<i64> {
    const LARGEST: i64 = 100_000_000_000;
    let mut number = number;
    if number < LARGEST {
        return None;
    }
    while number >= LARGEST {
        number /= 1_000;
    }
    Some(number)
}

/// The bodies that bytes may stand for.
pub(super) fn bodies(body: &[u8]) -> Vec<Tried<Vec<u8>>> {
    let text = std::str::from_utf8(body).ok();
    let compacted = compact(body);
    let mark = body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec);
    let unix = text.map(|text| text.replace("\r\n", "\n").into_bytes());
    let dos = text.map(|text| text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
    let decoded = text.and_then(|text| lenient(text.trim())).filter(|bytes| !bytes.is_empty());
    tried([
        (None, Some(body.to_vec())),
        (Some(Mistake::BodyNewlineAdded), Some(trim_line_ends(body).to_vec())),
        (Some(Mistake::BodyNewlineMissing), Some([body, b"\n"].concat())),
        (Some(Mistake::BodyNewlineMissing), Some([body, b"\r\n"].concat())),
        (Some(Mistake::BodyLineEnds), unix),
        (Some(Mistake::BodyLineEnds), dos),
        (Some(Mistake::BodyMark), mark),
        (Some(Mistake::BodySpaces), compacted.clone()),
        (Some(Mistake::BodySpaces), compacted.as_deref().map(spaced)),
        (Some(Mistake::BodyEscapes), compacted.as_deref().and_then(unescaped)),
        (Some(Mistake::BodyBase64), decoded),
    ])
}

fn trim_line_ends(body: &[u8]) -> &[u8] {
    let end = body.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &body[..end]
}

/// Copies JSON, with what `between` makes of each byte that stands outside of strings. The texts of
/// numbers and strings and the order of keys stay, which a parser would lose.
fn rewrite(body: &[u8], mut between: impl FnMut(u8, &mut Vec<u8>)) -> Vec<u8> {
    let mut written = Vec::with_capacity(body.len());
    let (mut inside, mut escaped) = (false, false);
    for &byte in body {
        if !inside {
            between(byte, &mut written);
            inside = byte == b'"';
            continue;
        }
        written.push(byte);
        inside = escaped || byte != b'"';
        escaped = !escaped && byte == b'\\';
    }
    written
}

/// JSON without spaces between its parts, as webhooks are sent; `None`: it is no JSON.
pub(super) fn compact(body: &[u8]) -> Option<Vec<u8>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice::<&serde_json::value::RawValue>(body).ok()?;
    Some(rewrite(body, |byte, written| {
        if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            written.push(byte);
        }
    }))
}

/// Compact JSON with a space after each comma and colon, as Python writes it.
fn spaced(body: &[u8]) -> Vec<u8> {
    rewrite(body, |byte, written| {
        written.push(byte);
        if matches!(byte, b',' | b':') {
            written.push(b' ');
        }
    })
}

/// JSON with the characters in place of their escapes, but for those that JSON wants escaped.
fn unescaped(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        written.push_str(&rest[..at]);
        let length = escape_length(&rest[at..])?;
        let (escape, after) = rest[at..].split_at_checked(length)?;
        let character: String = serde_json::from_str(&format!("\"{escape}\"")).ok()?;
        let is_plain = length > 2 && character.chars().all(|c| !c.is_ascii());
        written.push_str(if is_plain { &character } else { escape });
        rest = after;
    }
    written.push_str(rest);
    Some(written.into_bytes())
}

/// How long the escape is that a text begins with; a pair of surrogates is one.
fn escape_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.get(1)? != &b'u' {
        return Some(2);
    }
    let is_high = matches!(bytes.get(2..4)?, [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B']);
    Some(if is_high { 12 } else { 6 })
}

/// The signatures that a header may hold, and what is wrong with the entries that hold none.
pub(super) fn signatures(header: &str) -> (Vec<Tried<[u8; 32]>>, Vec<Fault>) {
    let (mut found, mut faults, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut entries = 0;
    for entry in header.split_ascii_whitespace() {
        // Proxies join headers that come twice by a comma.
        let entry = entry.trim_end_matches(',');
        let (version, text) = match entry.split_once([',', '=']) {
            Some((version, text)) if is_version(version) => (Some(version), text),
            _ => (None, entry),
        };
        let right = BASE64_STANDARD.decode(text).ok();
        let hex = crate::log::unhex(&text.to_ascii_lowercase()).filter(|bytes| bytes.len() == 32);
        let mistake = match version {
            _ if hex.is_some() => Some(Mistake::SignatureHex),
            None => Some(Mistake::SignatureVersionMissing),
            Some("v1") if right.is_none() || !entry.starts_with("v1,") => Some(Mistake::SignatureForm),
            Some("v1") => None,
            Some(other) => Some(Mistake::SignatureVersion(other.to_owned())),
        };
        let bytes = hex.or(right).or_else(|| lenient(text));
        let value = bytes.as_deref().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        entries += 1;
        if let Some(Mistake::SignatureVersion(version)) = &mistake {
            others.push(version.clone());
        } else if value.is_none() {
            faults.push(bytes.map_or(Fault::NotBase64, |bytes| Fault::Length(bytes.len())));
        }
        found.extend(value.map(|value| Tried { mistake, value }));
    }
    if entries > 0 && entries == others.len() {
        faults.push(Fault::Version(others));
    }
    (found, faults)
}

/// Whether what stands before a comma is a version: `v1`, `v1a`, `sha256`.
fn is_version(text: &str) -> bool {
    let is_word = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_word && (text.starts_with('v') || text.starts_with("sha"))
}
