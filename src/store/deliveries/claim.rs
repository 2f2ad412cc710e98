//! Leasing deliveries that are due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::DatabaseTransaction;
use task_inbox_domain::Rate;
use task_inbox_domain::rate::Pace;
use uuid::Uuid;

use super::{Leased, order, release};
use crate::store::db::Db;
use crate::store::error::Result;
use crate::store::log;
use crate::store::registry::Held;
use crate::store::row::Row;
use crate::store::sql::Sql;

/// What came of a look for deliveries that are due.
#[derive(Debug, Default)]
pub struct Claimed {
    /// What this process may send.
    pub leased: Vec<Leased>,
    /// The endpoint's rate is used up: nothing can be claimed for so long.
    pub wait: Option<Duration>,
}

/// The endpoints with deliveries that are due and not held, among these, in no particular order.
pub async fn due_endpoints(db: &Db, endpoints: &[Uuid], held: &Held) -> Result<Vec<Uuid>> {
    if endpoints.is_empty() || *held == Held::Everything {
        return Ok(Vec::new());
    }
    let sql = Sql::new(db.engine(), "SELECT e.id FROM endpoints e WHERE e.id")
        .any_id(endpoints.iter().copied())
        // One look for each endpoint: of an EXISTS, PostgreSQL may make a join that reads all that is due.
        .push(" AND (SELECT d.due_at FROM deliveries d WHERE d.endpoint_id = e.id AND d.due_at >= 0 AND d.due_at <= {now}");
    let sql = order::not_held(sql, "d", held).push(" ORDER BY d.due_at LIMIT 1) IS NOT NULL");
    sql.all(db.read()).await?.iter().map(|row| row.get("id")).collect()
}

/// Leases up to `limit` deliveries of an endpoint that are due and not held, the longest due first. Fewer
/// may be left than it gives: [`super::park`] tells.
pub async fn claim(
    db: &Db,
    endpoint: Uuid,
    limit: usize,
    lease: Duration,
    held: &Held,
) -> Result<Vec<Leased>> {
    let since = Instant::now();
    let transaction = db.begin().await?;
    let taken = take(db, &transaction, endpoint, limit, lease, held).await?;
    transaction.commit().await?;
    with_events(db, taken, since, false).await
}

/// The same for an endpoint with a rate, which all replicas keep together: the endpoint's row holds when
/// the next attempt may come.
pub async fn claim_paced(
    db: &Db,
    endpoint: Uuid,
    rate: Rate,
    limit: usize,
    lease: Duration,
    held: &Held,
) -> Result<Claimed> {
    let since = Instant::now();
    let pace = Pace::of(rate);
    let transaction = db.begin().await?;
    let row = Sql::new(db.engine(), "SELECT rate_due, {now} AS now FROM endpoints WHERE id = ")
        .bind(endpoint)
        .push(" {locked}")
        .one(&transaction)
        .await?;
    let Some(row) = row else { return Ok(Claimed::default()) };
    let (due, now): (i64, i64) = (row.get("rate_due")?, row.get("now")?);
    let allowed = pace.allows(due, now);
    if allowed == 0 {
        return Ok(Claimed { leased: Vec::new(), wait: Some(pace.wait(due, now)) });
    }
    let taken = take(db, &transaction, endpoint, limit.min(allowed), lease, held).await?;
    let due = pace.after(due, now, taken.rows.len());
    if !taken.rows.is_empty() {
        Sql::new(db.engine(), "UPDATE endpoints SET rate_due = ")
            .bind(due)
            .push(" WHERE id = ")
            .bind(endpoint)
            .execute(&transaction)
            .await?;
    }
    transaction.commit().await?;
    let wait = (taken.rows.len() == allowed).then(|| pace.wait(due, now));
    Ok(Claimed { leased: with_events(db, taken, since, false).await?, wait })
}

/// Leases one delivery of an endpoint whose breaker is open, if it is time for a probe and nobody else's is
/// under way.
pub async fn probe(db: &Db, endpoint: Uuid, lease: Duration, held: &Held) -> Result<Vec<Leased>> {
    let since = Instant::now();
    let transaction = db.begin().await?;
    // If the probe is never settled, the next one may go when its lease has run out.
    let turn = Sql::new(db.engine(), "UPDATE endpoints SET open_until = {now} + ")
        .bind(lease.as_micros() as i64)
        .push(" WHERE open_until <= {now} AND id = ")
        .bind(endpoint)
        .execute(&transaction)
        .await?;
    if turn == 0 {
        return Ok(Vec::new());
    }
    let taken = take(db, &transaction, endpoint, 1, lease, held).await?;
    if taken.rows.is_empty() {
        // The turn is kept for when there is something to send.
        transaction.rollback().await?;
        return Ok(Vec::new());
    }
    transaction.commit().await?;
    with_events(db, taken, since, true).await
}

/// Deliveries that were leased: id, event and attempts made.
struct Taken {
    endpoint: Uuid,
    token: Uuid,
    rows: Vec<(Uuid, Uuid, i32)>,
}

async fn take(
    db: &Db,
    transaction: &DatabaseTransaction,
    endpoint: Uuid,
    limit: usize,
    lease: Duration,
    held: &Held,
) -> Result<Taken> {
    let token = Uuid::new_v4();
    let sql = Sql::new(db.engine(), "UPDATE deliveries SET lease_token = ")
        .bind(token)
        .push(", due_at = {now} + ")
        .bind(lease.as_micros() as i64)
        .push(" WHERE id")
        .any_of(|sql| {
            order::in_window(sql.push("SELECT d.id FROM deliveries d WHERE "), endpoint, held)
                .push(" AND ")
                .push(order::IS_FIRST)
                // By that alone, in the index's order: a queue may have become due all at one time.
                .push(" ORDER BY d.due_at LIMIT ")
                .bind(limit as i64)
                .push(" {skip_locked}")
        })
        .push(" RETURNING id, event_id, attempts");
    let mut rows = Vec::new();
    for row in &sql.all(transaction).await? {
        rows.push((row.get("id")?, row.get("event_id")?, row.get("attempts")?));
    }
    // UUIDv7 ids sort by the time of the event.
    rows.sort_unstable();
    Ok(Taken { endpoint, token, rows })
}

/// Reads what is to be sent. Leases that can't be used are given back.
async fn with_events(db: &Db, taken: Taken, since: Instant, probe: bool) -> Result<Vec<Leased>> {
    let Taken { endpoint, token, rows: claimed } = taken;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
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
    let mut events = HashMap::new();
    for row in rows {
        let logged = log::from_row(&row)?;
        events.insert(logged.event.id, (logged.seq, Arc::new(logged.event)));
    }
    Ok(claimed
        .into_iter()
        .filter_map(|(id, event_id, attempts)| {
            let (seq, event) = events.get(&event_id)?.clone();
            Some(Leased { id, endpoint, token, attempts: attempts.max(0) as u32, seq, event, since, probe })
        })
        .collect())
}
