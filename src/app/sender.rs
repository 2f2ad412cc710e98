//! What a task's sender does about it after posting it.

use task_inbox_domain::transition::Refusal;
use task_inbox_domain::transition::sender::{Amendment, Cancellation};
use task_inbox_domain::{Actor, Document};
use uuid::Uuid;

use super::error::Result;
use super::tasks::{self, change};
use super::{App, AppError, Permission, Principal, TaskView, content, maintenance};
use crate::store::commit::{Idempotency, What};

/// How often a patch is merged again because the task moved under it.
const ATTEMPTS: usize = 16;

/// What is said beside a sender's move.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Why.
    pub reason: Option<String>,
    /// For whom.
    pub on_behalf_of: Option<String>,
    /// The version that the sender saw.
    pub expected_version: Option<i64>,
}

impl Said {
    fn check(&self) -> Result<()> {
        content::check_reason(self.reason.as_deref())?;
        content::check_on_behalf_of(self.on_behalf_of.as_deref())
    }

    fn actor(&self, who: &Principal) -> Actor {
        Actor { on_behalf_of: self.on_behalf_of.clone(), ..who.actor.clone() }
    }
}

/// Withdraws a task that waits for a decision.
pub async fn cancel(
    app: &App,
    who: &Principal,
    id: Uuid,
    said: Said,
    idem: Option<Idempotency>,
) -> Result<TaskView> {
    who.may(Permission::TasksWrite)?;
    said.check()?;
    let TaskView { task, ttype } = tasks::visible(app, who, id).await?;
    let Said { reason, expected_version, .. } = &said;
    let cancellation = Cancellation { reason: reason.clone(), expected_version: *expected_version };
    let what = || What::Cancelled(cancellation.clone());
    match change(app, &task, &ttype, &said.actor(who), idem.as_ref(), what).await? {
        Ok(task) => tasks::view(app, task).await,
        Err(refused) => Err(refused.into_error(app).await),
    }
}

/// Changes what a task says: merges a patch (RFC 7396) into `meta` of a task that waits for a decision. If the task
/// moves meanwhile and the sender named no version, it is merged into what the task says then.
pub async fn amend(
    app: &App,
    who: &Principal,
    id: Uuid,
    patch: Document,
    said: Said,
    idem: Option<Idempotency>,
) -> Result<TaskView> {
    who.may(Permission::TasksWrite)?;
    said.check()?;
    let mut attempts = 0;
    loop {
        let TaskView { task, ttype } = tasks::visible(app, who, id).await?;
        maintenance::written(&app.registry.current(), &task.schema)?;
        let merged = Amendment::of(&task, ttype.ttype(), patch.clone(), said.reason.clone());
        let amendment = merged.map_err(|problems| {
            AppError::problems("with this, the task would not match its type", problems)
        })?;
        let version = said.expected_version.unwrap_or(amendment.version);
        let amendment = Amendment { version, ..amendment };
        let what = || What::Amended(amendment.clone());
        match change(app, &task, &ttype, &said.actor(who), idem.as_ref(), what).await? {
            Ok(task) => return tasks::view(app, task).await,
            Err(refused) => {
                let moved =
                    matches!(refused.refusal, Refusal::Stale { .. }) && said.expected_version.is_none();
                attempts += 1;
                if !moved {
                    return Err(refused.into_error(app).await);
                }
                if attempts == ATTEMPTS {
                    let detail =
                        "the task changes faster than this can be merged into it; try again".to_owned();
                    return Err(AppError::Conflict { detail, current: Some(app.current(*refused.current)) });
                }
            }
        }
    }
}
