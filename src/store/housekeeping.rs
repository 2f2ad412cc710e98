//! Taking away what has had its time, in pieces small enough to disturb nobody.

use std::time::{Duration, Instant};

use task_inbox_domain::Timestamp;
use uuid::Uuid;

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
            "DELETE FROM idempotency_keys WHERE key_hash",
        )
        .any_of(|sql| {
            sql.push("SELECT key_hash FROM idempotency_keys WHERE expires_at <= {now} ORDER BY expires_at, key_hash LIMIT ")
                .bind(PIECE)
                .push(" {skip_locked}")
        })
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

/// A table of what is kept for a while. Its keys begin with the time of the event, by which it is searched: an
/// index on the time of the end would cost each delivery more than the rows that are passed over cost here.
struct Past {
    table: &'static str,
    id: &'static str,
    ended: &'static str,
    /// The last that was looked at; none at the end.
    looked: Option<Uuid>,
}

/// Deletes deliveries that ended this long ago, and attempts as old; returns how many rows. Between two pieces
/// it rests for longer than they took, so that it never takes more than a third of the database's time.
pub async fn remove_old_deliveries(db: &Db, age: Duration) -> Result<u64> {
    // The database's clock, by which they ended: another's may be days wrong.
    let before = before(db, age).await?;
    let looked = Some(Uuid::nil());
    let mut tables = [
        Past { table: "finished_deliveries", id: "id", ended: "finished_at", looked },
        Past { table: "attempts", id: "delivery_id", ended: "started_at", looked },
    ];
    let mut removed = 0;
    loop {
        let begun = Instant::now();
        for past in &mut tables {
            removed += past.remove(db, before).await?;
        }
        if tables.iter().all(|past| past.looked.is_none()) {
            return Ok(removed);
        }
        tokio::time::sleep(begun.elapsed() * 2).await;
    }
}

async fn before(db: &Db, age: Duration) -> Result<Timestamp> {
    let now = db.now().await?;
    Ok(Timestamp::from_micros(now.as_micros().saturating_sub(age.as_micros() as i64)))
}

impl Past {
    /// Deletes the next piece; returns how many rows. They are looked for where it keeps nobody from writing.
    async fn remove(&mut self, db: &Db, before: Timestamp) -> Result<u64> {
        let Self { table, id, ended, looked } = self;
        let Some(last) = *looked else { return Ok(0) };
        let found = Sql::new(db.engine(), &format!("SELECT {id} AS id FROM {table} WHERE {id} > "))
            .bind(last)
            .push(&format!(" AND {id} < "))
            .bind(lowest_id(before))
            .push(&format!(" AND {ended} < "))
            .bind(before.as_micros())
            .push(&format!(" ORDER BY {id} LIMIT "))
            .bind(PIECE)
            .all(db.read())
            .await?;
        let ids: Vec<Uuid> = found.iter().map(|row| row.get("id")).collect::<Result<_>>()?;
        *looked = ids.last().copied().filter(|_| ids.len() as i64 == PIECE);
        if ids.is_empty() {
            return Ok(0);
        }
        let transaction = db.begin().await?;
        let deleted = Sql::new(db.engine(), &format!("DELETE FROM {table} WHERE {{row}}"))
            .any_of(|sql| {
                sql.push(&format!("SELECT {{row}} FROM {table} WHERE {id}"))
                    .any_id(ids)
                    .push(&format!(" AND {ended} < "))
                    .bind(before.as_micros())
                    .push(&format!(" ORDER BY {id} {{skip_locked}}"))
            })
            .execute(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted)
    }
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
