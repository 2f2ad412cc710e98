//! Proving that the log is as it was written.

use task_inbox_domain::log::Checkpoint;

use super::error::Result;
use super::{App, AppError, Permission, Principal};
use crate::store::audit::{self, Position, Step, StepError, Verification};
use crate::store::{checkpoints, log};

/// The log's end and beginning, and how many checkpoints are kept of it.
pub async fn head(app: &App, who: &Principal) -> Result<(log::Head, i64)> {
    who.may_everywhere(Permission::AuditRead)?;
    Ok((log::head(&app.db).await?, checkpoints::count(&app.db).await?))
}

/// Recomputes the chain; with a checkpoint that was kept outside, from there on what it proves.
pub async fn verify(app: &App, who: &Principal, from: Option<&Checkpoint>) -> Result<Verification> {
    who.may_everywhere(Permission::AuditRead)?;
    must_be_authentic(app, from)?;
    audit::verify(&app.db, from, |checkpoint| is_authentic(app, checkpoint)).await.map_err(refused)
}

/// One step of that: about `limit` events, from the beginning or from where the step before ended.
///
/// What a step is told about where it begins it believes; only all steps together prove something.
pub async fn verify_step(
    app: &App,
    who: &Principal,
    from: Option<&Checkpoint>,
    after: Option<Position>,
    limit: i64,
) -> Result<Step> {
    who.may_everywhere(Permission::AuditRead)?;
    must_be_authentic(app, from)?;
    audit::step(&app.db, from, after, limit, |checkpoint| is_authentic(app, checkpoint))
        .await
        .map_err(refused)
}

fn is_authentic(app: &App, checkpoint: &Checkpoint) -> bool {
    app.vault.checkpoint_keys().is_ok_and(|keys| keys.iter().any(|key| checkpoint.is_authentic(key)))
}

fn must_be_authentic(app: &App, from: Option<&Checkpoint>) -> Result<()> {
    let Some(checkpoint) = from else { return Ok(()) };
    // Without a master key, that is what is said.
    app.vault.checkpoint_keys()?;
    if is_authentic(app, checkpoint) {
        return Ok(());
    }
    Err(AppError::invalid(
        "/from",
        "the checkpoint was not signed with a key of TASK_INBOX_MASTER_KEY, or was altered",
    ))
}

fn refused(error: StepError) -> AppError {
    match error {
        StepError::BelowFloor { floor } => AppError::Gone {
            detail: format!("the log was trimmed up to event {floor}; begin the verification again"),
            floor,
        },
        StepError::AheadOfLog { head } => AppError::invalid(
            "/after/seq",
            format!(
                "the log ends at event {head}: it was cut since the step before, or that was another log's"
            ),
        ),
        StepError::Store(error) => error.into(),
    }
}

/// Signs the end of the log, to be kept outside.
pub async fn checkpoint(app: &App, who: &Principal) -> Result<Checkpoint> {
    who.may_everywhere(Permission::AuditWrite)?;
    let key = app.vault.checkpoint_key()?;
    Ok(checkpoints::make(&app.db, &key, App::now()).await?)
}

/// The checkpoints that are kept here, oldest first. They prove nothing against whoever can write to
/// the database: only those kept outside do.
pub async fn checkpoints(app: &App, who: &Principal) -> Result<Vec<Checkpoint>> {
    who.may_everywhere(Permission::AuditRead)?;
    Ok(checkpoints::list(&app.db).await?)
}
