//! Maintenance of the whole inbox or of one schema: writes are refused with a message, reads go on.
//!
//! A post or a decision is checked on the registry's snapshot that its commit is held to: once `begin` has
//! answered, none commits that was prepared before, on any replica. All else notices within a second.
//!
//! The operator at the command line goes on with all but posting and deciding: whoever mends must write.

use std::ops::RangeInclusive;
use std::time::Duration;

use task_inbox_domain::schema::validate::Problem;

use super::error::Result;
use super::patience::patiently;
use super::{App, AppError, Permission, Principal, content};
use crate::bus::Topic;
use crate::store::maintenance as stored;
use crate::store::registry::{Maintenance, Registry};

/// When a client should come back, if nobody says.
const RETRY_AFTER: Duration = Duration::from_mins(5);

/// When a client may be told to come back.
pub const RETRY_AFTER_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// The longest message, in characters.
pub const MAX_MESSAGE: usize = 1_000;

/// Maintenance to begin.
#[derive(Clone, Debug, Default)]
pub struct NewMaintenance {
    /// The schema; `None`: the whole inbox.
    pub schema: Option<String>,
    /// What whoever is refused is told; `None`: a sentence that says what goes on.
    pub message: Option<String>,
    /// When it is worth another try.
    pub retry_after: Option<Duration>,
    /// Whether deliveries wait, too.
    pub hold_deliveries: bool,
}

/// What concerns the caller: the maintenance of the whole inbox and of the schemas that it sees.
pub async fn list(app: &App, who: &Principal) -> Result<Vec<Maintenance>> {
    let registry = app.registry.refresh(&app.db).await?;
    let all = registry.all_maintenance().into_iter();
    Ok(all.filter(|m| m.schema.as_ref().is_none_or(|name| who.sees(name))).cloned().collect())
}

/// Begins maintenance, or says something else about the one that goes on.
pub async fn begin(app: &App, who: &Principal, new: NewMaintenance) -> Result<Maintenance> {
    may_maintain(app, who, new.schema.as_deref())?;
    let message = new.message.unwrap_or_else(|| default_message(new.schema.as_deref()));
    let retry_after = new.retry_after.unwrap_or(RETRY_AFTER);
    check(&message, retry_after)?;
    let maintenance = Maintenance {
        schema: new.schema,
        message,
        // A header counts whole seconds.
        retry_after: Duration::from_secs(retry_after.as_millis().div_ceil(1000) as u64),
        hold_deliveries: new.hold_deliveries,
        since: App::now(),
        by: who.actor.pseudonym(),
    };
    let begun = patiently(|| stored::begin(&app.db, &maintenance)).await?;
    announce(app).await?;
    begun.ok_or_else(|| no_such_schema(app, who, maintenance.schema.as_deref()))
}

/// Ends the maintenance of a schema or (`None`) of the whole inbox. What was held goes out at once.
pub async fn end(app: &App, who: &Principal, schema: Option<&str>) -> Result<Maintenance> {
    may_maintain(app, who, schema)?;
    let ended = patiently(|| stored::end(&app.db, schema)).await?;
    announce(app).await?;
    ended.ok_or_else(|| {
        let is_unknown = schema.is_some_and(|name| app.registry.current().latest(name).is_none());
        if is_unknown {
            return no_such_schema(app, who, schema);
        }
        let what = schema.map_or_else(|| "the whole inbox".to_owned(), |name| format!("the schema {name}"));
        AppError::NotFound(format!("{what} is not in maintenance"))
    })
}

/// Refuses a write while the whole inbox is in maintenance. For requests that need no snapshot: what posts or
/// decides is also checked with its own.
pub fn admit(app: &App, who: &Principal) -> Result<()> {
    administered(&app.registry.current(), who, None)
}

/// Refuses a post or a decision while its schema or the whole inbox is in maintenance. `registry` is the
/// snapshot that the commit is held to.
pub(super) fn written(registry: &Registry, schema: &str) -> Result<()> {
    registry.maintenance(Some(schema)).map_or(Ok(()), |m| Err(refusal(m)))
}

/// Refuses what changes a schema or (`None`) anything else, but the operator's.
pub(super) fn administered(registry: &Registry, who: &Principal, schema: Option<&str>) -> Result<()> {
    match registry.maintenance(schema) {
        Some(maintenance) if !who.is_operator() => Err(refusal(maintenance)),
        _ => Ok(()),
    }
}

fn refusal(maintenance: &Maintenance) -> AppError {
    AppError::Maintenance { message: maintenance.message.clone(), retry_after: maintenance.retry_after }
}

fn may_maintain(app: &App, who: &Principal, schema: Option<&str>) -> Result<()> {
    match schema {
        None => who.may_everywhere(Permission::MaintenanceWrite),
        Some(name) => {
            who.may(Permission::MaintenanceWrite)?;
            if who.sees(name) { Ok(()) } else { Err(no_such_schema(app, who, schema)) }
        }
    }
}

fn no_such_schema(app: &App, who: &Principal, schema: Option<&str>) -> AppError {
    AppError::NotFound(content::no_such_schema(&app.registry.current(), who, schema.unwrap_or_default()))
}

fn check(message: &str, retry_after: Duration) -> Result<()> {
    let mut problems = Vec::new();
    if message.trim().is_empty() || message.chars().count() > MAX_MESSAGE {
        problems.push(Problem::new("/message", format!("must have 1 to {MAX_MESSAGE} characters")));
    }
    if !RETRY_AFTER_RANGE.contains(&retry_after) {
        problems.push(Problem::new("/retry_after", "must be from 1s to 24h"));
    }
    if problems.is_empty() { Ok(()) } else { Err(AppError::problems("this can't be announced", problems)) }
}

fn default_message(schema: Option<&str>) -> String {
    let (what, which) = match schema {
        Some(name) => (format!("the schema {name}"), "its tasks"),
        None => ("the inbox".to_owned(), "it"),
    };
    format!("{what} is in maintenance: {which} can be read, but not written for now")
}

/// Lets this process know at once, and tells the others.
async fn announce(app: &App) -> Result<()> {
    app.registry.refresh(&app.db).await?;
    app.bus.publish(Topic::Registry);
    app.bus.publish(Topic::Due);
    Ok(())
}
