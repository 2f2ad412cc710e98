//! Settling: what became of attempts, many in one transaction.

use std::collections::HashSet;
use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::order;
use crate::store::db::{Db, Engine};
use crate::store::error::Result;
use crate::store::registry::EndpointStatus;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was delivered.
    Delivered,
    /// It is tried again after this long, by the database's clock.
    Retry(Duration),
    /// It is given up, for this reason.
    Dead(&'static str),
}

/// One attempt, made and to be settled.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The delivery.
    pub id: Uuid,
    /// The lease that it was sent under.
    pub token: Uuid,
    /// Where it went.
    pub endpoint: Uuid,
    /// What was sent.
    pub event_id: Uuid,
    /// The attempt's number, from 1.
    pub number: u32,
    /// When it began, by this process's clock; for people.
    pub started: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What the answer meant: `delivered`, or the kind of failure.
    pub outcome: String,
    /// The answer's status.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response: Vec<u8>,
    /// What becomes of the delivery.
    pub fate: Fate,
    /// Whether the endpoint said that it is gone for good.
    pub disables: bool,
}

const SETTLED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("lease_token", Ty::Uuid, Null::Never),
    ("number", Ty::Int, Null::Never),
    ("outcome", Ty::Text, Null::Never),
    ("reason", Ty::Text, Null::Maybe),
];

const RETRIED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("lease_token", Ty::Uuid, Null::Never),
    ("number", Ty::Int, Null::Never),
    ("delay", Ty::Int, Null::Never),
];

const ATTEMPTS: &[Column] = &[
    ("delivery_id", Ty::Uuid, Null::Never),
    ("number", Ty::Int, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("lease_token", Ty::Uuid, Null::Never),
    ("started_at", Ty::Int, Null::Never),
    ("duration_us", Ty::Int, Null::Never),
    ("outcome", Ty::Text, Null::Never),
    ("status", Ty::Int, Null::Maybe),
    ("error", Ty::Text, Null::Maybe),
    ("response", Ty::Bytes, Null::Maybe),
];

/// Settles attempts in one transaction; returns the ids of deliveries whose lease still held.
///
/// A row that bears another token is left alone, and its attempt is not recorded: whoever holds
/// the lease now will say what became of it.
pub async fn settle(db: &Db, attempts: &[&Settled]) -> Result<Vec<Uuid>> {
    let engine = db.engine();
    let mut sorted: Vec<&Settled> = attempts.to_vec();
    sorted.sort_unstable_by_key(|a| a.id);
    let transaction = db.begin().await?;
    let disables: Vec<Uuid> = sorted.iter().filter(|a| a.disables).map(|a| a.endpoint).collect();
    // Endpoints before deliveries, as everywhere.
    if !disables.is_empty() {
        lock_endpoints(engine, &transaction, &disables).await?;
    }
    let mut held = HashSet::new();
    finish(engine, &transaction, &sorted, &mut held).await?;
    retry(engine, &transaction, &sorted, &mut held).await?;
    sorted.retain(|a| held.contains(&a.id));
    record(engine, &transaction, &sorted).await?;
    let gone: Vec<Uuid> = sorted.iter().filter(|a| a.disables).map(|a| a.endpoint).collect();
    if !gone.is_empty() {
        disable(engine, &transaction, &gone).await?;
    }
    transaction.commit().await?;
    Ok(sorted.iter().map(|a| a.id).collect())
}

async fn lock_endpoints(engine: Engine, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<()> {
    let sql = Sql::new(engine, "SELECT id FROM endpoints WHERE id").any_id(ids.iter().copied());
    sql.push(" ORDER BY id {locked}").all(db).await?;
    Ok(())
}

fn add_ids(rows: &[QueryResult], held: &mut HashSet<Uuid>) -> Result<()> {
    for row in rows {
        held.insert(row.get("id")?);
    }
    Ok(())
}

/// What a delivery that ended is kept as: its own columns, and those of the settlement, `r`.
const FINISHED: &str = "INSERT INTO finished_deliveries (id, endpoint_id, event_id, schema_name, task_id, version,
        attempts, outcome, reason, created_at, finished_at)
     SELECT d.id, d.endpoint_id, d.event_id, d.schema_name, d.task_id, d.version, d.number, d.outcome, d.reason,
        d.created_at, {now} FROM ";

/// Moves ended deliveries out of the hot table, where their lease still holds.
///
/// Only the holder of a lease settles, and a claim passes over locked rows: nobody waits here for
/// rows that it holds in another order, so that none need be locked beforehand.
async fn finish(
    engine: Engine,
    db: &impl ConnectionTrait,
    attempts: &[&Settled],
    held: &mut HashSet<Uuid>,
) -> Result<()> {
    let mut rows = Rows::new(SETTLED);
    for attempt in attempts {
        let (outcome, reason) = match &attempt.fate {
            Fate::Delivered => ("delivered", None),
            Fate::Dead(reason) => ("dead", Some(*reason)),
            Fate::Retry(_) => continue,
        };
        rows.push(vec![
            attempt.id.into(),
            attempt.token.into(),
            i64::from(attempt.number).into(),
            outcome.into(),
            reason.map(str::to_owned).into(),
        ]);
    }
    let ended = rows.clone();
    let finished = match engine {
        Engine::Postgres => {
            rows.run(engine, db, |sql, rows| {
                let sql = rows.table(sql.push("WITH d AS (DELETE FROM deliveries AS d USING "));
                sql.push(" AS r WHERE d.id = r.id AND d.lease_token = r.lease_token RETURNING d.*, r.number, r.outcome, r.reason) ")
                    .push(FINISHED)
                    .push("d RETURNING id, endpoint_id, task_id, version")
            })
            .await?
        }
        Engine::Sqlite => {
            rows.run(engine, db, |sql, rows| {
                let sql = sql.push(FINISHED).push("(SELECT d.*, r.number, r.outcome, r.reason FROM deliveries AS d JOIN ");
                rows.table(sql)
                    .push(" AS r ON r.id = d.id AND r.lease_token = d.lease_token) AS d WHERE true RETURNING id, endpoint_id, task_id, version")
            })
            .await?
        }
    };
    if engine == Engine::Sqlite {
        ended
            .run(engine, db, |sql, rows| {
                let sql = sql.push(
                    "DELETE FROM deliveries WHERE (id, lease_token) IN (SELECT r.id, r.lease_token FROM ",
                );
                rows.table(sql).push(" AS r)")
            })
            .await?;
    }
    order::advance(engine, db, &finished).await?;
    add_ids(&finished, held)
}

/// Sets the time of the next attempt, where the lease still holds.
async fn retry(
    engine: Engine,
    db: &impl ConnectionTrait,
    attempts: &[&Settled],
    held: &mut HashSet<Uuid>,
) -> Result<()> {
    let mut rows = Rows::new(RETRIED);
    for attempt in attempts {
        if let Fate::Retry(delay) = attempt.fate {
            rows.push(vec![
                attempt.id.into(),
                attempt.token.into(),
                i64::from(attempt.number).into(),
                (delay.as_micros() as i64).into(),
            ]);
        }
    }
    let retried = rows
        .run(engine, db, |sql, rows| {
            let sql = sql.push(
                "UPDATE deliveries SET attempts = r.number, due_at = {now} + r.delay, lease_token = NULL FROM ",
            );
            // By the table's own name: SQLite's RETURNING knows no alias.
            rows.table(sql).push(
                " AS r WHERE deliveries.id = r.id AND deliveries.lease_token = r.lease_token
                  RETURNING deliveries.id",
            )
        })
        .await?;
    add_ids(&retried, held)
}

async fn record(engine: Engine, db: &impl ConnectionTrait, held: &[&Settled]) -> Result<()> {
    let mut rows = Rows::new(ATTEMPTS);
    for attempt in held {
        let response = (!attempt.response.is_empty()).then(|| attempt.response.clone());
        rows.push(vec![
            attempt.id.into(),
            i64::from(attempt.number).into(),
            attempt.endpoint.into(),
            attempt.event_id.into(),
            attempt.token.into(),
            attempt.started.as_micros().into(),
            (attempt.duration.as_micros() as i64).into(),
            attempt.outcome.as_str().into(),
            attempt.status.map(i64::from).into(),
            // PostgreSQL's text can't hold U+0000, which an error may quote from an answer.
            attempt.error.as_ref().map(|e| e.replace('\0', "\u{fffd}")).into(),
            response.into(),
        ]);
    }
    rows.insert(engine, db, "attempts", "").await?;
    Ok(())
}

async fn disable(engine: Engine, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<()> {
    let changed = Sql::new(engine, "UPDATE endpoints SET updated_at = {now}, status = ")
        .bind(EndpointStatus::Disabled.as_str())
        .push(", status_reason = 'it answered 410 Gone' WHERE status = ")
        .bind(EndpointStatus::Active.as_str())
        .push(" AND id")
        .any_id(ids.iter().copied())
        .execute(db)
        .await?;
    if changed > 0 {
        Sql::new(engine, "UPDATE log_head SET registry = registry + 1 WHERE id = 1").execute(db).await?;
    }
    Ok(())
}
