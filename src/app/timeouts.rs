//! What becomes of tasks that nobody decided in time.

use serde::Serialize;
use task_inbox_domain::schema::{OnTimeout, Timeout};
use task_inbox_domain::{Actor, Task};

use super::App;
use super::error::Result;
use super::tasks::change;
use crate::store::commit::What;
use crate::store::tasks;

/// How many tasks are looked at and ended at once: they go together in few transactions.
const PIECE: u64 = 256;

/// What a type says of time, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Declared<'a> {
    /// How long a task waits, e.g. `24h`.
    pub after: String,
    /// Whether it is over then, in whatever state it is.
    pub expires: bool,
    /// Else, where it goes; `None` is unset.
    pub final_state: Option<&'a str>,
}

impl<'a> Declared<'a> {
    /// What is shown of it.
    pub fn of(timeout: &'a Timeout) -> Self {
        let final_state = match &timeout.then {
            OnTimeout::Expire => None,
            OnTimeout::Move(to) => to.as_deref(),
        };
        let expires = timeout.then == OnTimeout::Expire;
        Self { after: timeout.span(), expires, final_state }
    }
}

/// Ends the waiting of all tasks whose time is over, but of those in maintenance, for which it goes on being over;
/// returns how many ended. Several replicas may do so at the same moment: each task ends once.
///
/// # Errors
///
/// The database failed. What was not ended is so the next time.
pub async fn end_due(app: &App) -> Result<u64> {
    let registry = app.registry.current();
    if registry.maintenance(None).is_some() {
        return Ok(0);
    }
    let maintained: Vec<&str> =
        registry.all_maintenance().iter().filter_map(|maintenance| maintenance.schema.as_deref()).collect();
    let mut ended = 0;
    let mut last: Option<Task> = None;
    loop {
        let due = tasks::due(&app.db, last.as_ref(), &maintained, PIECE).await?;
        let outcomes = futures_util::future::join_all(due.iter().map(|task| end(app, task))).await;
        for outcome in outcomes {
            ended += u64::from(outcome?);
        }
        if due.len() < PIECE as usize {
            return Ok(ended);
        }
        last = due.into_iter().next_back();
    }
}

/// Ends one task's waiting; whether that was done.
async fn end(app: &App, task: &Task) -> Result<bool> {
    let Some(at) = task.expires_at else { return Ok(false) };
    // Of a schema that is being removed, or that another replica has installed just now.
    let Some(ttype) = app.registry.current().type_by_id(task.ttype_id).cloned() else { return Ok(false) };
    match change(app, task, &ttype, &Actor::system(), None, || What::TimedOut(at)).await? {
        Ok(changed) => Ok(changed.version > task.version && changed.expires_at.is_none()),
        Err(refused) => {
            tracing::error!(task = %task.id, refusal = %refused.refusal, "a task's time is over and it can't go on");
            Ok(false)
        }
    }
}
