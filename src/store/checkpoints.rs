//! Checkpoints: signed points of the log. The copies here tell where a trimmed log begins; what
//! proves something is the copy that is kept outside.

use sea_orm::QueryResult;
use task_inbox_domain::Timestamp;
use task_inbox_domain::log::{Checkpoint, hex};

use super::db::Db;
use super::error::Result;
use super::log;
use super::row::Row;
use super::sql::Sql;

const SELECT: &str = "SELECT seq, hash, created_at, signature FROM checkpoints";

/// Makes a checkpoint of the log's head, signs it, and keeps it; the copy that proves something is
/// the one kept outside.
pub async fn make(db: &Db, key: &[u8], now: Timestamp) -> Result<Checkpoint> {
    let head = log::head(db).await?;
    let checkpoint = Checkpoint::sign(key, head.seq, &head.hash, now);
    let transaction = db.begin().await?;
    Sql::new(db.engine(), "INSERT INTO checkpoints (seq, hash, created_at, signature) VALUES (")
        .bind(head.seq)
        .push(", ")
        .bind(head.hash.to_vec())
        .push(", ")
        .bind(now.as_micros())
        .push(", ")
        .bind(checkpoint.signature.as_str())
        .push(") ON CONFLICT (seq) DO UPDATE SET created_at = excluded.created_at, signature = excluded.signature")
        .execute(&transaction)
        .await?;
    transaction.commit().await?;
    Ok(checkpoint)
}

/// How many checkpoints are kept.
pub async fn count(db: &Db) -> Result<i64> {
    let row = Sql::new(db.engine(), "SELECT count(*) AS n FROM checkpoints").one(db.read()).await?;
    row.map_or(Ok(0), |row| row.get("n"))
}

/// The checkpoints that are kept, oldest first.
pub async fn list(db: &Db) -> Result<Vec<Checkpoint>> {
    let sql = Sql::new(db.engine(), SELECT).push(" ORDER BY seq");
    sql.all(db.read()).await?.iter().map(from_row).collect()
}

/// The checkpoint of this event, if one is kept.
pub(super) async fn at(db: &Db, seq: i64) -> Result<Option<Checkpoint>> {
    let sql = Sql::new(db.engine(), SELECT).push(" WHERE seq = ").bind(seq);
    sql.one(db.read()).await?.as_ref().map(from_row).transpose()
}

fn from_row(row: &QueryResult) -> Result<Checkpoint> {
    Ok(Checkpoint {
        seq: row.get("seq")?,
        hash: hex(&row.get::<Vec<u8>>("hash")?),
        created: Timestamp::from_micros(row.get("created_at")?),
        signature: row.get("signature")?,
    })
}
