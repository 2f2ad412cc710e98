//! Taking a schema away, with its tasks and what waits to be sent of them, in pieces small enough to disturb
//! nobody.

use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};
use task_inbox_domain::{Actor, EventType, Timestamp, event};
use uuid::Uuid;

use super::hearers;
use crate::store::commit::LogEntry;
use crate::store::db::{Db, Engine};
use crate::store::deliveries;
use crate::store::error::Result;
use crate::store::log::{self, Append};
use crate::store::registry::Registry;
use crate::store::row::Row;
use crate::store::secrets::bump_registry;
use crate::store::sql::Sql;

/// The most rows that one transaction deletes.
const PIECE: i64 = 1_000;
/// How many rows one looks at where no index leads to the schema's.
const WINDOW: i64 = 4_000;

/// What a removal takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Versions of the schema.
    pub versions: i64,
    /// Tasks of all versions.
    pub tasks: i64,
    /// Whether it was done.
    pub deleted: bool,
}

/// What a removal would take away; `None` if there is no such schema.
pub async fn count(db: &Db, name: &str) -> Result<Option<Removal>> {
    let sql = Sql::new(
        db.engine(),
        "SELECT (SELECT count(*) FROM schema_versions v WHERE v.schema_name = s.name) AS versions,
            (SELECT count(*) FROM tasks t WHERE t.schema_name = s.name) AS tasks
         FROM schemas s WHERE s.name = ",
    );
    let row = sql.bind(name).one(db.read()).await?;
    row.map(|r| Ok(Removal { versions: r.get("versions")?, tasks: r.get("tasks")?, deleted: false }))
        .transpose()
}

/// Removes a schema with its tasks; leaves the log. `None` if there is no such schema.
///
/// First the schema is closed, in a transaction that moves the registry's number: from then on no
/// commit that was prepared with it succeeds, and nobody sees it. Then its rows go, piece by piece, with the
/// endpoints that asked for nothing else, and last the schema itself, which frees its name. A removal that was
/// interrupted is finished by calling this again.
pub async fn remove(db: &Db, name: &str, actor: &Actor, now: Timestamp) -> Result<Option<Removal>> {
    let Some(counted) = close(db, name, actor, now).await? else { return Ok(None) };
    while drop_piece(db, "external_ids", name).await? {}
    while drop_piece(db, "merge_keys", name).await? {}
    while drop_piece(db, "tasks", name).await? {}
    walk(db, Walked::IdempotencyKeys, name).await?;
    walk(db, Walked::Deliveries, name).await?;
    hearers::remove(db, name).await?;
    finish(db, name).await?;
    Ok(Some(Removal { deleted: true, ..counted }))
}

/// Deletes some of the schema's rows where an index leads to them, and rests for as long as that took; whether
/// there may be more.
async fn drop_piece(db: &Db, table: &str, name: &str) -> Result<bool> {
    let begun = Instant::now();
    let transaction = db.begin().await?;
    let piece = |sql: Sql| {
        sql.push(&format!("SELECT {{row}} FROM {table} WHERE schema_name = "))
            .bind(name)
            .push(" LIMIT ")
            .bind(PIECE)
    };
    let deleted = Sql::new(db.engine(), &format!("DELETE FROM {table} WHERE {{row}}"))
        .any_of(piece)
        .execute(&transaction)
        .await?;
    transaction.commit().await?;
    tokio::time::sleep(begun.elapsed()).await;
    Ok(deleted >= PIECE as u64)
}

/// What is walked over by its key, because no index leads to a schema's rows.
#[derive(Clone, Copy)]
enum Walked {
    IdempotencyKeys,
    Deliveries,
}

impl Walked {
    /// The table and its key.
    const fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::IdempotencyKeys => ("idempotency_keys", "key_hash"),
            Self::Deliveries => ("deliveries", "id"),
        }
    }
}

/// Rows of a table between two of its keys.
struct Window {
    key: &'static str,
    after: Option<Value>,
    upto: Option<Value>,
}

impl Window {
    /// Adds the condition that a row is in it.
    fn among(&self, sql: Sql) -> Sql {
        let mut sql = sql.walks();
        if let Some(after) = &self.after {
            sql = sql.push(&format!(" AND {} > ", self.key)).bind(after.clone());
        }
        if let Some(upto) = &self.upto {
            sql = sql.push(&format!(" AND {} <= ", self.key)).bind(upto.clone());
        }
        sql
    }
}

/// Walks over a table once and takes the schema's rows away, with a rest after each window.
async fn walk(db: &Db, what: Walked, name: &str) -> Result<()> {
    let (table, key) = what.table();
    let mut after: Option<Value> = None;
    loop {
        let ahead = Window { key, after: after.clone(), upto: None };
        let sql = Sql::new(db.engine(), &format!("SELECT {key} AS bound FROM {table} WHERE true"));
        let sql = ahead.among(sql).push(&format!(" ORDER BY {key} LIMIT 1 OFFSET ")).bind(WINDOW - 1);
        let upto: Option<Value> = match (sql.one(db.read()).await?, what) {
            (None, _) => None,
            (Some(row), Walked::Deliveries) => Some(row.get::<Uuid>("bound")?.into()),
            (Some(row), Walked::IdempotencyKeys) => Some(row.get::<Vec<u8>>("bound")?.into()),
        };
        let window = Window { key, after, upto: upto.clone() };
        let begun = Instant::now();
        let transaction = db.begin().await?;
        match what {
            Walked::Deliveries => end(db.engine(), &transaction, name, &window).await?,
            Walked::IdempotencyKeys => {
                let sql =
                    Sql::new(db.engine(), "DELETE FROM idempotency_keys WHERE schema_name = ").bind(name);
                window.among(sql).execute(&transaction).await?;
            }
        }
        transaction.commit().await?;
        tokio::time::sleep(begun.elapsed()).await;
        if upto.is_none() {
            return Ok(());
        }
        after = upto;
    }
}

/// Ends the schema's deliveries in a window.
async fn end(engine: Engine, transaction: &DatabaseTransaction, name: &str, window: &Window) -> Result<()> {
    const ENDED: &str =
        "INSERT INTO finished_deliveries (id, endpoint_id, event_id, schema_name, task_id, version,
            attempts, outcome, reason, created_at, finished_at, is_resend)
         SELECT id, endpoint_id, event_id, schema_name, task_id, version, attempts, 'dead', 'schema_removed',
            created_at, {now}, is_resend FROM ";
    let delete = |sql: Sql| window.among(sql.push("DELETE FROM deliveries WHERE schema_name = ").bind(name));
    match engine {
        // A settlement may move one of them at the same moment: who deletes it, keeps it.
        Engine::Postgres => {
            let sql = delete(Sql::new(engine, "WITH d AS (")).push(" RETURNING *) ");
            sql.push(ENDED).push("d").execute(transaction).await?;
        }
        Engine::Sqlite => {
            let sql = Sql::new(engine, ENDED).push("deliveries WHERE schema_name = ").bind(name);
            window.among(sql).execute(transaction).await?;
            delete(Sql::new(engine, "")).execute(transaction).await?;
        }
    }
    Ok(())
}

/// Takes away what the schema itself consists of, and tells who asked to hear of it: for the last time.
async fn finish(db: &Db, name: &str) -> Result<()> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    Sql::new(engine, "SELECT id FROM endpoints WHERE schema_name = ")
        .bind(name)
        .push(" OR schemas LIKE ")
        .bind(hearers::pattern(name))
        .push(" ORDER BY id {locked}")
        .all(&transaction)
        .await?;
    Sql::new(
        engine,
        "DELETE FROM replays WHERE endpoint_id IN (SELECT id FROM endpoints WHERE schema_name = ",
    )
    .bind(name)
    .push(")")
    .execute(&transaction)
    .await?;
    for table in ["endpoints", "task_types", "schema_versions"] {
        delete(engine, &transaction, table, name).await?;
    }
    Sql::new(engine, "DELETE FROM maintenance WHERE scope = ").bind(name).execute(&transaction).await?;
    revoke_keys_of(engine, &transaction, name).await?;
    let gone = Sql::new(engine, "DELETE FROM schemas WHERE name = ").bind(name).execute(&transaction).await?;
    // Of two that remove it at once, one tells of it.
    if gone > 0 {
        let sql = Sql::new(engine, "SELECT ")
            .push(log::COLUMNS)
            .push(" FROM events WHERE schema_name = ")
            .bind(name)
            .push(" AND kind = ")
            .bind(EventType::SchemaRemoved.as_str())
            .push(" ORDER BY seq DESC LIMIT 1");
        if let Some(row) = sql.one(&transaction).await? {
            let registry = Registry::load_on(engine, &transaction, None).await?;
            let told = [log::from_row(&row)?.event];
            deliveries::address(engine, &transaction, &registry, &told).await?;
        }
    }
    hearers::forget(engine, &transaction, name).await?;
    Sql::new(engine, "UPDATE log_head SET registry = registry + 1, keys = keys + 1 WHERE id = 1")
        .execute(&transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn delete(engine: Engine, db: &impl ConnectionTrait, table: &str, schema: &str) -> Result<()> {
    Sql::new(engine, "DELETE FROM ")
        .push(table)
        .push(" WHERE schema_name = ")
        .bind(schema)
        .execute(db)
        .await?;
    Ok(())
}

/// Keys that may see this schema alone have nothing left to open. The list of schemas is JSON as
/// this service wrote it, so that one name has one form.
async fn revoke_keys_of(engine: Engine, db: &impl ConnectionTrait, schema: &str) -> Result<()> {
    let alone = serde_json::json!([schema]).to_string();
    Sql::new(engine, "UPDATE api_keys SET revoked_at = {now} WHERE revoked_at IS NULL AND schemas = ")
        .bind(alone)
        .execute(db)
        .await?;
    Ok(())
}

/// Marks a schema as being removed, with the event that says so.
async fn close(db: &Db, name: &str, actor: &Actor, now: Timestamp) -> Result<Option<Removal>> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let row = Sql::new(engine, "SELECT removed_at FROM schemas WHERE name = ")
        .bind(name)
        .push(" {locked}")
        .one(&transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.get::<Option<i64>>("removed_at")?.is_none() {
        Sql::new(engine, "UPDATE schemas SET removed_at = {now} WHERE name = ")
            .bind(name)
            .execute(&transaction)
            .await?;
        let event = event::schema_removed(Uuid::now_v7(), name, actor, now);
        log::append(engine, &transaction, Append::new(&[LogEntry::new(event)], None)).await?;
        bump_registry(engine, &transaction).await?;
    }
    transaction.commit().await?;
    count(db, name).await
}
