//! Rare writes beside a busy server.

use crate::store::{Result, StoreError};

/// How often a contended write is tried; each try waits for up to the lock time-out of 2 s.
const TRIES: usize = 5;

/// Runs a write again while the database is contended: on SQLite, another process may hold the
/// one lock again and again. The work must be one transaction.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(work: impl Fn() -> F) -> Result<T> {
    for _ in 1..TRIES {
        match work().await {
            Err(StoreError::Contended(cause)) => tracing::debug!(cause, "contended, trying again"),
            other => return other,
        }
    }
    work().await
}
