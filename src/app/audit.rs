//! Proving that the log is as it was written.

use task_inbox_domain::log::Checkpoint;

use super::App;
use super::AppError;
use super::error::Result;
use crate::store::audit::{self, Verification};

/// Recomputes the chain; with a checkpoint that was kept outside, from there on what it proves.
pub async fn verify(app: &App, from: Option<&Checkpoint>) -> Result<Verification> {
    let is_authentic = |checkpoint: &Checkpoint| {
        app.vault.checkpoint_keys().is_ok_and(|keys| keys.iter().any(|key| checkpoint.is_authentic(key)))
    };
    if let Some(checkpoint) = from {
        // Without a master key, that is what is said.
        app.vault.checkpoint_keys()?;
        if !is_authentic(checkpoint) {
            return Err(AppError::invalid(
                "",
                "the checkpoint was not signed with a key of TASK_INBOX_MASTER_KEY, or was altered",
            ));
        }
    }
    Ok(audit::verify(&app.db, from, is_authentic).await?)
}

/// Signs the end of the log, to be kept outside.
pub async fn checkpoint(app: &App) -> Result<Checkpoint> {
    let key = app.vault.checkpoint_key()?;
    Ok(audit::checkpoint(&app.db, &key, App::now()).await?)
}
