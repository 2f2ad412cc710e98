//! The events feed: the log, as a caller sees it.

use task_inbox_domain::cursor::LogCursor;
use task_inbox_domain::event::operational;

use super::endpoints::sees;
use super::error::Result;
use super::{App, AppError, Permission, Principal};
use crate::store::log::{self, EventFilter, Logged, Page, ReadError};

/// The most events of one page.
pub const MAX_LIMIT: u64 = 500;

/// Where to begin reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// After this position.
    Cursor(LogCursor),
    /// At the log's end: what is there already is left out.
    Latest,
}

/// Events after a position, oldest first.
///
/// The page's `seen` is where the next one begins; it moves past events that the filter leaves
/// out, so that a follower of little never falls below the log's floor.
pub async fn list(app: &App, who: &Principal, after: After, filter: EventFilter, limit: u64) -> Result<Page> {
    who.may(Permission::TasksRead)?;
    let filter = EventFilter { schemas: who.schemas.clone(), of_no_schema: true, ..filter };
    let after = match after {
        After::Cursor(cursor) => cursor,
        After::Latest => return Ok(Page { events: Vec::new(), seen: log::head(&app.db).await?.seq }),
    };
    match log::read(&app.db, after.0, &filter, limit.clamp(1, MAX_LIMIT)).await {
        Ok(page) => without_hidden_endpoints(app, who, page).await,
        Err(ReadError::BelowFloor { floor }) => Err(AppError::Gone {
            detail: format!(
                "events up to {floor} have been trimmed; begin at the floor's cursor, {}, and read what is \
                 missing from the tasks",
                LogCursor(floor).encode()
            ),
            floor,
        }),
        Err(ReadError::AheadOfLog { .. }) => Err(AppError::invalid(
            "/after",
            "this cursor is ahead of the log: it is another server's, or this one was restored from a backup; \
             start again without it, or from a cursor that is older than the backup",
        )),
        Err(ReadError::Store(error)) => Err(error.into()),
    }
}

/// The same for who follows the log and listens to [`Wanted::Growth`](crate::realtime::Wanted): from memory, if it is close
/// behind.
pub async fn follow(app: &App, who: &Principal, after: i64, filter: EventFilter, limit: u64) -> Result<Page> {
    who.may(Permission::TasksRead)?;
    let seen = EventFilter { schemas: who.schemas.clone(), of_no_schema: true, ..filter.clone() };
    match app.tail.page(after, &seen, limit.clamp(1, MAX_LIMIT)) {
        Some(page) => without_hidden_endpoints(app, who, page).await,
        None => list(app, who, After::Cursor(LogCursor(after)), filter, limit).await,
    }
}

/// Leaves out what tells of endpoints that the caller may not know of, or that are gone: who might have known of
/// those can't be told any more.
async fn without_hidden_endpoints(app: &App, who: &Principal, mut page: Page) -> Result<Page> {
    let tells = |l: &Logged| l.event.kind.is_operational();
    if !who.sees_all() && page.events.iter().any(tells) {
        // Whoever reads on by cursor does not come back for what was left out: an endpoint may be new.
        let registry = app.registry.refresh(&app.db).await?;
        let known = |l: &Logged| {
            let endpoint = registry.endpoint(operational::endpoint_of(&l.event)?)?;
            Some(sees(who, endpoint))
        };
        page.events.retain(|l| !tells(l) || known(l) == Some(true));
    }
    Ok(page)
}
