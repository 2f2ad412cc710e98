//! Live deliveries: leasing them, and settling what became of an attempt.
//!
//! Whether a delivery may go is derived, never stored: it is due, nobody's lease on it runs, and no
//! live delivery of an earlier version of its task to the same endpoint exists. A settlement
//! changes only rows that still bear the lease token it was sent under. What can't go for long is
//! moved out of a claim's way (`order`), which changes when it is looked at, not whether it may go.

mod order;
mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use task_inbox_domain::Event;
use uuid::Uuid;

use super::db::Db;
use super::error::Result;
use super::log;
use super::row::Row;
use super::sql::{Column, Null, Rows, Sql, Ty};

pub use order::park;
pub use settle::{Fate, Settled, settle};

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

/// Leases up to `limit` deliveries of an endpoint that are due, the longest due first. Fewer may be
/// left than it gives: [`park`] tells.
pub async fn claim(db: &Db, endpoint: Uuid, limit: usize, lease: Duration) -> Result<Vec<Leased>> {
    let token = Uuid::new_v4();
    let since = Instant::now();
    let lease = lease.as_micros() as i64;
    let transaction = db.begin().await?;
    let sql = Sql::new(db.engine(), "UPDATE deliveries SET lease_token = ")
        .bind(token)
        .push(", due_at = {now} + ")
        .bind(lease)
        .push(" WHERE id IN (SELECT d.id FROM deliveries d WHERE ");
    let sql = order::in_window(sql, endpoint)
        .push(" AND ")
        .push(order::IS_FIRST)
        .push(" ORDER BY d.due_at, d.id LIMIT ")
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

/// How many deliveries are live.
pub async fn count_live(db: &Db) -> Result<i64> {
    let row = Sql::new(db.engine(), "SELECT count(*) AS n FROM deliveries").one(db.read()).await?;
    row.map_or(Ok(0), |row| row.get("n"))
}
