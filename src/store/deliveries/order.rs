//! Keeping the deliveries that wait for an earlier one of their task out of the claims' way.
//!
//! A claim that walks over tens of thousands of them to find the few that may go costs more than all
//! else, and on SQLite it keeps the writer. So those that wait are looked at seldom: [`park`] moves
//! the time when they are due, and [`advance`] moves the next one's back when the one before it ends.
//!
//! Neither decides what may go; claims do, by the rows that are there. So all that an error here could
//! do is to delay a delivery by [`PARKED`]. There is none: parking holds a lock on the earlier delivery
//! that its end must wait for, and passes over one that is ending, so that the end sees what is parked.

use std::collections::HashSet;
use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult};
use uuid::Uuid;

use crate::store::db::{Db, Engine};
use crate::store::error::Result;
use crate::store::registry::Held;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};

/// How many due deliveries a claim looks at. More than are under way to an endpoint while it works.
const WINDOW: i64 = 1024;

/// When a parked delivery is looked at again, unless the one before it ends.
const PARKED: Duration = Duration::from_mins(10);

/// Adds the condition that a delivery `d` of the endpoint is among the first that are due and not held.
pub(super) fn in_window(sql: Sql, endpoint: Uuid, held: &Held) -> Sql {
    let sql = sql.push("d.endpoint_id = ").bind(endpoint).push(" AND d.due_at >= 0 AND d.due_at <= {now}");
    let sql = not_held(sql, "d", held)
        .push(
            " AND d.due_at <= COALESCE(
                (SELECT w.due_at FROM deliveries w WHERE w.endpoint_id = ",
        )
        .bind(endpoint)
        .push(" AND w.due_at >= 0 AND w.due_at <= {now}");
    not_held(sql, "w", held).push(" ORDER BY w.due_at LIMIT 1 OFFSET ").bind(WINDOW).push("), {now})")
}

/// Adds the condition that a delivery's schema is not held, where some are: nearly always none is, and the
/// statement stays the one that is planned already.
pub(super) fn not_held(sql: Sql, alias: &str, held: &Held) -> Sql {
    match held {
        Held::Everything => sql.push(" AND 1 = 0"),
        Held::Schemas(names) if names.is_empty() => sql,
        Held::Schemas(names) => {
            let names = names.iter().map(|name| name.as_str().into()).collect();
            sql.push(&format!(" AND NOT ({alias}.schema_name")).any(Ty::Text, names).push(")")
        }
    }
}

/// The condition that no delivery `o` of an earlier version holds `d` back.
pub(super) const IS_FIRST: &str = "(d.task_id IS NULL OR NOT EXISTS (SELECT 1 FROM deliveries o
    WHERE o.task_id = d.task_id AND o.endpoint_id = d.endpoint_id AND o.version < d.version))";

/// Moves an endpoint's deliveries that wait for earlier ones out of the way, if a claim can't see past
/// them; says whether it did, so that it is worth claiming again.
pub async fn park(db: &Db, endpoint: Uuid, held: &Held) -> Result<bool> {
    let beyond = Sql::new(db.engine(), "SELECT 1 AS n FROM deliveries d WHERE d.endpoint_id = ")
        .bind(endpoint)
        .push(" AND d.due_at >= 0 AND d.due_at <= {now}");
    let beyond = not_held(beyond, "d", held).push(" ORDER BY d.due_at LIMIT 1 OFFSET ").bind(WINDOW);
    if beyond.one(db.read()).await?.is_none() {
        return Ok(false);
    }
    let engine = db.engine();
    let transaction = db.begin().await?;
    // Each by itself, and no join: whichever way round a plan that was made for an empty queue took it, it would
    // compare everything that waits with everything.
    let sql = Sql::new(
        engine,
        "SELECT held.id, held.earlier FROM (SELECT d.id, (SELECT o.id FROM deliveries o WHERE o.task_id = d.task_id
                AND o.endpoint_id = d.endpoint_id AND o.version < d.version ORDER BY o.version DESC LIMIT 1) AS earlier
            FROM deliveries d WHERE ",
    );
    let sql = in_window(sql, endpoint, held)
        .push(" AND d.version IS NOT NULL AND d.lease_token IS NULL AND d.attempts = 0 ORDER BY d.due_at LIMIT ")
        .bind(2 * WINDOW)
        .push(") AS held WHERE held.earlier IS NOT NULL");
    let mut waiting: Vec<(Uuid, Uuid)> = Vec::new();
    for row in &sql.all(&transaction).await? {
        waiting.push((row.get("earlier")?, row.get("id")?));
    }
    if waiting.is_empty() {
        return Ok(false);
    }
    // The end of the one before waits for this transaction; or it is under way, and then nothing is parked behind it.
    let locked = match engine {
        Engine::Postgres => " ORDER BY id FOR KEY SHARE SKIP LOCKED",
        Engine::Sqlite => "",
    };
    let there = Sql::new(engine, "SELECT id FROM deliveries WHERE id")
        .any_id(waiting.iter().map(|(earlier, _)| *earlier))
        .push(locked)
        .all(&transaction)
        .await?;
    let there: HashSet<Uuid> = there.iter().map(|row| row.get("id")).collect::<Result<_>>()?;
    let behind = waiting.iter().filter(|(earlier, _)| there.contains(earlier)).map(|(_, id)| *id);
    let parked = Sql::new(engine, "UPDATE deliveries SET due_at = {now} + ")
        .bind(PARKED.as_micros() as i64)
        .push(" WHERE id")
        .any_of(|sql| {
            sql.push("SELECT id FROM deliveries WHERE id")
                .any_id(behind)
                .push(" AND lease_token IS NULL AND attempts = 0 ORDER BY id {skip_locked}")
        })
        .execute(&transaction)
        .await?;
    transaction.commit().await?;
    Ok(parked > 0)
}

const ENDED: &[Column] = &[
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
    ("version", Ty::Int, Null::Never),
];

/// Makes the deliveries due that were parked behind these, which this transaction has ended in an
/// earlier statement: only a later one sees what was parked before the end could be written.
pub(super) async fn advance(
    engine: Engine,
    transaction: &impl ConnectionTrait,
    ended: &[QueryResult],
) -> Result<()> {
    let mut rows = Rows::new(ENDED);
    for row in ended {
        // What was resent has no version, and nobody waits for it.
        if let (Some(task), Some(version)) =
            (row.get::<Option<Uuid>>("task_id")?, row.get::<Option<i64>>("version")?)
        {
            rows.push(vec![row.get::<Uuid>("endpoint_id")?.into(), task.into(), version.into()]);
        }
    }
    // By the few that ended, each by itself: as a join, it would be all that waits with all that ended, once the queue
    // was counted while it was short. Claims may have come first: what is leased or was tried by now is left as it is.
    rows.run(engine, transaction, |sql, rows| {
        let next = |sql: Sql| {
            rows.table(sql.push(
                "SELECT (SELECT o.id FROM deliveries o WHERE o.task_id = r.task_id AND o.endpoint_id = r.endpoint_id
                    AND o.version > r.version ORDER BY o.version LIMIT 1) FROM ",
            ))
            .push(" AS r")
        };
        sql.push("UPDATE deliveries SET due_at = {now} WHERE id")
            .any_of(next)
            .push(" AND due_at > {now} AND lease_token IS NULL AND attempts = 0")
    })
    .await?;
    Ok(())
}
