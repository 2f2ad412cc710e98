//! The current [`Registry`], shared by everything in the process.

use std::sync::{Arc, PoisonError, RwLock};

use super::db::Db;
use super::error::Result;
use super::registry::Registry;

/// Holds the registry's latest known snapshot. Cheap to clone.
///
/// It may lag behind the database by as long as nobody calls [`RegistryCache::refresh`]; a commit
/// under a snapshot that is not current is refused, so that lag costs a retry, never a mistake.
#[derive(Clone, Debug)]
pub struct RegistryCache {
    current: Arc<RwLock<Arc<Registry>>>,
}

impl RegistryCache {
    /// Reads the registry for the first time.
    pub async fn load(db: &Db) -> Result<Self> {
        let registry = Registry::load(db, None).await?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(registry))) })
    }

    /// The latest known snapshot.
    pub fn current(&self) -> Arc<Registry> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads it again; returns the new snapshot.
    pub async fn refresh(&self, db: &Db) -> Result<Arc<Registry>> {
        let registry = Arc::new(Registry::load(db, Some(&self.current())).await?);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Two that refresh at once may finish in the other order.
        if registry.number >= current.number {
            *current = registry;
        }
        Ok(current.clone())
    }
}
