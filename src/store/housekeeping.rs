//! Taking away what has had its time, in pieces small enough to disturb nobody.

use std::time::{Duration, Instant};

use task_inbox_domain::Timestamp;

use super::db::{Db, Engine};
use super::error::Result;
use super::replays::lowest_id;
use super::row::Row;
use super::sql::Sql;

/// The most rows that one transaction deletes.
const PIECE: i64 = 1_000;

/// The size above which SQLite's write-ahead log is folded into the file and cut off, in bytes. It is
/// reused from its beginning otherwise, but never gets smaller by itself.
const MAX_WAL: u64 = 64 * 1024 * 1024;

/// Deletes idempotency keys whose time is over; returns how many.
pub async fn expire_idempotency_keys(db: &Db) -> Result<u64> {
    let mut expired = 0;
    loop {
        let transaction = db.begin().await?;
        let deleted = Sql::new(
            db.engine(),
            "DELETE FROM idempotency_keys WHERE key_hash IN
                (SELECT key_hash FROM idempotency_keys WHERE expires_at <= {now} ORDER BY expires_at, key_hash LIMIT ",
        )
        .bind(PIECE)
        .push(" {skip_locked})")
        .execute(&transaction)
        .await?;
        transaction.commit().await?;
        expired += deleted;
        if deleted < PIECE as u64 {
            return Ok(expired);
        }
    }
}

/// Deletes secrets that have ended; returns how many. Nothing uses them any more, so that nobody needs to
/// hear of it.
pub async fn remove_ended_secrets(db: &Db) -> Result<u64> {
    let transaction = db.begin().await?;
    let removed = Sql::new(db.engine(), "DELETE FROM endpoint_secrets WHERE expires_at <= {now}")
        .execute(&transaction)
        .await?;
    transaction.commit().await?;
    Ok(removed)
}

/// Deletes deliveries that ended this long ago, and attempts as old; returns how many rows. Between two pieces
/// it rests for longer than they took, so that it never takes more than a third of the database's time.
///
/// Both tables are searched by their keys, which begin with the time of the event: an index on the time of the
/// end would cost each delivery more than the few rows that are passed over cost here.
pub async fn remove_old_deliveries(db: &Db, age: Duration) -> Result<u64> {
    let now = Timestamp::from(chrono::Utc::now());
    let before = Timestamp::from_micros(now.as_micros().saturating_sub(age.as_micros() as i64));
    let mut removed = 0;
    for (table, keys, id, ended) in [
        ("finished_deliveries", "id", "id", "finished_at"),
        ("attempts", "delivery_id, number", "delivery_id", "started_at"),
    ] {
        loop {
            let begun = Instant::now();
            let transaction = db.begin().await?;
            let deleted = Sql::new(
                db.engine(),
                &format!("DELETE FROM {table} WHERE ({keys}) IN (SELECT {keys} FROM {table} WHERE {id} < "),
            )
            .bind(lowest_id(before))
            .push(&format!(" AND {ended} < "))
            .bind(before.as_micros())
            .push(&format!(" ORDER BY {keys} LIMIT "))
            .bind(PIECE)
            .push(" {skip_locked})")
            .execute(&transaction)
            .await?;
            transaction.commit().await?;
            removed += deleted;
            if deleted < PIECE as u64 {
                break;
            }
            tokio::time::sleep(begun.elapsed() * 2).await;
        }
    }
    Ok(removed)
}

/// Cuts off SQLite's write-ahead log if it has grown large; tells whether it did.
pub async fn truncate_wal(db: &Db) -> Result<bool> {
    let Some(file) = db.sqlite_file() else { return Ok(false) };
    let size = std::fs::metadata(format!("{file}-wal")).map_or(0, |m| m.len());
    if size <= MAX_WAL {
        return Ok(false);
    }
    // One row: whether somebody was in the way, which the next time will not be.
    let row = Sql::new(Engine::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)").one(db.write()).await?;
    Ok(row.map(|r| r.get::<i32>("busy")).transpose()? == Some(0))
}
