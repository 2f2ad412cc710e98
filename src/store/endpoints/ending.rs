//! Ending what waits for endpoints that take nothing any more: those that are taken away, those that are gone, and
//! those that have been disabled for long.

use std::time::{Duration, Instant};

use sea_orm::DatabaseTransaction;
use task_inbox_domain::event::operational;
use task_inbox_domain::webhook::delivery::DeadReason;
use task_inbox_domain::{Actor, EventType, Timestamp};
use uuid::Uuid;

use super::write::tell;
use crate::store::db::{Db, Engine};
use crate::store::deliveries;
use crate::store::error::Result;
use crate::store::registry::{EndpointStatus, Origin, Registry};
use crate::store::row::Row;
use crate::store::secrets::bump_registry;
use crate::store::sql::Sql;

/// The most deliveries that one transaction ends.
const PIECE: i64 = 1_000;

/// Ends some of an endpoint's deliveries that nobody is sending: all, or those that were made before a time.
async fn piece(
    engine: Engine,
    transaction: &DatabaseTransaction,
    endpoint: Uuid,
    before: Option<Timestamp>,
    (outcome, reason): (&str, &str),
) -> Result<u64> {
    let mut sql = Sql::new(
        engine,
        "SELECT id FROM deliveries WHERE due_at >= 0 AND (lease_token IS NULL OR due_at <= {now}) AND endpoint_id = ",
    )
    .bind(endpoint);
    if let Some(before) = before {
        sql = sql.push(" AND created_at < ").bind(before.as_micros());
    }
    // A settlement that holds one of them ends it itself.
    let sql = sql.push(" ORDER BY due_at LIMIT ").bind(PIECE).push(" {skip_locked}");
    let ids: Vec<Uuid> =
        sql.all(transaction).await?.iter().map(|row| row.get("id")).collect::<Result<_>>()?;
    deliveries::end(engine, transaction, ids, outcome, reason).await
}

/// Withdraws what waits for an endpoint that is taken away, or is gone.
async fn withdraw(db: &Db, endpoint: Uuid) -> Result<u64> {
    let mut withdrawn = 0;
    loop {
        let transaction = db.begin().await?;
        let why = ("cancelled", "endpoint_removed");
        let ended = piece(db.engine(), &transaction, endpoint, None, why).await?;
        transaction.commit().await?;
        withdrawn += ended;
        if ended < PIECE as u64 {
            return Ok(withdrawn);
        }
    }
}

/// Withdraws what waits for an endpoint that is taken away, and takes its row along if nothing is under way to it.
pub(super) async fn finish_removal(db: &Db, id: Uuid) -> Result<u64> {
    let engine = db.engine();
    let withdrawn = withdraw(db, id).await?;
    let transaction = db.begin().await?;
    let gone = Sql::new(
        engine,
        "DELETE FROM endpoints WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.due_at >= 0 AND d.endpoint_id = ",
    )
    .bind(id)
    .push(") AND origin = ")
    .bind(Origin::Registered.as_str())
    .push(" AND id = ")
    .bind(id)
    .execute(&transaction)
    .await?;
    Sql::new(engine, "DELETE FROM replays WHERE endpoint_id = ").bind(id).execute(&transaction).await?;
    if gone > 0 {
        bump_registry(engine, &transaction).await?;
    }
    transaction.commit().await?;
    Ok(withdrawn)
}

/// Finishes removals that were interrupted or had to wait, and ends deliveries whose endpoint is gone; returns
/// how many were withdrawn.
pub async fn sweep(db: &Db) -> Result<u64> {
    let engine = db.engine();
    let mut withdrawn = 0;
    let closed = Sql::new(engine, "SELECT id FROM endpoints WHERE origin = ")
        .bind(Origin::Registered.as_str())
        .push(" AND status = ")
        .bind(EndpointStatus::Removed.as_str())
        .all(db.read())
        .await?;
    for row in &closed {
        withdrawn += finish_removal(db, row.get("id")?).await?;
    }
    // From one endpoint to the next along the index, however much waits.
    let orphaned = Sql::new(
        engine,
        "WITH RECURSIVE ids (id) AS (
            SELECT (SELECT d.endpoint_id FROM deliveries d WHERE d.due_at >= 0 ORDER BY d.endpoint_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.endpoint_id FROM deliveries d WHERE d.endpoint_id > ids.id AND d.due_at >= 0
                ORDER BY d.endpoint_id LIMIT 1)
            FROM ids WHERE ids.id IS NOT NULL)
         SELECT ids.id FROM ids WHERE ids.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = ids.id)",
    )
    .all(db.read())
    .await?;
    for row in &orphaned {
        withdrawn += withdraw(db, row.get("id")?).await?;
    }
    Ok(withdrawn)
}

/// Gives up deliveries that have waited this long for an endpoint that is disabled as long; returns how many. They
/// are dead, as listed and as good to be sent again as any. Operators are told once of an endpoint, and not of each:
/// there may be a million.
pub async fn give_up(db: &Db, registry: &Registry, age: Duration) -> Result<u64> {
    let now = db.now().await?;
    let before = Timestamp::from_micros(now.as_micros().saturating_sub(age.as_micros() as i64));
    let disabled = Sql::new(db.engine(), "SELECT id FROM endpoints WHERE status = ")
        .bind(EndpointStatus::Disabled.as_str())
        .push(" AND updated_at < ")
        .bind(before.as_micros())
        .all(db.read())
        .await?;
    let mut all = 0;
    for row in &disabled {
        let (endpoint, mut ended) = (row.get("id")?, 0);
        loop {
            let begun = Instant::now();
            let more = give_up_piece(db, registry, endpoint, before, &mut ended).await?;
            if !more {
                break;
            }
            tokio::time::sleep(begun.elapsed() * 2).await;
        }
        all += ended;
    }
    Ok(all)
}

/// One piece, if the endpoint is still disabled: somebody may resume it at any time. Says whether there may be more,
/// and tells with the last of them.
async fn give_up_piece(
    db: &Db,
    registry: &Registry,
    endpoint: Uuid,
    before: Timestamp,
    ended: &mut u64,
) -> Result<bool> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let held = Sql::new(engine, "SELECT id FROM endpoints WHERE status = ")
        .bind(EndpointStatus::Disabled.as_str())
        .push(" AND updated_at < ")
        .bind(before.as_micros())
        .push(" AND id = ")
        .bind(endpoint)
        .push(" {locked}")
        .one(&transaction)
        .await?;
    if held.is_none() {
        return Ok(false);
    }
    let why = ("dead", DeadReason::EndpointDisabled.as_str());
    let now = piece(engine, &transaction, endpoint, Some(before), why).await?;
    let more = now == PIECE as u64;
    let total = *ended + now;
    if let Some(known) = registry.endpoint(endpoint).filter(|_| !more && total > 0) {
        let message = format!(
            "{total} deliveries that waited for it are given up; a replay of what is dead sends them"
        );
        let event = operational::endpoint_changed(
            Uuid::now_v7(),
            EventType::EndpointDisabled,
            &known.facts(None),
            "given_up",
            Some(&message),
            &Actor::system(),
            Timestamp::from(chrono::Utc::now()),
        );
        tell(engine, &transaction, registry, event).await?;
    }
    transaction.commit().await?;
    *ended = total;
    Ok(more)
}
