//! Reading the log: pages of it that follow each other, and one task's history.

use std::ops::ControlFlow;

use task_inbox_domain::{Event, EventType};
use uuid::Uuid;

use super::{COLUMNS, Logged, from_row, head};
use crate::store::db::Db;
use crate::store::error::{Result, StoreError};
use crate::store::row::Row;
use crate::store::sql::{Sql, Ty};

/// Which events a reader wants.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only those of these schemas as they are installed now, not of such as bore their names before; what a key
    /// may see. `None`: of all.
    pub schemas: Option<Vec<String>>,
    /// Where they are several: also those that are of no one schema. Whether who asks sees one of these, the caller
    /// has to judge.
    pub of_no_schema: bool,
    /// Only those of this schema.
    pub schema: Option<String>,
    /// Only those of tasks of types with this name.
    pub ttype: Option<String>,
    /// Only those of this task.
    pub task: Option<Uuid>,
    /// Only those of this type.
    pub kind: Option<EventType>,
}

/// A page of the log.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events that the filter lets through, in order.
    pub events: Vec<Logged>,
    /// Everything up to this number has been looked at: where the next page begins.
    pub seen: i64,
}

/// How far one page looks where no index leads from one event that matches to the next, so that a
/// filter that matches nothing costs no scan of the whole log.
const WINDOW: i64 = 4_000;

impl EventFilter {
    /// The schema whose events are wanted, if it is one.
    fn only_schema(&self) -> Option<&str> {
        match (&self.schema, self.schemas.as_deref()) {
            (None, Some([only])) => Some(only),
            (schema, _) => schema.as_deref(),
        }
    }

    /// Whether it lets an event through that comes after every removal of a schema: where names are what they were,
    /// what [`read`] looks up of their beginnings is settled.
    pub fn lets_through(&self, event: &Event) -> bool {
        if self.is_empty() {
            return false;
        }
        let of_schema = if let Some(schema) = self.only_schema().filter(|_| self.task.is_none()) {
            event.schema == schema
        } else {
            let seen = self.schemas.as_ref().is_none_or(|schemas| {
                schemas.contains(&event.schema) || (self.of_no_schema && event.schema.is_empty())
            });
            seen && self.schema.as_ref().is_none_or(|schema| *schema == event.schema)
        };
        of_schema
            && self.ttype.as_ref().is_none_or(|ttype| event.ttype.as_ref() == Some(ttype))
            && self.task.is_none_or(|task| event.task_id == Some(task))
            && self.kind.is_none_or(|kind| event.kind == kind)
    }

    /// Whether it lets nothing through, whatever the log holds.
    fn is_empty(&self) -> bool {
        let Some(schemas) = &self.schemas else { return false };
        self.schema.as_ref().map_or(schemas.is_empty(), |schema| !schemas.contains(schema))
    }
}

/// Reads the log after `after`: up to `limit` events, fewer if they are large.
///
/// # Errors
///
/// [`ReadError::BelowFloor`] if events after `after` have been trimmed.
pub async fn read(
    db: &Db,
    after: i64,
    filter: &EventFilter,
    limit: u64,
) -> std::result::Result<Page, ReadError> {
    let head = head(db).await?;
    if after < head.floor_seq {
        return Err(ReadError::BelowFloor { floor: head.floor_seq });
    }
    if after > head.seq {
        return Err(ReadError::AheadOfLog { head: head.seq });
    }
    if filter.is_empty() {
        return Ok(Page { events: Vec::new(), seen: head.seq });
    }
    let beginnings = match &filter.schemas {
        Some(schemas) => beginnings(db, schemas).await?,
        None => Vec::new(),
    };
    let by_schema = filter.only_schema().filter(|_| filter.task.is_none());
    let leads = by_schema.is_some() && filter.ttype.is_none() && filter.kind.is_none();
    let is_indexed = filter.task.is_some() || leads;
    let upto = if is_indexed { head.seq } else { head.seq.min(after.saturating_add(WINDOW)) };
    let mut sql = Sql::new(db.engine(), "SELECT ").push(COLUMNS).push(" FROM events WHERE ");
    if let Some(schema) = by_schema {
        // As rows, so that PostgreSQL has no choice: it takes a schema of few events for one of many, and
        // the way over all events for the shorter one.
        let begins_after = beginnings.iter().find(|(name, _)| name == schema).map_or(0, |(_, seq)| *seq);
        sql = sql.push("(schema_name, seq) > (").bind(schema).push(", ").bind(after.max(begins_after));
        sql = sql.push(") AND (schema_name, seq) <= (").bind(schema).push(", ").bind(upto).push(")");
    } else {
        sql = sql.push("seq > ").bind(after).push(" AND seq <= ").bind(upto);
        if let Some(schema) = &filter.schema {
            sql = sql.push(" AND schema_name = ").bind(schema.as_str());
        }
        if let Some(schemas) = &filter.schemas {
            let unnamed = filter.of_no_schema.then_some("");
            let names = schemas.iter().map(String::as_str).chain(unnamed).map(Into::into).collect();
            sql = sql.push(" AND schema_name").any(Ty::Text, names);
        }
        for (schema, begins_after) in beginnings.iter().filter(|(_, seq)| *seq > after) {
            sql = sql.push(" AND NOT (schema_name = ").bind(schema.as_str());
            sql = sql.push(" AND seq <= ").bind(*begins_after).push(")");
        }
    }
    if let Some(ttype) = &filter.ttype {
        sql = sql.push(" AND ttype = ").bind(ttype.as_str());
    }
    if let Some(task) = filter.task {
        sql = sql.push(" AND task_id = ").bind(task);
    }
    if let Some(kind) = filter.kind {
        sql = sql.push(" AND kind = ").bind(kind.as_str());
    }
    let order = if by_schema.is_some() { "schema_name, seq" } else { "seq" };
    let sql = sql.push(" ORDER BY ").push(order).push(" LIMIT ").bind(limit as i64 + 1);
    let (events, more) = sql.page(db.read(), limit, from_row, |logged| logged.event.body.len()).await?;
    let seen = if more { events.last().map_or(upto, |e| e.seq) } else { upto };
    Ok(Page { events, seen })
}

/// After which number the events of each schema begin, as far as who sees some schemas only may read them: a key may
/// be younger than the schema that bore a name before. Of one that is not installed any more, its removal alone is
/// told.
async fn beginnings(db: &Db, schemas: &[String]) -> Result<Vec<(String, i64)>> {
    let names = schemas.iter().map(|s| s.as_str().into()).collect();
    let sql = Sql::new(db.engine(), "SELECT name, begins_after FROM schemas WHERE name").any(Ty::Text, names);
    let rows = sql.all(db.read()).await?;
    let mut found: Vec<(String, i64)> =
        rows.iter().map(|row| Ok((row.get("name")?, row.get("begins_after")?))).collect::<Result<_>>()?;
    for schema in schemas {
        if found.iter().any(|(name, _)| name == schema) {
            continue;
        }
        let removed = Sql::new(db.engine(), "SELECT seq FROM events WHERE schema_name = ")
            .bind(schema.as_str())
            .push(" AND kind = ")
            .bind(EventType::SchemaRemoved.as_str())
            .push(" ORDER BY schema_name DESC, seq DESC LIMIT 1");
        if let Some(row) = removed.one(db.read()).await? {
            found.push((schema.clone(), row.get::<i64>("seq")? - 1));
        }
    }
    Ok(found)
}

/// Why the log can't be read from a position.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// What came after the position has been trimmed.
    #[error("events up to {floor} have been trimmed")]
    BelowFloor {
        /// The last trimmed event's number; the log begins after it.
        floor: i64,
    },
    /// The log does not reach so far: the position is another log's, or this one was restored from
    /// an older backup. Going on from it would pass over what comes next.
    #[error("the log ends at event {head}")]
    AheadOfLog {
        /// The last event's number.
        head: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every event of a task that is still kept, oldest first: what `line` makes of each. An event holds the
/// whole task as it was then, so that all of them together may be large; each is read by itself.
pub async fn history<T>(db: &Db, task: Uuid, mut line: impl FnMut(Logged) -> T) -> Result<Vec<T>> {
    let sql = Sql::new(db.engine(), "SELECT ")
        .push(COLUMNS)
        .push(" FROM events WHERE task_id = ")
        .bind(task)
        .push(" AND seq > (SELECT floor_seq FROM log_head) ORDER BY seq");
    let mut lines = Vec::new();
    sql.each(db.read(), |row| {
        lines.push(line(from_row(row)?));
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    Ok(lines)
}

/// A task as it was at one of its versions, as the log tells it; nothing if there was none, or it was erased or trimmed.
pub async fn task_at(db: &Db, task: Uuid, version: i64) -> Result<Option<serde_json::Value>> {
    #[derive(serde::Deserialize)]
    struct Body {
        task: Option<serde_json::Value>,
    }
    let sql = Sql::new(db.engine(), "SELECT ")
        .push(COLUMNS)
        .push(" FROM events WHERE task_id = ")
        .bind(task)
        .push(" AND version = ")
        .bind(version)
        .push(" ORDER BY seq DESC LIMIT 1");
    let Some(row) = sql.one(db.read()).await? else { return Ok(None) };
    let body = from_row(&row)?.event.body;
    Ok(serde_json::from_str::<Body>(&body).ok().and_then(|body| body.task))
}
