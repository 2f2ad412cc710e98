//! Live deliveries: leasing them, and settling what became of an attempt.
//!
//! Whether a delivery may go is derived, never stored: it is due, nobody's lease on it runs, and no
//! live delivery of an earlier version of its task to the same endpoint exists. A settlement
//! changes only rows that still bear the lease token it was sent under.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::{Event, Timestamp};
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::Result;
use super::log;
use super::registry::EndpointStatus;
use super::row::Row;
use super::sql::{Column, Null, Rows, Sql, Ty};

/// A delivery that this process may send: it holds the lease.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The delivery.
    pub id: Uuid,
    /// Where it goes.
    pub endpoint: Uuid,
    /// Proves the lease when the attempt is settled.
    pub token: Uuid,
    /// How many attempts were made before.
    pub attempts: u32,
    /// The event's number in the log.
    pub seq: i64,
    /// The event.
    pub event: Arc<Event>,
    /// A moment before the lease began, by this process's own clock.
    pub since: Instant,
}

/// The endpoints with deliveries that are due, among these, in no particular order.
pub async fn due_endpoints(db: &Db, endpoints: &[Uuid]) -> Result<Vec<Uuid>> {
    if endpoints.is_empty() {
        return Ok(Vec::new());
    }
    let sql = Sql::new(db.engine(), "SELECT e.id FROM endpoints e WHERE e.id")
        .any_id(endpoints.iter().copied())
        .push(" AND EXISTS (SELECT 1 FROM deliveries d WHERE d.endpoint_id = e.id AND d.due_at <= {now})");
    sql.all(db.read()).await?.iter().map(|row| row.get("id")).collect()
}

/// Leases up to `limit` deliveries of an endpoint that are due, the longest due first.
pub async fn claim(db: &Db, endpoint: Uuid, limit: usize, lease: Duration) -> Result<Vec<Leased>> {
    let token = Uuid::new_v4();
    let since = Instant::now();
    let lease = lease.as_micros() as i64;
    let transaction = db.begin().await?;
    let sql = Sql::new(db.engine(), "UPDATE deliveries SET lease_token = ")
        .bind(token)
        .push(", due_at = {now} + ")
        .bind(lease)
        .push(" WHERE id IN (SELECT d.id FROM deliveries d WHERE d.endpoint_id = ")
        .bind(endpoint)
        .push(
            " AND d.due_at <= {now} AND (d.task_id IS NULL OR NOT EXISTS (SELECT 1 FROM deliveries o
                WHERE o.task_id = d.task_id AND o.endpoint_id = d.endpoint_id AND o.version < d.version))
              ORDER BY d.due_at, d.id LIMIT ",
        )
        .bind(limit as i64)
        .push(" {skip_locked}) RETURNING id, event_id, attempts");
    let rows = sql.all(&transaction).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        claimed.push((row.get::<Uuid>("id")?, row.get::<Uuid>("event_id")?, row.get::<i32>("attempts")?));
    }
    transaction.commit().await?;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    // UUIDv7 ids sort by the time of the event.
    claimed.sort_unstable();
    let sql = Sql::new(db.engine(), "SELECT ")
        .push(log::COLUMNS)
        .push(" FROM events WHERE id")
        .any_id(claimed.iter().map(|c| c.1));
    let rows = match sql.all(db.read()).await {
        Ok(rows) => rows,
        Err(error) => {
            let leases: Vec<_> = claimed.iter().map(|(id, ..)| (*id, token)).collect();
            let _ = release(db, &leases).await;
            return Err(error);
        }
    };
    let mut events = std::collections::HashMap::new();
    for row in rows {
        let logged = log::from_row(&row)?;
        events.insert(logged.event.id, (logged.seq, Arc::new(logged.event)));
    }
    Ok(claimed
        .into_iter()
        .filter_map(|(id, event_id, attempts)| {
            let (seq, event) = events.get(&event_id)?.clone();
            Some(Leased { id, endpoint, token, attempts: attempts.max(0) as u32, seq, event, since })
        })
        .collect())
}

/// Gives leases back unsent. What was never sent is due in its old order.
pub async fn release(db: &Db, leased: &[(Uuid, Uuid)]) -> Result<()> {
    let mut rows = Rows::new(TOKENS);
    let mut sorted = leased.to_vec();
    sorted.sort_unstable();
    for (id, token) in sorted {
        rows.push(vec![id.into(), token.into()]);
    }
    let transaction = db.begin().await?;
    rows.run(db.engine(), &transaction, |sql, rows| {
        let sql = sql.push(
            "UPDATE deliveries AS d SET lease_token = NULL,
                due_at = CASE WHEN d.attempts = 0 THEN d.created_at ELSE {now} END FROM ",
        );
        rows.table(sql).push(" AS r WHERE d.id = r.id AND d.lease_token = r.lease_token")
    })
    .await?;
    Ok(transaction.commit().await?)
}

const TOKENS: &[Column] = &[("id", Ty::Uuid, Null::Never), ("lease_token", Ty::Uuid, Null::Never)];

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
                    .push("d RETURNING id")
            })
            .await?
        }
        Engine::Sqlite => {
            rows.run(engine, db, |sql, rows| {
                let sql = sql.push(FINISHED).push("(SELECT d.*, r.number, r.outcome, r.reason FROM deliveries AS d JOIN ");
                rows.table(sql)
                    .push(" AS r ON r.id = d.id AND r.lease_token = d.lease_token) AS d WHERE true RETURNING id")
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

/// How many deliveries are live.
pub async fn count_live(db: &Db) -> Result<i64> {
    let row = Sql::new(db.engine(), "SELECT count(*) AS n FROM deliveries").one(db.read()).await?;
    row.map_or(Ok(0), |row| row.get("n"))
}
