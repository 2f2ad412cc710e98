//! Tokens for the realtime connection: JWTs (RFC 7519) signed with HS256, under a key of each master key's own.
//!
//! The library that reads and checks them is given HMAC as its one algorithm; there is no other to be confused with.

use std::sync::Once;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::vault::VaultError;
use super::{AppError, Vault};

/// Who makes and takes them.
const ISSUER: &str = "task-inbox";

/// What they are for.
const AUDIENCE: &str = "realtime";

/// How long a token can be used to listen, in seconds. What is listened to then goes on.
pub(super) const LIFETIME: u64 = 900;

/// By how much two replicas' clocks may differ, in seconds.
const LEEWAY: u64 = 30;

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    /// The API key's id.
    pub(super) sub: Uuid,
    iat: u64,
    exp: u64,
    /// `{resource}:{action}[:{schema}]`.
    pub(super) scopes: Vec<String>,
}

/// Makes one.
pub(super) fn sign(vault: &Vault, holder: Uuid, scopes: Vec<String>) -> Result<String, AppError> {
    install();
    let now = jsonwebtoken::get_current_timestamp();
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: holder,
        iat: now,
        exp: now + LIFETIME,
        scopes,
    };
    let keys = vault.token_keys()?;
    let (id, key) = keys.first().ok_or(VaultError::Missing)?;
    let header = Header { kid: Some(id.clone()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key))
        .map_err(|error| AppError::Internal(format!("a token can't be signed: {error}")))
}

/// Reads one; `None` if it is not ours, altered, or over.
pub(super) fn read(vault: &Vault, token: &str) -> Option<Claims> {
    install();
    let id = jsonwebtoken::decode_header(token).ok()?.kid?;
    let keys = vault.token_keys().ok()?;
    let (_, key) = keys.iter().find(|(known, _)| *known == id)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.leeway = LEEWAY;
    jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(key), &validation)
        .ok()
        .map(|data| data.claims)
}

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(key: &[u8]) -> Self {
        Self(<Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length"))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], expected: &Vec<u8>) -> Result<(), signature::Error> {
        // In constant time.
        self.0.clone().chain_update(message).verify_slice(expected).map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

fn only_hs256(algorithm: Algorithm) -> JwtResult<()> {
    if algorithm == Algorithm::HS256 { Ok(()) } else { Err(ErrorKind::InvalidAlgorithm.into()) }
}

static HMAC_ALONE: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        only_hs256(*algorithm)?;
        Ok(Box::new(Hs256::new(key.as_bytes())))
    },
    verifier_factory: |algorithm, key| {
        only_hs256(*algorithm)?;
        Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// The library has one provider for the process.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if HMAC_ALONE.install_default().is_err() {
            tracing::warn!("something else in this process has chosen how tokens are signed");
        }
    });
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    const OLD: &str = "old:dGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtMTI=";
    const NEW: &str = "new:dGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtMTM=";

    fn vault(ring: &str) -> Vault {
        Vault::parse(ring).expect("a ring")
    }

    #[test]
    fn a_token_comes_back_under_the_same_ring_and_after_a_rotation() {
        let id = Uuid::now_v7();
        let token = sign(&vault(OLD), id, vec!["task:read:ti:sample".to_owned()]).expect("signed");
        for ring in [OLD.to_owned(), format!("{NEW},{OLD}")] {
            let claims = read(&vault(&ring), &token).expect("ours");
            assert_eq!((claims.sub, claims.scopes), (id, vec!["task:read:ti:sample".to_owned()]));
        }
        assert!(read(&vault(NEW), &token).is_none(), "its key has left the ring");
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let vault = vault(OLD);
        let token = sign(&vault, Uuid::now_v7(), Vec::new()).expect("signed");
        let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        let encoded = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let claims: serde_json::Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body).expect("base64")).expect("JSON");
        let more =
            encoded(serde_json::json!({"scopes": ["task:read"], "sub": claims["sub"], "iss": "task-inbox",
            "aud": "realtime", "exp": claims["exp"]}));
        let none = encoded(serde_json::json!({"alg": "none", "typ": "JWT", "kid": "old"}));
        let other = encoded(serde_json::json!({"alg": "HS384", "typ": "JWT", "kid": "old"}));
        for bad in [
            String::new(),
            "x.y.z".to_owned(),
            format!("{head}.{more}.{signature}"),
            format!("{none}.{body}."),
            format!("{none}.{body}.{signature}"),
            format!("{other}.{body}.{signature}"),
            format!("{head}.{body}."),
            format!("{head}.{body}"),
        ] {
            assert!(read(&vault, &bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_over_or_for_something_else_is_refused() {
        install();
        let vault = vault(OLD);
        let (id, key) = vault.token_keys().expect("keys").remove(0);
        let now = jsonwebtoken::get_current_timestamp();
        let made = |aud: &str, iss: &str, exp: u64| {
            let claims = Claims {
                iss: iss.to_owned(),
                aud: aud.to_owned(),
                sub: Uuid::nil(),
                iat: now,
                exp,
                scopes: Vec::new(),
            };
            let header = Header { kid: Some(id.clone()), ..Header::new(Algorithm::HS256) };
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key)).expect("signed")
        };
        assert!(read(&vault, &made(AUDIENCE, ISSUER, now + 1)).is_some());
        assert!(read(&vault, &made(AUDIENCE, ISSUER, now - LEEWAY - 2)).is_none(), "over");
        assert!(read(&vault, &made("session", ISSUER, now + 1)).is_none(), "for something else");
        assert!(read(&vault, &made(AUDIENCE, "x", now + 1)).is_none(), "somebody else's");
    }
}
