//! The chain over the log: what makes an edit, a removal or a reordering show.
//!
//! Each event has a `digest` over a random salt and its body, and a header of fields that are
//! never erased. The log's head holds a running hash; each batch of events that is appended
//! moves it by `hash' = SHA-256(hash || SHA-256(header and digest of every event of the batch))`.
//! The inner hash is taken before the head is locked, so that the time under the lock does not
//! grow with the batch. Erasing a person removes salt and body and leaves the digest: the chain
//! still verifies, and the text can't be guessed back.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::Event;

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// The hash of an empty log.
pub const GENESIS: Hash = [0; 32];

/// `SHA-256(salt || body)`.
pub fn digest(salt: &[u8], body: &[u8]) -> Hash {
    Sha256::new().chain_update(salt).chain_update(body).finalize().into()
}

/// Hashes the headers and digests of a batch, in order, before its place in the log is known.
#[derive(Clone, Default)]
pub struct Batch(Sha256);

impl Batch {
    /// Adds the next event. Every field is preceded by its length, so that no two different
    /// headers have the same bytes.
    pub fn push(&mut self, event: &Event, digest: &Hash) {
        let mut field = |bytes: &[u8]| {
            self.0.update((bytes.len() as u32).to_be_bytes());
            self.0.update(bytes);
        };
        field(event.id.as_bytes());
        field(event.kind.as_str().as_bytes());
        field(&event.created.as_micros().to_be_bytes());
        field(event.actor.as_bytes());
        field(event.schema.as_bytes());
        field(event.ttype.as_deref().unwrap_or_default().as_bytes());
        field(event.task_id.as_ref().map_or(&[][..], |id| id.as_bytes()));
        field(&event.version.unwrap_or(0).to_be_bytes());
        field(digest);
    }

    /// The batch's hash.
    pub fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

/// The head's hash after a batch.
pub fn advance(head: &Hash, batch: &Hash) -> Hash {
    Sha256::new().chain_update(head).chain_update(batch).finalize().into()
}

/// A point of the log that is kept outside of the database: whoever holds it can tell whether
/// anything at or below it was changed since.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// The last event it covers.
    pub seq: i64,
    /// The head's hash at `seq`, lower-case hexadecimal.
    pub hash: String,
    /// When it was made.
    pub created: crate::Timestamp,
    /// HMAC-SHA256 over the fields above, under a key that is not in the database; hexadecimal.
    pub signature: String,
}

impl Checkpoint {
    /// Makes and signs a checkpoint.
    pub fn sign(key: &[u8], seq: i64, hash: &Hash, created: crate::Timestamp) -> Self {
        let hash = hex(hash);
        let signature = hex(&Self::mac(key, seq, &hash, created).finalize().into_bytes());
        Self { seq, hash, created, signature }
    }

    /// Whether it was made with this key and not altered since.
    pub fn is_authentic(&self, key: &[u8]) -> bool {
        unhex(&self.signature).is_some_and(|signature| {
            Self::mac(key, self.seq, &self.hash, self.created).verify_slice(&signature).is_ok()
        })
    }

    fn mac(key: &[u8], seq: i64, hash: &str, created: crate::Timestamp) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(key)
            .expect("HMAC takes keys of any length")
            .chain_update(format!("task-inbox checkpoint 1\n{seq}\n{hash}\n{}\n", created.as_micros()))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads lower-case hexadecimal.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    // `from_str_radix` would take a sign, so that two texts meant the same bytes.
    if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests;
