//! Is this webhook from whom it says, unchanged and fresh?
//!
//! Pure functions of (credentials, headers, raw body, clock): no HTTP, no I/O. Signed webhooks
//! follow the Standard Webhooks specification; `head` webhooks carry a shared key in a header.
//! What a refusal means in HTTP is `receiver`'s business.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// How far the sender's clock may be from ours, in either direction. A recorded request can be
/// replayed only this long; within that time deduplication catches it.
pub(crate) const TOLERANCE_SECONDS: u64 = 5 * 60;

/// A signing secret, ready to compute signatures with. Never printed.
#[derive(Clone)]
pub(crate) struct Secret(Hmac<Sha256>);

impl Secret {
    /// Parses `whsec_{base64}`, whose key must have 24 to 64 bytes.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let encoded = text.strip_prefix("whsec_").ok_or("a secret starts with `whsec_`")?;
        let key =
            STANDARD.decode(encoded).map_err(|_| "what follows `whsec_` must be standard, padded base64")?;
        if !(24..=64).contains(&key.len()) {
            return Err("a secret has 24 to 64 bytes");
        }
        // HMAC takes a key of any length; the error exists for the trait's sake.
        Hmac::new_from_slice(&key).map(Self).map_err(|_| "a secret of this length can't be used")
    }

    /// Parses several secrets, separated by spaces: in a rotation the old and the new one.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Self>, &'static str> {
        text.split_whitespace().map(Self::parse).collect()
    }

    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The three headers of a signed webhook, as they were sent.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) id: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) signatures: &'a str,
}

/// Why a signed webhook is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No signature matches: the wrong secret, or something changed on the way.
    Signature,
    /// The timestamp isn't an integer.
    Timestamp,
    /// Genuine, but sent so many seconds from our clock.
    Stale(u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("no signature in webhook-signature matches"),
            Self::Timestamp => f.write_str("webhook-timestamp is not in Unix seconds"),
            Self::Stale(seconds) => write!(
                f,
                "webhook-timestamp is stale: {seconds} s from this clock, {TOLERANCE_SECONDS} s allowed"
            ),
        }
    }
}

/// Verifies a signed webhook against every secret; one matching signature is enough.
///
/// The signature comes before the clock, so that "stale" is only ever said of a genuine request.
pub(crate) fn verify(secrets: &[Secret], signed: Signed<'_>, body: &[u8], now: i64) -> Result<(), Refusal> {
    let candidates: Vec<Vec<u8>> = signed
        .signatures
        .split(' ')
        // Other versions (`v1a`) may stand beside ours and are not ours to judge.
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .collect();
    let mut matches = Choice::from(0);
    for secret in secrets {
        let expected = secret.sign(signed.id, signed.timestamp, body);
        // No early return: the time must not tell which secret matched.
        for candidate in &candidates {
            matches |= expected.as_slice().ct_eq(candidate);
        }
    }
    if !bool::from(matches) {
        return Err(Refusal::Signature);
    }
    let sent: i64 = signed.timestamp.parse().map_err(|_| Refusal::Timestamp)?;
    match now.abs_diff(sent) {
        0..=TOLERANCE_SECONDS => Ok(()),
        seconds => Err(Refusal::Stale(seconds)),
    }
}

/// The key of a `head` webhook, kept as a hash so that comparing tells nothing of its length.
pub(crate) struct HeadKey([u8; 32]);

impl HeadKey {
    pub(crate) fn new(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, sent: &[u8]) -> bool {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        self.0.ct_eq(&sent).into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    // The vector published with the Standard Webhooks specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SENT: i64 = 1_614_265_330;
    const VECTOR: Signed<'_> = Signed {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };

    fn secrets(text: &str) -> Vec<Secret> {
        Secret::parse_all(text).unwrap()
    }

    #[test]
    fn the_published_vector_verifies() {
        assert_eq!(verify(&secrets(SECRET), VECTOR, BODY, SENT), Ok(()));
    }

    #[test]
    fn any_change_is_noticed() {
        let secrets = secrets(SECRET);
        let changed = [
            verify(&secrets, VECTOR, br#"{"test":2432232314}"#, SENT),
            verify(&secrets, Signed { id: "msg_other", ..VECTOR }, BODY, SENT),
            verify(&secrets, Signed { timestamp: "1614265331", ..VECTOR }, BODY, SENT),
        ];
        for outcome in changed {
            assert_eq!(outcome, Err(Refusal::Signature));
        }
    }

    #[test]
    fn signatures_of_other_forms_never_match() {
        for signatures in [
            "",
            "v1,",
            "v1",
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "v1,g0hM9SsE+OTPJTGt",
            "v1,%%%",
        ] {
            let signed = Signed { signatures, ..VECTOR };
            assert_eq!(
                verify(&secrets(SECRET), signed, BODY, SENT),
                Err(Refusal::Signature),
                "{signatures:?}"
            );
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let signatures = format!("v1,AAAA v2,x {}", VECTOR.signatures);
        let signed = Signed { signatures: &signatures, ..VECTOR };
        assert_eq!(verify(&secrets(SECRET), signed, BODY, SENT), Ok(()));
    }

    #[test]
    fn either_secret_of_a_rotation_verifies() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for both in [format!("{SECRET} {other}"), format!("{other}  {SECRET}")] {
            assert_eq!(verify(&secrets(&both), VECTOR, BODY, SENT), Ok(()));
        }
        assert_eq!(verify(&secrets(other), VECTOR, BODY, SENT), Err(Refusal::Signature));
        assert_eq!(verify(&[], VECTOR, BODY, SENT), Err(Refusal::Signature));
    }

    #[test]
    fn five_minutes_both_ways() {
        let at = |now| verify(&secrets(SECRET), VECTOR, BODY, now);
        assert_eq!(at(SENT + 300), Ok(()));
        assert_eq!(at(SENT - 300), Ok(()));
        assert_eq!(at(SENT + 301), Err(Refusal::Stale(301)));
        assert_eq!(at(SENT - 301), Err(Refusal::Stale(301)));
        assert_eq!(at(i64::MIN), Err(Refusal::Stale(SENT.abs_diff(i64::MIN))));
    }

    #[test]
    fn a_signed_timestamp_must_still_be_a_number() {
        let secrets = secrets(SECRET);
        let signature = format!("v1,{}", STANDARD.encode(secrets[0].sign(VECTOR.id, "now", BODY)));
        let signed = Signed { timestamp: "now", signatures: &signature, ..VECTOR };
        assert_eq!(verify(&secrets, signed, BODY, SENT), Err(Refusal::Timestamp));
    }

    #[test]
    fn malformed_secrets_are_refused() {
        for text in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%", "whsec_AAAA"] {
            assert!(Secret::parse(text).is_err(), "{text}");
        }
        assert!(secrets("  ").is_empty());
    }

    #[test]
    fn a_head_key_matches_itself_only() {
        let key = HeadKey::new("s3cret");
        assert!(key.matches(b"s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3cret"] {
            assert!(!key.matches(wrong.as_bytes()), "{wrong}");
        }
    }
}
