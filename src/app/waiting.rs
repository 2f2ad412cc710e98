//! Waiting for a decision.

use std::time::Duration;

use task_inbox_domain::Phase;
use tokio::time::Instant;
use uuid::Uuid;

use super::error::Result;
use super::{App, Permission, Principal, TaskView, keys, tasks};
use crate::realtime::Wanted;
use crate::store::log;

/// The longest wait: shorter than the minute after which proxies give up.
pub const LONGEST: Duration = Duration::from_secs(55);

/// How long is waited if nothing else is said.
pub const USUAL: Duration = Duration::from_secs(50);

/// How often it is seen whether the key has ended of who waits.
const CHECK: Duration = Duration::from_secs(1);

/// What a wait came to.
#[derive(Clone, Debug)]
pub struct Waited {
    /// The task, as it is at the end.
    pub view: TaskView,
    /// Whether it is not open any more. If not, the time was over, or the server is about to stop: wait again.
    pub has_ended: bool,
}

/// Waits until a task is not open any more, for a while. Costs no query while nothing happens to it.
pub async fn wait(app: &App, who: &Principal, id: Uuid, timeout: Duration) -> Result<Waited> {
    who.may(Permission::TasksRead)?;
    let deadline = Instant::now() + timeout.min(LONGEST);
    // Before the task is read, so that no decision falls between the two.
    let mut listener = app.tail.listen(Wanted::Task(id)).await?;
    let mut who = who.clone();
    loop {
        let view = tasks::get(app, &who, id).await?;
        let has_ended = view.task.phase != Phase::Open;
        if has_ended {
            return Ok(Waited { view, has_ended });
        }
        loop {
            let look = deadline.min(Instant::now() + CHECK);
            let heard = tokio::time::timeout_at(look, listener.changed()).await;
            who = keys::again(app, &who)?;
            match heard {
                Ok(true) => break,
                Err(_) if look < deadline => {}
                Ok(false) | Err(_) => return Ok(Waited { view, has_ended }),
            }
        }
        // What was told may be that its schema is gone, and the task with it, though its row may still be there.
        if log::head(&app.db).await?.registry != app.registry.current().number {
            app.registry.refresh(&app.db).await?;
        }
    }
}
