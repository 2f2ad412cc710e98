//! Encryption at rest, under the master key ring.
//!
//! XChaCha20-Poly1305 with a random nonce before each ciphertext and the row's id as associated
//! data: a ciphertext that is moved to another row does not open.
//!
//! The ring can be replaced while the service works: a [`Vault`] holds the current one, and where it
//! is read from if it can change.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::store::secrets::StoredSecret;

/// Bytes of a nonce.
const NONCE: usize = 24;

/// Name of the key of a ring that was written without names.
const ONLY: &str = "1";

/// Master keys: the first encrypts, all decrypt. There is at least one.
pub struct Ring(Vec<MasterKey>);

struct MasterKey {
    id: String,
    cipher: XChaCha20Poly1305,
    checkpoint: [u8; 32],
    token: [u8; 32],
}

/// Why a master key or a ciphertext can't be used. Never quotes a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no key at all.
    #[error(
        "TASK_INBOX_MASTER_KEY is not set; make one with `task-inbox generate-keys`, or start `task-inbox serve \
         --dev` once, which makes one beside the database"
    )]
    Missing,
    /// The text is not a ring.
    #[error("TASK_INBOX_MASTER_KEY {0}; make one with `task-inbox generate-keys`")]
    Ring(String),
    /// The ring lacks the key.
    #[error(
        "a webhook key was encrypted under the master key {0:?}, which is not in the ring of TASK_INBOX_MASTER_KEY or its file; add it \
         as {0}:{{base64}} after the first"
    )]
    UnknownKey(String),
    /// It was not encrypted under this key and for this row, or was altered.
    #[error("a webhook key does not open with the master key {0:?}: another key, or altered")]
    Refused(String),
}

impl Ring {
    /// Reads `{base64}` or `{id}:{base64},{id}:{base64}`, of 32 bytes each.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let ring = |what: String| VaultError::Ring(what);
        let mut keys: Vec<MasterKey> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (id, encoded) = part.split_once(':').unwrap_or((ONLY, part));
            if id.is_empty()
                || id.len() > 64
                || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
            {
                return Err(ring("has a key whose id is not 1 to 64 letters, digits, _, - or .".to_owned()));
            }
            if keys.iter().any(|k| k.id == id) {
                return Err(ring(format!("has two keys with the id {id}")));
            }
            let bytes = BASE64_STANDARD
                .decode(encoded)
                .ok()
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
                .ok_or_else(|| {
                    ring(format!("must hold 32 bytes in standard base64; the key {id} does not"))
                })?;
            keys.push(MasterKey::new(id, &bytes));
        }
        Ok(Self(keys))
    }

    fn first(&self) -> &MasterKey {
        self.0.first().expect("splitting a text gives at least one part")
    }

    /// The id of the key that encrypts.
    pub fn first_id(&self) -> &str {
        &self.first().id
    }

    /// The ids of the keys that only decrypt.
    pub fn other_ids(&self) -> Vec<String> {
        self.0.iter().skip(1).map(|k| k.id.clone()).collect()
    }

    /// Whether the key of this id is in it.
    pub fn knows(&self, key_id: &str) -> bool {
        self.0.iter().any(|k| k.id == key_id)
    }

    /// Encrypts a text for a row; returns the id of the key that it was encrypted under.
    pub fn seal(&self, row: Uuid, text: &str) -> (String, Vec<u8>) {
        let key = self.first();
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: text.as_bytes(), aad: row.as_bytes() };
        let sealed = key
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the cipher takes any text that fits into memory");
        (key.id.clone(), [&nonce[..], &sealed].concat())
    }

    /// Decrypts what [`Ring::seal`] made for the same row.
    pub fn open(&self, row: Uuid, key_id: &str, sealed: &[u8]) -> Result<String, VaultError> {
        let key = self
            .0
            .iter()
            .find(|k| k.id == key_id)
            .ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))?;
        let refused = || VaultError::Refused(key_id.to_owned());
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or_else(refused)?;
        let payload = Payload { msg: sealed, aad: row.as_bytes() };
        let opened = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| refused())?;
        String::from_utf8(opened).map_err(|_| refused())
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.0.iter().map(|k| k.id.as_str()).collect();
        write!(f, "Ring({})", ids.join(", "))
    }
}

/// Where a ring is read from, again and again.
pub struct Source {
    /// What it is called in messages.
    pub name: String,
    /// Reads its text.
    pub read: Box<dyn Fn() -> std::io::Result<String> + Send + Sync>,
}

impl Source {
    fn read(&self) -> Result<String, String> {
        (self.read)().map_err(|e| format!("{} can't be read: {e}", self.name))
    }

    fn parse(&self, text: &str) -> Result<Ring, String> {
        Ring::parse(text.trim()).map_err(|e| format!("{} does not hold a master key: {e}", self.name))
    }
}

/// The current ring. Cheap to clone; all clones see the same one.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    ring: RwLock<Option<Arc<Ring>>>,
    /// Counts the rings.
    generation: AtomicU64,
    source: Option<Source>,
    /// The text that was read last, or what was wrong with it; held while reading.
    read: Mutex<Result<String, String>>,
}

impl Vault {
    /// A vault whose ring does not change.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        Ok(Self::new(Some(Ring::parse(text)?), None, String::new()))
    }

    /// A vault whose ring is read again whenever [`Vault::reload`] is called.
    ///
    /// # Errors
    ///
    /// What is wrong with the source or its text now.
    pub fn watching(source: Source) -> Result<Self, String> {
        let text = source.read()?;
        let ring = source.parse(&text)?;
        Ok(Self::new(Some(ring), Some(source), text))
    }

    /// A vault without a key, for commands that need none: whatever needs one is refused.
    pub fn empty() -> Self {
        Self::new(None, None, String::new())
    }

    fn new(ring: Option<Ring>, source: Option<Source>, text: String) -> Self {
        Self(Arc::new(Inner {
            ring: RwLock::new(ring.map(Arc::new)),
            generation: AtomicU64::new(0),
            source,
            read: Mutex::new(Ok(text)),
        }))
    }

    /// The current ring.
    pub fn ring(&self) -> Result<Arc<Ring>, VaultError> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(VaultError::Missing)
    }

    /// Grows with each new ring.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Reads the ring again, if it comes from somewhere. One that can't be read, or is none, leaves the
    /// current one as it is.
    pub fn reload(&self) {
        let Some(source) = &self.0.source else { return };
        let mut last = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        let read = source.read();
        if read == *last {
            return;
        }
        let parsed = read.as_ref().map_err(Clone::clone);
        match parsed.and_then(|text| source.parse(text)) {
            Ok(ring) => {
                tracing::info!(first = ring.first_id(), others = ?ring.other_ids(), "read the master key ring");
                *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ring));
                self.0.generation.fetch_add(1, Ordering::Release);
            }
            Err(error) => {
                tracing::error!(error, "the master key ring can't be read again; keeping the one there is");
            }
        }
        *last = read;
    }

    /// Encrypts a text for a row; returns the id of the key that it was encrypted under.
    pub fn seal(&self, row: Uuid, text: &str) -> Result<(String, Vec<u8>), VaultError> {
        Ok(self.ring()?.seal(row, text))
    }

    /// Decrypts what [`Vault::seal`] made for the same row. A key that the ring lacks makes it be read
    /// again at once.
    pub fn open(&self, row: Uuid, key_id: &str, sealed: &[u8]) -> Result<String, VaultError> {
        let ring = self.ring()?;
        if !ring.knows(key_id) {
            self.reload();
            return self.ring()?.open(row, key_id, sealed);
        }
        ring.open(row, key_id, sealed)
    }

    /// Whether the ring holds the key of this id.
    pub fn knows(&self, key_id: &str) -> bool {
        self.ring().is_ok_and(|ring| ring.knows(key_id))
    }

    /// The key that signs checkpoints of the log.
    pub fn checkpoint_key(&self) -> Result<[u8; 32], VaultError> {
        Ok(self.ring()?.first().checkpoint)
    }

    /// Whether the ring opens one of these, of those under its first key; true if there are none. Two
    /// rings may call different keys the same, and what is sealed under the wrong one is lost to the server.
    pub fn fits(&self, secrets: &[StoredSecret]) -> Result<bool, VaultError> {
        let ring = self.ring()?;
        let mut same = secrets.iter().filter(|s| s.master_key_id == ring.first_id()).peekable();
        Ok(same.peek().is_none() || same.any(|s| ring.open(s.id, &s.master_key_id, &s.ciphertext).is_ok()))
    }

    /// The keys that a checkpoint may have been signed with.
    pub fn checkpoint_keys(&self) -> Result<Vec<[u8; 32]>, VaultError> {
        Ok(self.ring()?.0.iter().map(|k| k.checkpoint).collect())
    }

    /// The keys that a token may have been signed with, each with the name of its master key; the first signs.
    pub fn token_keys(&self) -> Result<Vec<(String, [u8; 32])>, VaultError> {
        Ok(self.ring()?.0.iter().map(|k| (k.id.clone(), k.token)).collect())
    }
}

impl MasterKey {
    fn new(id: &str, bytes: &[u8; 32]) -> Self {
        // A key of its own for each purpose, so that neither tells anything of the other.
        let derived = |purpose: &[u8]| {
            <Hmac<Sha256> as KeyInit>::new_from_slice(bytes)
                .expect("HMAC takes keys of any length")
                .chain_update(purpose)
                .finalize()
                .into_bytes()
                .into()
        };
        Self {
            id: id.to_owned(),
            cipher: XChaCha20Poly1305::new(bytes.into()),
            checkpoint: derived(b"task-inbox checkpoint"),
            token: derived(b"task-inbox realtime token"),
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ring() {
            Ok(ring) => write!(f, "Vault({ring:?})"),
            Err(_) => f.write_str("Vault(empty)"),
        }
    }
}

/// A new master key, in its text form.
pub fn generate() -> String {
    BASE64_STANDARD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn opens_what_it_sealed_and_only_for_the_same_row() {
        let vault = Vault::parse(&generate()).expect("a key");
        let (id, sealed) = vault.seal(row(1), "whsec_x").expect("sealed");
        assert_eq!(vault.open(row(1), &id, &sealed).as_deref(), Ok("whsec_x"));
        assert!(matches!(vault.open(row(2), &id, &sealed), Err(VaultError::Refused(_))));
        let mut altered = sealed.clone();
        *altered.last_mut().expect("not empty") ^= 1;
        assert!(matches!(vault.open(row(1), &id, &altered), Err(VaultError::Refused(_))));
        assert!(matches!(vault.open(row(1), &id, &sealed[..10]), Err(VaultError::Refused(_))));
        assert_ne!(vault.seal(row(1), "whsec_x").expect("sealed").1, sealed, "each nonce is new");
    }

    #[test]
    fn a_rotated_ring_opens_what_is_old_and_seals_with_the_first() {
        let (old, new) = (generate(), generate());
        let before = Vault::parse(&format!("a:{old}")).expect("a ring");
        let (id, sealed) = before.seal(row(1), "x").expect("sealed");
        let after = Vault::parse(&format!("b:{new}, a:{old}")).expect("a ring");
        assert_eq!(after.open(row(1), &id, &sealed).as_deref(), Ok("x"));
        assert_eq!(after.seal(row(1), "x").expect("sealed").0, "b");
        let keys = [after.checkpoint_key().expect("a key"), before.checkpoint_key().expect("a key")];
        assert_eq!(after.checkpoint_keys().expect("keys"), keys);
        assert_eq!(Vault::empty().seal(row(1), "x"), Err(VaultError::Missing));
        let without = Vault::parse(&format!("b:{new}")).expect("a ring");
        assert_eq!(without.open(row(1), &id, &sealed), Err(VaultError::UnknownKey("a".to_owned())));
    }

    /// A vault that follows a text that the test changes; `Err` is a file that is gone.
    fn following(text: &str) -> (Vault, Arc<Mutex<Result<String, ()>>>) {
        let text = Arc::new(Mutex::new(Ok(text.to_owned())));
        let source = text.clone();
        let read =
            move || source.lock().expect("unpoisoned").clone().map_err(|()| std::io::Error::other("gone"));
        let vault =
            Vault::watching(Source { name: "ring".to_owned(), read: Box::new(read) }).expect("a ring");
        (vault, text)
    }

    #[test]
    fn a_ring_is_replaced_for_all_who_hold_it() {
        let (old, new) = (generate(), generate());
        let (vault, text) = following(&format!("old:{old}\n"));
        let clone = vault.clone();
        let (_, sealed) = vault.seal(row(1), "x").expect("sealed");
        let set = |ring: Result<String, ()>| *text.lock().expect("unpoisoned") = ring;
        vault.reload();
        assert_eq!(vault.generation(), 0, "nothing changed");
        set(Ok(format!("new:{new},old:{old}")));
        assert_eq!(clone.seal(row(1), "x").expect("sealed").0, "old", "not before it is read");
        vault.reload();
        assert_eq!((clone.generation(), clone.seal(row(1), "x").expect("sealed").0.as_str()), (1, "new"));
        assert_eq!(clone.open(row(1), "old", &sealed).as_deref(), Ok("x"));
        // What is no ring leaves the one that there is.
        for broken in [Err(()), Ok(String::new()), Ok("new:short".to_owned()), Err(())] {
            set(broken);
            vault.reload();
            assert_eq!((clone.generation(), clone.knows("old")), (1, true));
        }
        set(Ok(format!("new:{new}")));
        vault.reload();
        assert_eq!((clone.generation(), clone.knows("old")), (2, false));
    }

    #[test]
    fn a_key_that_is_not_known_is_looked_for_at_once() {
        let (old, new) = (generate(), generate());
        let (vault, text) = following(&format!("old:{old}"));
        let there = Vault::parse(&format!("new:{new},old:{old}")).expect("a ring");
        let (id, sealed) = there.seal(row(1), "x").expect("sealed");
        assert_eq!(vault.open(row(1), &id, &sealed), Err(VaultError::UnknownKey("new".to_owned())));
        *text.lock().expect("unpoisoned") = Ok(format!("old:{old},new:{new}"));
        assert_eq!(vault.open(row(1), &id, &sealed).as_deref(), Ok("x"));
        let lost = Source { name: "ring".to_owned(), read: Box::new(|| Err(std::io::Error::other("gone"))) };
        let error = Vault::watching(lost).expect_err("nothing to begin with");
        assert!(error.contains("ring can't be read: gone"), "{error}");
    }

    #[test]
    fn says_what_is_wrong_and_never_the_key() {
        let key = generate();
        for (text, expected) in [
            ("", "32 bytes"),
            ("c2hvcnQ=", "32 bytes"),
            (&format!("a:{key},a:{key}"), "two keys"),
            (&format!(":{key}"), "id"),
            (&format!("a b:{key}"), "id"),
        ] {
            let message = Vault::parse(text).expect_err(text).to_string();
            assert!(message.contains(expected) && message.contains("generate-keys"), "{message}");
            assert!(!message.contains(&key));
        }
        let shown = format!("{:?}", Vault::parse(&key).expect("a key"));
        assert!(!shown.contains(&key));
    }
}
