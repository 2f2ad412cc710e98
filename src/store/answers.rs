//! Answers to requests that came before: found again without the validation that a request of today
//! would have to pass.
//!
//! The commit looks these up itself, under its locks. This is for the request that can't be prepared
//! any more because its type has changed since it was answered.

use task_inbox_domain::Task;
use task_inbox_domain::log::Hash;

use super::db::Db;
use super::error::{Result, StoreError};
use super::log::to_hash;
use super::row::Row;
use super::sql::Sql;
use super::tasks;

/// What a post was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The hash of what was sent: of the body under a key, of the content under an external id.
    pub hash: Hash,
    /// The task in the answer.
    pub task: Task,
    /// Whether the post had made it.
    pub created: bool,
}

/// What was answered under an idempotency key.
pub async fn by_key(db: &Db, key_hash: &Hash) -> Result<Option<Answered>> {
    let sql =
        Sql::new(db.engine(), "SELECT body_hash, created, answer FROM idempotency_keys WHERE key_hash = ")
            .bind(key_hash.to_vec())
            .push(" AND expires_at > {now}");
    let Some(row) = sql.one(db.read()).await? else { return Ok(None) };
    let task = serde_json::from_str(&row.get::<String>("answer")?)
        .map_err(|e| StoreError::Corrupt(format!("idempotency_keys.answer: {e}")))?;
    Ok(Some(Answered { hash: to_hash(row.get("body_hash")?)?, task, created: row.get("created")? }))
}

/// The task of a schema that its sender calls so, with the hash of what was posted.
pub async fn by_external_id(db: &Db, schema: &str, external_id: &str) -> Result<Option<Answered>> {
    let sql = Sql::new(db.engine(), "SELECT content_hash, task_id FROM external_ids WHERE schema_name = ")
        .bind(schema)
        .push(" AND external_id = ")
        .bind(external_id);
    let Some(row) = sql.one(db.read()).await? else { return Ok(None) };
    let Some(task) = tasks::get(db, row.get("task_id")?).await? else { return Ok(None) };
    Ok(Some(Answered { hash: to_hash(row.get("content_hash")?)?, task, created: false }))
}
