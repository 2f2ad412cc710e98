//! How a webhook proves where it comes from: Standard Webhooks signatures, or the original's
//! shared secret in a header.
//!
//! Keys are made and stored elsewhere; here they are only read and used. None of the types shows
//! its key in `Debug`.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use uuid::Uuid;

use crate::schema::HookAuth;

/// What the text form of an [`HmacKey`] starts with (Standard Webhooks).
pub const HMAC_PREFIX: &str = "whsec_";

/// Fewest bytes of an [`HmacKey`].
const MIN_HMAC_BYTES: usize = 24;
/// Most bytes of an [`HmacKey`].
const MAX_HMAC_BYTES: usize = 64;
/// Most characters of a [`HeadKey`].
const MAX_HEAD_CHARS: usize = 512;

/// The secret of an endpoint.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Signs each body.
    Hmac(HmacKey),
    /// Is sent along, in a header.
    Head(HeadKey),
}

/// A key that signs.
#[derive(Clone)]
pub struct HmacKey {
    text: Arc<str>,
    /// HMAC with the key already taken in, so that each signature starts two blocks later.
    keyed: Hmac<Sha256>,
}

/// A key that is sent in a header.
#[derive(Clone)]
pub struct HeadKey(Arc<str>);

/// Why a text is not a key. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// An HMAC key without its prefix.
    #[error("an hmac key starts with whsec_")]
    Prefix,
    /// What follows the prefix is not base64.
    #[error("what follows whsec_ must be standard base64 with padding (RFC 4648 section 4)")]
    Base64,
    /// Too short to be a key or too long for one.
    #[error("an hmac key has {MIN_HMAC_BYTES} to {MAX_HMAC_BYTES} bytes, this one {0}")]
    HmacLength(usize),
    /// A header key that can't be sent as it is.
    #[error("a head key has 1 to {MAX_HEAD_CHARS} visible ASCII characters, without spaces")]
    Head,
}

impl HmacKey {
    /// Reads `whsec_` and the standard padded base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(HMAC_PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?;
        Self::new(&bytes, text.into())
    }

    /// Makes a key of 24 to 64 random bytes; [`HmacKey::expose`] gives its text form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        Self::new(bytes, format!("{HMAC_PREFIX}{}", BASE64_STANDARD.encode(bytes)).into())
    }

    fn new(bytes: &[u8], text: Arc<str>) -> Result<Self, SecretError> {
        if !(MIN_HMAC_BYTES..=MAX_HMAC_BYTES).contains(&bytes.len()) {
            return Err(SecretError::HmacLength(bytes.len()));
        }
        let keyed = Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length");
        Ok(Self { text, keyed })
    }

    /// The text form, to be stored encrypted or shown once.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl HeadKey {
    /// Takes 1 to 512 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let fits = (1..=MAX_HEAD_CHARS).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(SecretError::Head)
        }
    }

    /// The key, as it is sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Secret {
    /// Reads a key of the kind that `auth` asks for.
    pub fn parse(auth: &HookAuth, text: &str) -> Result<Self, SecretError> {
        match auth {
            HookAuth::Hmac => HmacKey::parse(text).map(Self::Hmac),
            HookAuth::Head { .. } => HeadKey::parse(text).map(Self::Head),
        }
    }

    /// The text form, to be stored encrypted or shown once.
    pub fn expose(&self) -> &str {
        match self {
            Self::Hmac(key) => key.expose(),
            Self::Head(key) => key.expose(),
        }
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(…)")
    }
}

impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadKey(…)")
    }
}

/// The `webhook-id` of an event: the same on every attempt, and without a `.`, which separates
/// the parts of what is signed.
pub fn webhook_id(event_id: Uuid) -> String {
    format!("evt_{event_id}")
}

/// One entry of `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over
/// `{id}.{timestamp}.{body}`. `timestamp` is in Unix seconds.
pub fn sign(key: &HmacKey, id: &str, timestamp: i64, body: &[u8]) -> String {
    let tag = key
        .keyed
        .clone()
        .chain_update(id)
        .chain_update(format!(".{timestamp}."))
        .chain_update(body)
        .finalize();
    format!("v1,{}", BASE64_STANDARD.encode(tag.into_bytes()))
}

/// The value of `webhook-signature`: one entry for each active key, several during a rotation.
pub fn signatures<'a>(
    keys: impl IntoIterator<Item = &'a HmacKey>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let entries: Vec<_> = keys.into_iter().map(|key| sign(key, id, timestamp, body)).collect();
    entries.join(" ")
}

/// Whether any entry of a `webhook-signature` is right for any of the keys.
///
/// Every pair is compared, each in constant time. Whether `timestamp` is recent is for the
/// caller to say, who has a clock.
pub fn verify<'a>(
    keys: impl IntoIterator<Item = &'a HmacKey>,
    id: &str,
    timestamp: i64,
    body: &[u8],
    header: &str,
) -> bool {
    let mut found = Choice::from(0);
    for key in keys {
        let expected = sign(key, id, timestamp, body);
        for entry in header.split_ascii_whitespace() {
            found |= expected.as_bytes().ct_eq(entry.as_bytes());
        }
    }
    found.into()
}

/// Headers of one connection, which a proxy or the client itself writes (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks a header name that an author chose for an endpoint.
///
/// # Errors
///
/// Says why it can't be used: not a field name (RFC 9110 section 5.1), or one whose meaning is
/// taken.
pub fn check_header_name(name: &str) -> Result<(), String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token) {
        return Err(format!(
            "{name:?} is not a header name: 1 to 64 letters, digits, or any of !#$%&'*+-.^_`|~"
        ));
    }
    let lower = name.to_ascii_lowercase();
    let taken = matches!(lower.as_str(), "host" | "user-agent")
        || lower.starts_with("content-")
        || lower.starts_with("webhook-")
        || HOP_BY_HOP.contains(&lower.as_str());
    if taken {
        return Err(format!(
            "{name} can't be set: Host, User-Agent, Content-*, webhook-* and connection headers have their own meaning"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn key(text: &str) -> HmacKey {
        HmacKey::parse(text).expect("valid")
    }

    #[test]
    fn signs_the_published_vector() {
        assert_eq!(sign(&key(KEY), ID, 1_614_265_330, BODY), SIGNED);
        assert_eq!(key(KEY).expose(), KEY);
    }

    #[test]
    fn another_librarys_receiver_accepts_it() {
        let receiver = standardwebhooks::Webhook::new(KEY).expect("valid key");
        assert_eq!(receiver.sign(ID, 1_614_265_330, BODY).expect("signs"), SIGNED);
        assert_eq!(receiver.sign(ID, -1, BODY).ok(), Some(sign(&key(KEY), ID, -1, BODY)));
    }

    #[test]
    fn two_keys_sign_during_a_rotation() {
        let (old, new) = (key(KEY), HmacKey::from_bytes(&[7; 32]).expect("32 bytes"));
        let header = signatures([&old, &new], ID, 5, BODY);
        assert_eq!(header.split(' ').count(), 2);
        for one in [&old, &new] {
            assert!(verify([one], ID, 5, BODY, &header));
            assert!(verify([&old, &new], ID, 5, BODY, &sign(one, ID, 5, BODY)));
        }
        let other = HmacKey::from_bytes(&[8; 24]).expect("24 bytes");
        assert!(!verify([&other], ID, 5, BODY, &header));
        assert!(!verify([], ID, 5, BODY, &header));
        assert!(!verify([&old], ID, 5, BODY, ""));
        // Entries of later versions are passed over.
        assert!(verify([&old], ID, 5, BODY, &format!("v2,abc  {header}")));
    }

    #[test]
    fn hmac_keys_are_checked() {
        let encoded = |n: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![1; n]));
        for n in [24, 25, 32, 64] {
            assert_eq!(key(&encoded(n)).expose(), encoded(n));
            assert_eq!(HmacKey::from_bytes(&vec![1; n]).expect("fits").expose(), encoded(n));
        }
        for n in [0, 23, 65] {
            assert_eq!(HmacKey::parse(&encoded(n)).err(), Some(SecretError::HmacLength(n)));
            assert_eq!(HmacKey::from_bytes(&vec![1; n]).err(), Some(SecretError::HmacLength(n)));
        }
        assert_eq!(HmacKey::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").err(), Some(SecretError::Prefix));
        assert_eq!(HmacKey::parse("WHSEC_aaaa").err(), Some(SecretError::Prefix));
        let unpadded = encoded(25).trim_end_matches('=').to_owned();
        let url_safe = format!("whsec_{}", "-_-_".repeat(8));
        for text in [unpadded, url_safe, format!("{KEY} "), format!("{KEY}\n"), "whsec_é".to_owned()] {
            assert_eq!(HmacKey::parse(&text).err(), Some(SecretError::Base64), "{text}");
        }
    }

    #[test]
    fn head_keys_are_checked() {
        for text in ["x", "!~", &"k".repeat(512)] {
            assert_eq!(HeadKey::parse(text).expect("valid").expose(), text);
        }
        for text in ["", " ", "a b", "a\n", "é", "\u{7f}", &"k".repeat(513)] {
            assert_eq!(HeadKey::parse(text).err(), Some(SecretError::Head), "{text:?}");
        }
    }

    #[test]
    fn the_kind_decides_what_a_key_may_be() {
        let head = HookAuth::Head { header: "ti-key".to_owned() };
        assert_eq!(Secret::parse(&head, "plain").expect("a head key").expose(), "plain");
        assert_eq!(Secret::parse(&HookAuth::Hmac, KEY).expect("an hmac key").expose(), KEY);
        assert_eq!(Secret::parse(&HookAuth::Hmac, "plain").err(), Some(SecretError::Prefix));
    }

    #[test]
    fn debug_and_errors_never_show_a_key() {
        let secrets = [Secret::Hmac(key(KEY)), Secret::Head(HeadKey::parse("hush-hush").expect("valid"))];
        let shown = format!("{secrets:?}");
        assert!(!shown.contains("MfKQ") && !shown.contains("hush"), "{shown}");
        let error = HmacKey::parse("whsec_hush!").expect_err("not base64").to_string();
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn the_id_is_one_word_without_a_dot() {
        let id = webhook_id(Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(id, "evt_01950000-0000-7000-8000-000000000001");
    }

    #[test]
    fn header_names_are_checked() {
        for name in ["ti-key", "X-Api-Key", "Authorization", "authorization", "x_1", "Hosts", "te2"] {
            assert_eq!(check_header_name(name), Ok(()), "{name}");
        }
        for name in [
            "Host",
            "host",
            "Content-Type",
            "content-length",
            "Content-X",
            "webhook-id",
            "Webhook-Signature",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Proxy-Authenticate",
        ] {
            assert!(check_header_name(name).expect_err(name).contains("can't be set"), "{name}");
        }
        for name in ["", "a b", "a:", "é", "a\r\nb", "(a)", &"a".repeat(65)] {
            assert!(check_header_name(name).expect_err(name).contains("not a header name"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_other_library(
            bytes in prop::collection::vec(any::<u8>(), 24..=64),
            id in "[a-zA-Z0-9_-]{1,40}",
            timestamp in any::<i64>(),
            body in "\\PC{0,200}",
        ) {
            let ours = HmacKey::from_bytes(&bytes).expect("24 to 64 bytes");
            let theirs = standardwebhooks::Webhook::new(ours.expose()).expect("valid key");
            let signature = sign(&ours, &id, timestamp, body.as_bytes());
            prop_assert_eq!(theirs.sign(&id, timestamp, body.as_bytes()).expect("signs"), signature.clone());
            prop_assert!(verify([&ours], &id, timestamp, body.as_bytes(), &signature));
        }

        #[test]
        fn any_change_is_noticed(
            body in prop::collection::vec(any::<u8>(), 1..60),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let key = HmacKey::from_bytes(&[1; 32]).expect("32 bytes");
            let header = sign(&key, "evt_1", 10, &body);
            let mut other = body.clone();
            let i = at.index(other.len());
            other[i] ^= flip;
            prop_assert!(!verify([&key], "evt_1", 10, &other, &header));
            prop_assert!(!verify([&key], "evt_2", 10, &body, &header));
            prop_assert!(!verify([&key], "evt_1", 11, &body, &header));
            let mut header = header.into_bytes();
            let i = at.index(header.len());
            header[i] = header[i].wrapping_add(1) & 0x7f;
            let header = String::from_utf8(header).expect("ASCII");
            prop_assert!(!verify([&key], "evt_1", 10, &body, &header));
        }
    }
}
