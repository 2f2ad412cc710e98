//! The log: one table of events that is history, outbox and feed.
//!
//! Appending takes the head row, numbers the events and moves the hash in one statement; nothing
//! else runs while the head is held, so that `seq` order is commit order and a reader that sees
//! `seq` n has seen everything before it.

mod read;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::log::{Batch, Hash, advance};
use task_inbox_domain::{Event, EventType, Timestamp};
use uuid::Uuid;

use crate::store::commit::LogEntry;
use crate::store::db::{Db, Engine};
use crate::store::error::{Result, StoreError};
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};

pub use read::{EventFilter, Page, ReadError, history, read, task_at};

/// An event at its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Its number: 1, 2, 3 ... without gaps.
    pub seq: i64,
    /// The event. Its body is empty (`{}`) if it was erased.
    pub event: Event,
}

/// The end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last event's number; 0 if there is none.
    pub seq: i64,
    /// The running hash.
    pub hash: Hash,
    /// Events up to this number have been trimmed.
    pub floor_seq: i64,
    /// The running hash at the floor.
    pub floor_hash: Hash,
    /// Counts changes of schemas, endpoints and secrets.
    pub registry: i64,
    /// Counts changes of API keys.
    pub keys: i64,
}

const APPENDED: &[Column] = &[
    ("ord", Ty::Int, Null::Never),
    ("id", Ty::Uuid, Null::Never),
    ("kind", Ty::Text, Null::Never),
    ("created_at", Ty::Int, Null::Never),
    ("actor", Ty::Text, Null::Never),
    ("schema_name", Ty::Text, Null::Never),
    ("ttype", Ty::Text, Null::Maybe),
    ("task_id", Ty::Uuid, Null::Maybe),
    ("version", Ty::Int, Null::Maybe),
    ("body", Ty::Text, Null::Never),
    ("salt", Ty::Bytes, Null::Never),
    ("digest", Ty::Bytes, Null::Never),
    ("is_last", Ty::Bool, Null::Never),
];

/// What became of an append.
pub(in crate::store) enum Appended {
    /// The events are in the log.
    Done,
    /// The registry is not the one that the batch was prepared under: roll back.
    RegistryMoved,
}

/// Events as they are appended, hashed before the head is locked.
pub(in crate::store) struct Append {
    rows: Rows,
    batch: Hash,
    registry: Option<i64>,
    seen: Rows,
}

/// Tasks with the versions in which they were seen.
const SEEN: &[Column] = &[("id", Ty::Uuid, Null::Never), ("version", Ty::Int, Null::Never)];

impl Append {
    /// With `registry`, they are appended only if the registry's number is still that one.
    pub(in crate::store) fn new(entries: &[LogEntry], registry: Option<i64>) -> Self {
        let mut batch = Batch::default();
        let mut rows = Rows::new(APPENDED);
        for (i, entry) in entries.iter().enumerate() {
            batch.push(&entry.event, &entry.digest);
            let event = &entry.event;
            rows.push(vec![
                (i as i64 + 1).into(),
                event.id.into(),
                event.kind.as_str().into(),
                event.created.as_micros().into(),
                event.actor.as_str().into(),
                event.schema.as_str().into(),
                event.ttype.clone().into(),
                event.task_id.into(),
                event.version.into(),
                event.body.as_str().into(),
                entry.salt.to_vec().into(),
                entry.digest.to_vec().into(),
                (i + 1 == entries.len()).into(),
            ]);
        }
        Self { rows, batch: batch.finish(), registry, seen: Rows::new(SEEN) }
    }

    /// On PostgreSQL, they are appended only if each of these tasks is still in this version, in which the
    /// statement then holds it.
    pub(in crate::store) fn while_still(mut self, tasks: impl IntoIterator<Item = (Uuid, i64)>) -> Self {
        for (id, version) in tasks {
            self.seen.push(vec![id.into(), version.into()]);
        }
        self
    }

    /// Begins a statement of PostgreSQL with the common table expression `head`: it moves the head and has
    /// one row, with `base`, the number before the first event's; or none if the registry or a task has
    /// moved. Whatever else the statement writes is joined with it. The events come with it.
    ///
    /// The tasks' locks are taken before the head's, sorted: the head's own condition counts them.
    pub(in crate::store) fn with_head(self, sql: Sql) -> Sql {
        let count = self.rows.len() as i64;
        let seen = self.seen.len() as i64;
        let mut sql = sql.push("WITH ");
        if seen > 0 {
            sql = self.seen.table(sql.push("seen AS (SELECT t.id FROM ")).push(
                " AS r JOIN tasks t ON t.id = r.id AND t.version = r.version ORDER BY t.id {locked} OF t), ",
            );
        }
        sql = sql
            .push("head AS (UPDATE log_head SET seq = seq + ")
            .bind(count)
            .push(", hash = sha256(hash || ")
            .bind(self.batch.to_vec())
            .push("::bytea) WHERE id = 1");
        if let Some(registry) = self.registry {
            sql = sql.push(" AND registry = ").bind(registry);
        }
        if seen > 0 {
            sql = sql.push(" AND (SELECT count(*) FROM seen) = ").bind(seen);
        }
        sql = sql.push(" RETURNING seq - ").bind(count).push(
            " AS base, hash), appended AS (INSERT INTO events (seq, id, kind, created_at, actor, schema_name,
                ttype, task_id, version, body, salt, digest, head_hash)
              SELECT head.base + r.ord, r.id, r.kind, r.created_at, r.actor, r.schema_name, r.ttype, r.task_id,
                r.version, r.body, r.salt, r.digest, CASE WHEN r.is_last THEN head.hash END
              FROM head, ",
        );
        self.rows.table(sql).push(" AS r)")
    }

    /// Adds to a text of SQLite what appends the events to a log with this head, which the transaction has
    /// read, and moves the head. Each statement has a semicolon behind it.
    pub(in crate::store) fn after(self, head: &Head, sql: Sql) -> Sql {
        let hash = advance(&head.hash, &self.batch);
        let sql = sql
            .push("UPDATE log_head SET seq = ")
            .bind(head.seq + self.rows.len() as i64)
            .push(", hash = ")
            .bind(hash.to_vec())
            .push(" WHERE id = 1; ");
        self.rows.add(sql, |sql, rows| {
            let sql = sql
                .push(
                    "INSERT INTO events (seq, id, kind, created_at, actor, schema_name, ttype, task_id, version,
                        body, salt, digest, head_hash)
                     SELECT r.ord + ",
                )
                .bind(head.seq)
                .push(
                    ", r.id, r.kind, r.created_at, r.actor, r.schema_name, r.ttype, r.task_id, r.version, r.body,
                        r.salt, r.digest, CASE WHEN r.is_last THEN ",
                )
                .bind(hash.to_vec())
                .push(" END FROM ");
            rows.table(sql).push(" AS r")
        })
    }
}

/// Appends events and moves the head: the last thing that a transaction does before it commits.
pub(in crate::store) async fn append(
    engine: Engine,
    db: &impl ConnectionTrait,
    append: Append,
) -> Result<Appended> {
    match engine {
        Engine::Postgres => {
            let sql = append.with_head(Sql::new(engine, "")).push(" SELECT base FROM head");
            Ok(match sql.one(db).await? {
                Some(_) => Appended::Done,
                None => Appended::RegistryMoved,
            })
        }
        Engine::Sqlite => append_sqlite(db, append).await,
    }
}

/// SQLite has one writer and no SHA-256: the head is read, moved here and written back inside the
/// transaction that nobody else can have.
async fn append_sqlite(db: &impl ConnectionTrait, append: Append) -> Result<Appended> {
    let head = head_on(Engine::Sqlite, db).await?;
    if append.registry.is_some_and(|expected| expected != head.registry) {
        return Ok(Appended::RegistryMoved);
    }
    append.after(&head, Sql::new(Engine::Sqlite, "")).all(db).await?;
    Ok(Appended::Done)
}

/// The end of the log, now.
pub async fn head(db: &Db) -> Result<Head> {
    head_on(db.engine(), db.read()).await
}

pub(in crate::store) async fn head_on(engine: Engine, db: &impl ConnectionTrait) -> Result<Head> {
    head_in(Sql::new(engine, HEAD).one(db).await?.as_ref())
}

/// Reads the head's row.
pub(in crate::store) const HEAD: &str =
    "SELECT seq, hash, floor_seq, floor_hash, registry, keys FROM log_head";

/// The head, out of what [`HEAD`] has read.
pub(in crate::store) fn head_in(row: Option<&QueryResult>) -> Result<Head> {
    let row = row.ok_or_else(|| StoreError::Corrupt("log_head is empty".to_owned()))?;
    Ok(Head {
        seq: row.get("seq")?,
        hash: to_hash(row.get("hash")?)?,
        floor_seq: row.get("floor_seq")?,
        floor_hash: to_hash(row.get("floor_hash")?)?,
        registry: row.get("registry")?,
        keys: row.get("keys")?,
    })
}

/// Takes the head's lock and waits for whoever holds it; then whatever was being committed is
/// either there or will never be.
pub(in crate::store) async fn lock_head(engine: Engine, db: &impl ConnectionTrait) -> Result<()> {
    Sql::new(engine, "SELECT id FROM log_head WHERE id = 1 {locked}").one(db).await?;
    Ok(())
}

/// Which of these events are in the log.
pub(in crate::store) async fn present(
    engine: Engine,
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, i64)>> {
    let sql = Sql::new(engine, "SELECT id, seq FROM events WHERE id").any_id(ids.iter().copied());
    sql.all(db).await?.iter().map(|row| Ok((row.get("id")?, row.get("seq")?))).collect()
}

pub(in crate::store) fn to_hash(bytes: Vec<u8>) -> Result<Hash> {
    bytes.try_into().map_err(|_| StoreError::Corrupt("a hash of the log has not 32 bytes".to_owned()))
}

pub(in crate::store) const COLUMNS: &str =
    "seq, id, kind, created_at, actor, schema_name, ttype, task_id, version, body";

pub(in crate::store) fn from_row(row: &QueryResult) -> Result<Logged> {
    let kind: String = row.get("kind")?;
    Ok(Logged {
        seq: row.get("seq")?,
        event: Event {
            id: row.get("id")?,
            kind: EventType::parse(&kind)
                .ok_or_else(|| StoreError::Corrupt(format!("event kind {kind:?}")))?,
            created: Timestamp::from_micros(row.get("created_at")?),
            actor: row.get("actor")?,
            schema: row.get("schema_name")?,
            ttype: row.get("ttype")?,
            task_id: row.get("task_id")?,
            version: row.get("version")?,
            body: row.get::<Option<String>>("body")?.unwrap_or_else(|| "{}".to_owned()),
        },
    })
}
