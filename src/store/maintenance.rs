//! Beginning and ending maintenance.
//!
//! Both move the registry's number with the log's head. A commit compares that number under the head's
//! lock, so that nothing commits after the beginning that was prepared before it, on any replica.

use super::db::Db;
use super::error::Result;
use super::registry::{Maintenance, maintenance as from_row};
use super::row::Row;
use super::secrets::bump_registry;
use super::sql::Sql;

/// Begins maintenance, or says something else about the one that goes on, whose beginning stays. `None` if
/// there is no such schema.
pub async fn begin(db: &Db, new: &Maintenance) -> Result<Option<Maintenance>> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    if let Some(schema) = &new.schema {
        // A removal takes the same lock first: it ends what was begun, or is seen here.
        let row = Sql::new(engine, "SELECT removed_at FROM schemas WHERE name = ")
            .bind(schema.as_str())
            .push(" {locked}")
            .one(&transaction)
            .await?;
        let is_there = row.map(|r| r.get::<Option<i64>>("removed_at")).transpose()? == Some(None);
        if !is_there {
            return Ok(None);
        }
    }
    let row = Sql::new(
        engine,
        "INSERT INTO maintenance (scope, message, retry_after_s, hold_deliveries, since, by) VALUES (",
    )
    .bind(new.schema.as_deref().unwrap_or_default())
    .push(", ")
    .bind(new.message.as_str())
    .push(", ")
    .bind(new.retry_after.as_secs() as i64)
    .push(", ")
    .bind(new.hold_deliveries)
    .push(", ")
    .bind(new.since.as_micros())
    .push(", ")
    .bind(new.by.as_str())
    .push(
        ") ON CONFLICT (scope) DO UPDATE SET message = excluded.message, by = excluded.by,
            retry_after_s = excluded.retry_after_s, hold_deliveries = excluded.hold_deliveries
         RETURNING *",
    )
    .one(&transaction)
    .await?;
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    row.as_ref().map(from_row).transpose()
}

/// Ends the maintenance of a schema or (`None`) of the whole inbox; returns it, if it was on.
pub async fn end(db: &Db, schema: Option<&str>) -> Result<Option<Maintenance>> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let row = Sql::new(engine, "DELETE FROM maintenance WHERE scope = ")
        .bind(schema.unwrap_or_default())
        .push(" RETURNING *")
        .one(&transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    from_row(&row).map(Some)
}
