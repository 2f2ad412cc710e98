//! Standard Webhooks signatures, checked as a receiver would, with code of our own.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret as the service gives it out: `whsec_` and base64.
#[derive(Clone, Debug)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads a secret; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text.strip_prefix("whsec_")?).ok().map(Self)
    }

    /// Whether one of the signatures in the header is this secret's over these bytes.
    pub fn verifies(&self, header: &str, id: &str, timestamp: &str, body: &[u8]) -> bool {
        header.split(' ').filter_map(|one| one.strip_prefix("v1,")).any(|one| {
            BASE64_STANDARD.decode(one).is_ok_and(|signature| {
                Hmac::<Sha256>::new_from_slice(&self.0).is_ok_and(|mac| {
                    mac.chain_update(id)
                        .chain_update(".")
                        .chain_update(timestamp)
                        .chain_update(".")
                        .chain_update(body)
                        .verify_slice(&signature)
                        .is_ok()
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifies_the_published_vector_and_nothing_else() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let (header, body) = ("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", br#"{"test": 2432232314}"#);
        assert!(secret.verifies(header, id, at, body));
        assert!(secret.verifies(&format!("v1,AAAA {header}"), id, at, body));
        assert!(!secret.verifies(header, id, at, br#"{"test": 2432232315}"#));
        assert!(!secret.verifies(header, id, "1614265331", body));
        assert!(!secret.verifies("", id, at, body));
    }
}
