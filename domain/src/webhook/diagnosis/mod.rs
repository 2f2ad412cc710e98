//! Why a signature does not verify, for whoever holds a webhook in hand and wonders.
//!
//! [`signing::verify`](super::signing::verify) says yes or no, and a receiver should not learn more.
//! Here the same parts come as texts that may be anything, and what is wrong with each is said; where
//! nothing matches, the usual mistakes (`variants`) are tried, and the one that would match is named.
//! `fault` has the sentences. Nothing here is constant in time: it judges for somebody who has the
//! secret.

mod fault;
mod variants;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::signing::HmacKey;
use crate::Timestamp;
pub use fault::{Evidence, Fault, Mistake, Part};
use variants::{Key, Tried};

/// How many mistakes at once are looked for.
const MOST_MISTAKES: usize = 2;

/// A webhook as it was copied from somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// `webhook-id`, if it was there.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`, if it was there.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`, if it was there.
    pub signature: Option<&'a str>,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// What there is to say about a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Which of the secrets made a signature over exactly what is held.
    pub signed_with: Option<usize>,
    /// How many seconds ago it was sent by its own account; negative: in the future.
    pub age: Option<i64>,
    /// Everything that is wrong, what keeps it from being compared first.
    pub faults: Vec<Fault>,
}

impl Diagnosis {
    /// Whether a receiver would take it.
    pub fn is_ok(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Says what is wrong with a webhook, under the secrets that may have signed it.
///
/// A timestamp may be as far from `now` as `tolerance` says, before or after.
pub fn diagnose(secrets: &[&str], held: &Held<'_>, now: Timestamp, tolerance: Duration) -> Diagnosis {
    let mut faults = Vec::new();
    let id = given(Part::Id, held.id, &mut faults);
    let timestamp = given(Part::Timestamp, held.timestamp, &mut faults);
    let signature = given(Part::Signature, held.signature, &mut faults);

    let (signatures, unreadable) = variants::signatures(signature.unwrap_or_default());
    let wrong_secrets: Vec<_> =
        secrets.iter().filter_map(|text| HmacKey::parse(text.trim()).err()).map(Fault::Secret).collect();
    let found = match (id, timestamp) {
        (Some(id), Some(timestamp)) if !signatures.is_empty() => {
            search(secrets, id, timestamp, held.body, &signatures)
        }
        _ => None,
    };
    let signed_with = found.as_ref().filter(|(_, mistakes)| mistakes.is_empty()).map(|(secret, _)| *secret);
    if let Some((_, mistakes)) = found {
        faults.extend(mistakes.into_iter().map(Fault::Mistake));
    } else {
        let could_match = faults.is_empty()
            && wrong_secrets.len() < secrets.len()
            && signatures.iter().any(|s| !matches!(s.mistake, Some(Mistake::SignatureVersion(_))));
        faults.extend(wrong_secrets);
        faults.extend(unreadable);
        if could_match {
            faults.push(Fault::Mismatch(evidence(id.unwrap_or_default(), held.body)));
        }
    }
    let age = timestamp.and_then(|text| clock(text, now, tolerance, &mut faults));
    Diagnosis { signed_with, age, faults }
}

/// Finds the secret and the fewest mistakes under which a signature is right.
fn search(
    secrets: &[&str],
    id: &str,
    timestamp: &str,
    body: &[u8],
    signatures: &[Tried<[u8; 32]>],
) -> Option<(usize, Vec<Mistake>)> {
    let keys: Vec<Vec<Tried<Key>>> = secrets.iter().map(|text| variants::keys(text)).collect();
    let (ids, timestamps, bodies) =
        (variants::ids(id), variants::timestamps(timestamp), variants::bodies(body));
    for allowed in 0..=MOST_MISTAKES {
        for (secret, key) in keys.iter().enumerate().flat_map(|(i, keys)| keys.iter().map(move |k| (i, k))) {
            for id in &ids {
                for timestamp in &timestamps {
                    for body in &bodies {
                        let made = [&key.mistake, &id.mistake, &timestamp.mistake, &body.mistake];
                        let made: Vec<_> = made.into_iter().flatten().cloned().collect();
                        if made.len() != allowed {
                            continue;
                        }
                        let tag = tag(&key.value, &id.value, &timestamp.value, &body.value);
                        if let Some(signature) = signatures.iter().find(|s| s.value == tag) {
                            return Some((
                                secret,
                                made.into_iter().chain(signature.mistake.clone()).collect(),
                            ));
                        }
                    }
                }
            }
        }
    }
    None
}

fn tag(key: &Key, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let signed = mac.chain_update(id).chain_update(".").chain_update(timestamp).chain_update(".");
    signed.chain_update(body).finalize().into_bytes().into()
}

/// Judges the timestamp by itself; returns the age that it tells.
fn clock(text: &str, now: Timestamp, tolerance: Duration, faults: &mut Vec<Fault>) -> Option<i64> {
    let is_told = faults.iter().any(|f| matches!(f, Fault::Mistake(m) if m.part() == Part::Timestamp));
    let (wrong, seconds) = match variants::seconds(text) {
        Some(number) => match variants::in_seconds(number) {
            Some(seconds) => (Some(Fault::Unit), Some(seconds)),
            None => (None, Some(number)),
        },
        None => (Some(Fault::Timestamp), Timestamp::parse(text).ok().map(Timestamp::as_secs)),
    };
    faults.extend(wrong.filter(|_| !is_told));
    let age = now.as_secs().saturating_sub(seconds?);
    if age.unsigned_abs() > tolerance.as_secs() {
        faults.push(Fault::Clock { age, tolerance });
    }
    Some(age)
}

/// What the body itself tells about why nothing matches.
fn evidence(id: &str, body: &[u8]) -> Evidence {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(body) else { return Evidence::NotJson };
    let Some(event) = document["data"]["event_id"].as_str() else { return Evidence::None };
    if id.strip_prefix("evt_").unwrap_or(id) != event {
        return Evidence::OtherEvent;
    }
    if variants::compact(body).as_deref() != Some(body) {
        return Evidence::Rewritten;
    }
    Evidence::Whole
}

/// A header's text, if there is one.
fn given<'a>(part: Part, text: Option<&'a str>, faults: &mut Vec<Fault>) -> Option<&'a str> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    if text.is_none() {
        faults.push(Fault::Missing(part));
    }
    text
}

/// Reads base64 of either alphabet, padded or not.
fn lenient(text: &str) -> Option<Vec<u8>> {
    let standard: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let padding = "=".repeat((4 - standard.len() % 4) % 4);
    BASE64_STANDARD.decode(standard + &padding).ok()
}

#[cfg(test)]
mod tests;
