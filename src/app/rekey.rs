//! Moving webhook keys to another master key, while the service works.
//!
//! The new key comes first in the ring and the old one stays; once nothing is encrypted under the
//! old one, it can go. Each call is one bounded step; a key that is made, rotated or ended meanwhile
//! is left as that made it.

use super::error::Result;
use super::patience::patiently;
use super::{App, AppError, Permission, Principal};
use crate::bus::Topic;
use crate::store::secrets::{self, MAX_REKEYED, Resealed};

/// How far the move has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// How many webhook keys this step moved.
    pub moved: u64,
    /// How many are still under another master key.
    pub remaining: i64,
    /// The master key that they move to: the first of the ring.
    pub master_key_id: String,
}

/// Encrypts up to `limit` webhook keys under the first master key of the ring; to be called again
/// while some remain.
pub async fn step(app: &App, who: &Principal, limit: usize) -> Result<Rekeyed> {
    who.may_everywhere(Permission::KeysWrite)?;
    let ring = app.vault.ring()?;
    let (first, former) = (ring.first_id().to_owned(), ring.other_ids());
    let secrets = secrets::under(&app.db, &former, limit.clamp(1, MAX_REKEYED)).await?;
    let mut resealed = Vec::with_capacity(secrets.len());
    let mut refused = None;
    for secret in secrets {
        match ring.open(secret.id, &secret.master_key_id, &secret.ciphertext) {
            Ok(text) => {
                let (master_key_id, ciphertext) = ring.seal(secret.id, &text);
                let (id, endpoint_id, former) = (secret.id, secret.endpoint_id, secret.ciphertext);
                resealed.push(Resealed { id, endpoint_id, former, master_key_id, ciphertext });
            }
            Err(error) => refused = Some(error),
        }
    }
    let mut moved = 0;
    if !resealed.is_empty() {
        moved = patiently(|| secrets::replace(&app.db, &resealed)).await?;
        app.registry.refresh(&app.db).await?;
        app.bus.publish(Topic::Registry);
    }
    let elsewhere = secrets::count_elsewhere(&app.db, &first).await?;
    let remaining = elsewhere.iter().map(|(_, count)| count).sum();
    if resealed.is_empty() && remaining > 0 {
        // Calling again would never end.
        if let Some(error) = refused {
            return Err(AppError::conflict(error.to_string()));
        }
        if let Some((id, count)) = elsewhere.iter().find(|(id, _)| !ring.knows(id)) {
            return Err(AppError::conflict(format!(
                "{count} webhook keys are encrypted under the master key {id:?}, which is not in this server's ring; \
                 add it as {id}:{{base64}} after the first"
            )));
        }
    }
    if remaining == 0 {
        let all = secrets::all(&app.db).await?;
        let broken = |s: &&secrets::StoredSecret| ring.open(s.id, &s.master_key_id, &s.ciphertext).is_err();
        if let Some(secret) = all.iter().find(broken) {
            if secret.auth_kind == secrets::HEADERS {
                return Err(AppError::conflict(format!(
                    "the headers of the endpoint {id} do not open with the master key {first:?} that the server has; \
                     say them again: `task-inbox endpoints update {id} --header 'name: value'`",
                    id = secret.endpoint_id
                )));
            }
            return Err(AppError::conflict(format!(
                "every webhook key is under the master key {first:?}, but {id} does not open with the one of this \
                 name that the server has; rotate it, or end it with `task-inbox revoke_webhook_key {id}`",
                id = secret.id
            )));
        }
    }
    Ok(Rekeyed { moved, remaining, master_key_id: first })
}
