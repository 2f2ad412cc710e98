//! Live deliveries: leasing them, and settling what became of an attempt.
//!
//! Whether a delivery may go is derived, never stored: it is due, nobody's lease on it runs, and no
//! live delivery of an earlier version of its task to the same endpoint exists. A settlement
//! changes only rows that still bear the lease token it was sent under. What can't go for long is
//! moved out of a claim's way (`order`), which changes when it is looked at, not whether it may go.

mod claim;
mod health;
mod order;
mod settle;

use std::sync::Arc;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use task_inbox_domain::Event;
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::Result;
use super::registry::{Heard, Registry};
use super::row::Row;
use super::sql::{Column, Null, Rows, Sql, Ty};

pub use claim::{Claimed, claim, claim_paced, due_endpoints, probe};
pub use health::failing;
pub(super) use health::{FORGET, health};
pub use order::park;
pub use settle::{Fate, Settled, Settlement, settle};

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
    /// Whether it is sent to see if its endpoint works again.
    pub probe: bool,
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
        let only = rows.clone();
        let sql = rows.table(sql).push(" AS r WHERE d.id = r.id AND d.lease_token = r.lease_token");
        only.only(sql, "d.id", "id")
    })
    .await?;
    Ok(transaction.commit().await?)
}

/// Takes all leases away, for a process that is alone with its database: whoever held them is gone, and what was under
/// way goes out again at once, not when the lease would have run out. Returns how many there were.
pub async fn release_all(db: &Db) -> Result<u64> {
    let transaction = db.begin().await?;
    let released = Sql::new(
        db.engine(),
        "UPDATE deliveries SET lease_token = NULL,
            due_at = CASE WHEN attempts = 0 THEN created_at ELSE {now} END WHERE lease_token IS NOT NULL",
    )
    .walks()
    .execute(&transaction)
    .await?;
    transaction.commit().await?;
    Ok(released)
}

const TOKENS: &[Column] = &[("id", Ty::Uuid, Null::Never), ("lease_token", Ty::Uuid, Null::Never)];

const ADDRESSED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("schema_name", Ty::Text, Null::Maybe),
];

/// Makes deliveries, which nobody has leased, of events that concern no task; says whether there are any.
pub(super) async fn address(
    engine: Engine,
    db: &impl ConnectionTrait,
    registry: &Registry,
    events: &[Event],
) -> Result<bool> {
    let mut rows = Rows::new(ADDRESSED);
    for event in events {
        for endpoint in registry.routes(&Heard::of_no_task(event)) {
            // An empty text is what stands for none in an array of texts.
            rows.push(vec![
                Uuid::now_v7().into(),
                endpoint.id.into(),
                event.id.into(),
                event.schema.as_str().into(),
            ]);
        }
    }
    let any = !rows.is_empty();
    rows.run(engine, db, |sql, rows| {
        let sql = sql.push(
            "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, attempts, due_at, created_at)
             SELECT r.id, r.endpoint_id, r.event_id, coalesce(r.schema_name, ''), 0, {now}, {now} FROM ",
        );
        // Of one that is being taken away, another process may not have heard.
        rows.table(sql).push(
            " AS r WHERE EXISTS (SELECT 1 FROM endpoints e WHERE e.id = r.endpoint_id AND e.status <> 'removed')",
        )
    })
    .await?;
    Ok(any)
}

/// Ends live deliveries without another attempt; returns how many.
pub(super) async fn end(
    engine: Engine,
    transaction: &DatabaseTransaction,
    ids: Vec<Uuid>,
    outcome: &str,
    reason: &str,
) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    Sql::new(
        engine,
        "INSERT INTO finished_deliveries (id, endpoint_id, event_id, schema_name, task_id, version, attempts,
            outcome, reason, created_at, finished_at, is_resend)
         SELECT id, endpoint_id, event_id, schema_name, task_id, version, attempts, ",
    )
    .bind(outcome)
    .push(", ")
    .bind(reason)
    .push(", created_at, {now}, is_resend FROM deliveries WHERE id")
    .any_id(ids.iter().copied())
    .execute(transaction)
    .await?;
    let ended = Sql::new(engine, "DELETE FROM deliveries WHERE id")
        .any_id(ids)
        .push(" RETURNING endpoint_id, task_id, version")
        .all(transaction)
        .await?;
    order::advance(engine, transaction, &ended).await?;
    Ok(ended.len() as u64)
}

/// Makes what waits for its next attempt due: what that waited for has happened. Few deliveries of an endpoint
/// were ever tried while it failed.
pub(super) async fn hasten(engine: Engine, db: &impl ConnectionTrait, endpoint: Uuid) -> Result<()> {
    Sql::new(engine, "UPDATE deliveries SET due_at = {now} WHERE endpoint_id = ")
        .bind(endpoint)
        .push(" AND due_at >= 0 AND due_at > {now} AND lease_token IS NULL AND attempts > 0")
        .execute(db)
        .await?;
    Ok(())
}

/// How many deliveries are live.
pub async fn count_live(db: &Db) -> Result<i64> {
    let sql = Sql::new(db.engine(), "SELECT count(*) AS n FROM deliveries").walks();
    let row = sql.one(db.read()).await?;
    row.map_or(Ok(0), |row| row.get("n"))
}
