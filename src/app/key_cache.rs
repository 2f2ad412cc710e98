//! The API keys in memory: what every request is checked against without a query.
//!
//! The cache follows `log_head.keys`, which every change of a key counts up. It is read again
//! when that number has moved: seen by the watcher each half second, told by the bus, or looked
//! up when an unknown key is presented, so that a key works as soon as it is made.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use task_inbox_domain::log::Hash;
use task_inbox_domain::{Actor, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

use super::error::Result;
use super::rate::{Limiter, Rate};
use super::{AppError, Permission, Principal};
use crate::store::keys::{self as stored, StoredKey};
use crate::store::{Db, StoreError, log};

/// The most often that unknown keys make the database be asked.
const MISS_INTERVAL: Duration = Duration::from_millis(100);

/// The keys of this process. Cheap to clone.
#[derive(Clone)]
pub struct KeyCache(Arc<Inner>);

struct Inner {
    snapshot: RwLock<Arc<Snapshot>>,
    /// When the database was last asked because of an unknown key; the lock is held while asking.
    asked: tokio::sync::Mutex<Option<Instant>>,
    /// Uses that are not written yet.
    used: Mutex<HashMap<Uuid, Timestamp>>,
}

#[derive(Default)]
struct Snapshot {
    number: i64,
    keys: HashMap<Hash, Arc<Key>>,
    by_id: HashMap<Uuid, Arc<Key>>,
}

struct Key {
    principal: Principal,
    expires: Option<Timestamp>,
    revoked: Option<Timestamp>,
    rate: Option<String>,
    limiter: Option<Arc<Limiter>>,
}

impl KeyCache {
    /// Reads the keys for the first time.
    pub async fn load(db: &Db) -> std::result::Result<Self, StoreError> {
        let cache = Self(Arc::new(Inner {
            snapshot: RwLock::default(),
            asked: tokio::sync::Mutex::new(None),
            used: Mutex::default(),
        }));
        cache.refresh(db).await?;
        Ok(cache)
    }

    /// Reads the keys again.
    pub async fn refresh(&self, db: &Db) -> std::result::Result<(), StoreError> {
        let (number, rows) = stored::all(db).await?;
        let known = self.snapshot();
        let (mut keys, mut by_id) = (HashMap::new(), HashMap::new());
        for row in rows {
            // What a key has used of its rate survives a change of another key.
            let kept = known.by_id.get(&row.id).filter(|k| k.rate == row.rate);
            let kept = kept.and_then(|k| k.limiter.clone());
            let (id, hash) = (row.id, row.hash);
            let key = Arc::new(Key::new(row, kept));
            by_id.insert(id, key.clone());
            keys.insert(hash, key);
        }
        let snapshot = Arc::new(Snapshot { number, keys, by_id });
        let mut current = self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        // Two that refresh at once may finish in the other order.
        if number >= current.number {
            *current = snapshot;
        }
        Ok(())
    }

    /// The number of the log's head that the keys were read under.
    pub fn number(&self) -> i64 {
        self.snapshot().number
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn authenticate(&self, db: &Db, hash: &Hash, now: Timestamp) -> Result<Principal> {
        let mut key = self.snapshot().keys.get(hash).cloned();
        if key.is_none() {
            self.ask(db).await?;
            key = self.snapshot().keys.get(hash).cloned();
        }
        let Some(key) = key else { return Err(self.unknown()) };
        key.check(now)?;
        if let Some(id) = key.principal.key_id {
            self.0.used.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
        }
        Ok(key.principal.clone())
    }

    /// A caller whose request lasts, as it may do now: its key may have ended since. Costs it nothing of its rate.
    pub(super) fn again(&self, who: &Principal, now: Timestamp) -> Result<Principal> {
        let Some(id) = who.key_id else { return Ok(who.clone()) };
        self.by_id(id, now).unwrap_or_else(|| Err(self.unknown()))
    }

    /// Whoever has the key of this id, which may be newer than what is known here.
    pub(super) async fn holder(&self, db: &Db, id: Uuid, now: Timestamp) -> Result<Principal> {
        if let Some(known) = self.by_id(id, now) {
            return known;
        }
        self.ask(db).await?;
        self.by_id(id, now).unwrap_or_else(|| Err(self.unknown()))
    }

    /// Whoever has the key of this id, if there is one and it hasn't ended.
    pub(super) fn by_id(&self, id: Uuid, now: Timestamp) -> Option<Result<Principal>> {
        let key = self.snapshot().by_id.get(&id).cloned()?;
        Some(key.check_end(now).map(|()| key.principal.clone()))
    }

    /// Reads the keys again if they moved, once for all who wait here: whoever arrives gets an
    /// answer from the database that is newer than its arrival.
    async fn ask(&self, db: &Db) -> Result<()> {
        let arrived = Instant::now();
        let mut asked = self.0.asked.lock().await;
        if asked.is_some_and(|at| at >= arrived) {
            return Ok(());
        }
        if let Some(at) = *asked {
            tokio::time::sleep_until(at + MISS_INTERVAL).await;
        }
        let began = Instant::now();
        if log::head(db).await?.keys != self.number() {
            self.refresh(db).await?;
        }
        *asked = Some(began);
        Ok(())
    }

    fn unknown(&self) -> AppError {
        AppError::Forbidden(if self.snapshot().keys.is_empty() {
            "this server has no API key yet; make one with `task-inbox api_key --name NAME`".to_owned()
        } else {
            "this API key is unknown; `task-inbox api_keys` lists those that there are".to_owned()
        })
    }

    /// Writes when keys were last used; what can't be written is kept for the next time.
    pub async fn write_uses(&self, db: &Db) -> std::result::Result<(), StoreError> {
        let used = std::mem::take(&mut *self.0.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<_> = used.into_iter().collect();
        rows.sort_unstable();
        let written = stored::touch(db, &rows).await;
        if written.is_err() {
            let mut kept = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, at) in rows {
                kept.entry(id).or_insert(at);
            }
        }
        written
    }
}

impl Key {
    fn new(row: StoredKey, limiter: Option<Arc<Limiter>>) -> Self {
        let limiter = limiter.or_else(|| {
            let rate = Rate::parse(row.rate.as_deref()?).ok()?;
            Some(Arc::new(Limiter::new(rate)))
        });
        Self {
            principal: Principal {
                actor: Actor::key(row.id, row.name),
                schemas: row.schemas,
                // A permission that a newer version gave is no permission here.
                permissions: row.permissions.iter().filter_map(|p| Permission::parse(p)).collect(),
                key_id: Some(row.id),
                expires: row.expires,
                rate: row.rate.as_deref().and_then(|rate| Rate::parse(rate).ok()),
            },
            expires: row.expires,
            revoked: row.revoked,
            rate: row.rate,
            limiter,
        }
    }

    fn check(&self, now: Timestamp) -> Result<()> {
        self.check_end(now)?;
        match &self.limiter {
            Some(limiter) => limiter.take().map_err(|retry_after| AppError::TooManyRequests { retry_after }),
            None => Ok(()),
        }
    }

    fn check_end(&self, now: Timestamp) -> Result<()> {
        if self.revoked.is_some() {
            return Err(AppError::Forbidden("this API key was revoked".to_owned()));
        }
        if let Some(at) = self.expires.filter(|at| *at <= now) {
            return Err(AppError::Forbidden(format!("this API key expired at {at}")));
        }
        Ok(())
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache({} keys)", self.snapshot().keys.len())
    }
}
