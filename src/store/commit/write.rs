//! The statements that write what was folded.
//!
//! On PostgreSQL it is one. On SQLite they are one text, whatever the batch holds: each text that is run
//! wakes the driver's thread and this one.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use uuid::Uuid;

use super::fold::{Folded, Plan};
use super::keys;
use super::member::Member;
use super::merge;
use super::queue::Context;
use crate::store::log::{self, Append, Head};
use crate::store::registry::Registry;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};
use crate::store::{Engine, Result, StoreError, tasks};

/// The leases that were taken, by delivery, and the first event's number; nothing if the registry has
/// moved.
pub(super) type Written = Option<(HashMap<Uuid, Uuid>, i64)>;

/// Writes what was folded, in a transaction that goes on.
pub(super) async fn write(
    context: &Context,
    registry: &Registry,
    transaction: &DatabaseTransaction,
    folded: &Folded,
    members: &[&Member],
    plan: &Plan,
) -> Result<Written> {
    keys::finish(context, transaction, folded, members, plan).await?;
    merge::finish(context, transaction, folded).await?;
    if folded.entries.is_empty() {
        return Ok(Some((HashMap::new(), 0)));
    }
    match context.db.engine() {
        Engine::Postgres => {
            let append = Append::new(&folded.entries, Some(registry.number));
            write_postgres(context, append, transaction, folded).await
        }
        Engine::Sqlite => {
            let head = log::head_on(Engine::Sqlite, transaction).await?;
            if head.registry != registry.number {
                return Ok(None);
            }
            let sql = write_sqlite(context, Sql::new(Engine::Sqlite, ""), folded, &head);
            Ok(Some((leased(&sql.all(transaction).await?)?, head.seq + 1)))
        }
    }
}

/// One statement: what it writes is joined with the head, so that nothing is written without it.
pub(super) async fn write_postgres(
    context: &Context,
    append: Append,
    db: &impl ConnectionTrait,
    folded: &Folded,
) -> Result<Written> {
    let mut sql = append.with_head(Sql::new(Engine::Postgres, ""));
    if !folded.created.is_empty() {
        let rows = created(folded);
        let names = rows.names();
        sql = sql.push(&format!(", created AS (INSERT INTO tasks ({names}) SELECT {names} FROM head, "));
        sql = rows.table(sql).push(" AS r)");
    }
    if !folded.changed.is_empty() {
        sql = sql.push(", changed AS (").push(CHANGE).push("head, ");
        sql = changed(folded).table(sql).push(" AS r WHERE t.id = r.id)");
    }
    let delivers = !folded.deliveries.is_empty();
    if delivers {
        sql = deliver(context, sql.push(", delivered AS ("), deliveries(folded))
            .push(", head RETURNING id, lease_token)");
    }
    sql = sql.push(if delivers {
        " SELECT base, d.id, d.lease_token FROM head LEFT JOIN delivered d ON true"
    } else {
        " SELECT base FROM head"
    });
    let rows = sql.all(db).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let read = || Ok((if delivers { leased(&rows)? } else { HashMap::new() }, first.get::<i64>("base")? + 1));
    read().map(Some).map_err(StoreError::after_commit)
}

/// Adds to a text of SQLite all that a batch writes to a log with this head, which its transaction has read.
/// The rows that it returns are [`leased`].
pub(super) fn write_sqlite(context: &Context, sql: Sql, folded: &Folded, head: &Head) -> Sql {
    let tasks = created(folded);
    let names = tasks.names();
    let insert = format!("INSERT INTO tasks ({names}) SELECT {names} FROM ");
    let sql = tasks.add(sql, |sql, rows| rows.table(sql.push(&insert)).push(" AS r"));
    let sql =
        changed(folded).add(sql, |sql, rows| rows.table(sql.push(CHANGE)).push(" AS r WHERE t.id = r.id"));
    let sql = deliveries(folded)
        .add(sql, |sql, rows| deliver(context, sql, rows).push(" WHERE true RETURNING id, lease_token"));
    Append::new(&folded.entries, None).after(head, sql)
}

fn created(folded: &Folded) -> Rows {
    let mut rows = Rows::new(tasks::COLUMNS);
    folded.created.iter().for_each(|task| rows.push(tasks::values(task)));
    rows
}

fn changed(folded: &Folded) -> Rows {
    let mut rows = Rows::new(tasks::CHANGED);
    for task in folded.changed.values() {
        rows.push(tasks::changed_values(task, folded.amended.contains(&task.id)));
    }
    rows
}

/// Changes tasks to what rows `r` say, which follow.
const CHANGE: &str =
    "UPDATE tasks AS t SET updated_at = r.updated_at, state = r.state, resolved = r.resolved,
        phase = r.phase, meta = COALESCE(r.meta, t.meta), output = r.output, version = r.version, decided_by = r.decided_by,
        decided_at = r.decided_at, expires_at = r.expires_at, superseded_by = r.superseded_by FROM ";

const DELIVERIES: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("schema_name", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Maybe),
    ("version", Ty::Int, Null::Maybe),
    ("lease_token", Ty::Uuid, Null::Maybe),
];

fn deliveries(folded: &Folded) -> Rows {
    let mut rows = Rows::new(DELIVERIES);
    for delivery in &folded.deliveries {
        let event = &folded.entries[delivery.entry].event;
        rows.push(vec![
            delivery.id.into(),
            delivery.endpoint.into(),
            event.id.into(),
            event.schema.as_str().into(),
            event.task_id.into(),
            event.version.into(),
            delivery.lease_token.into(),
        ]);
    }
    rows
}

/// Inserts deliveries, leased where that was asked for and no older one of the task is live. The end of
/// its FROM may be added to.
fn deliver(context: &Context, sql: Sql, rows: Rows) -> Sql {
    let lease = context.settings.lease.as_micros() as i64;
    let sql = sql
        .push(
            "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, task_id, version, attempts,
                due_at, lease_token, created_at)
             SELECT r.id, r.endpoint_id, r.event_id, r.schema_name, r.task_id, r.version, 0,
                {now} + CASE WHEN r.leasable THEN ",
        )
        .bind(lease)
        .push(
            " ELSE 0 END, CASE WHEN r.leasable THEN r.lease_token END, {now}
             FROM (SELECT r.*, r.lease_token IS NOT NULL AND (r.version = 1 OR NOT EXISTS (
                SELECT 1 FROM deliveries d WHERE d.task_id = r.task_id
                    AND d.endpoint_id = r.endpoint_id AND d.version < r.version)) AS leasable FROM ",
        );
    rows.table(sql).push(" AS r) AS r")
}

/// The deliveries that were leased, with their tokens.
pub(super) fn leased(rows: &[QueryResult]) -> Result<HashMap<Uuid, Uuid>> {
    let mut leased = HashMap::new();
    for row in rows {
        if let Some(token) = row.get::<Option<Uuid>>("lease_token")? {
            leased.insert(row.get("id")?, token);
        }
    }
    Ok(leased)
}
