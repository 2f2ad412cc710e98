//! The log: one table of events that is history, outbox and feed.
//!
//! Appending takes the head row, numbers the events and moves the hash in one statement; nothing
//! else runs while the head is held, so that `seq` order is commit order and a reader that sees
//! `seq` n has seen everything before it.

use std::ops::ControlFlow;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::log::{Batch, Hash, advance};
use task_inbox_domain::{Event, EventType, Timestamp};
use uuid::Uuid;

use super::commit::LogEntry;
use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::row::Row;
use super::sql::{Column, Null, Rows, Sql, Ty};

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

/// Which events a reader wants.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only those of these schemas; what a key may see. `None`: of all.
    pub schemas: Option<Vec<String>>,
    /// Only those of this schema.
    pub schema: Option<String>,
    /// Only those of tasks of types with this name.
    pub ttype: Option<String>,
    /// Only those of this task.
    pub task: Option<Uuid>,
    /// Only those of this type.
    pub kind: Option<EventType>,
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
pub(super) enum Appended {
    /// The events have the numbers from this one on.
    From(i64),
    /// The registry is not the one that the batch was prepared under: roll back.
    RegistryMoved,
}

/// Events as they are appended, hashed before the head is locked.
pub(super) struct Append {
    rows: Rows,
    batch: Hash,
    registry: Option<i64>,
    seen: Rows,
}

/// Tasks with the versions in which they were seen.
const SEEN: &[Column] = &[("id", Ty::Uuid, Null::Never), ("version", Ty::Int, Null::Never)];

impl Append {
    /// With `registry`, they are appended only if the registry's number is still that one.
    pub(super) fn new(entries: &[LogEntry], registry: Option<i64>) -> Self {
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
    pub(super) fn while_still(mut self, tasks: impl IntoIterator<Item = (Uuid, i64)>) -> Self {
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
    pub(super) fn with_head(self, sql: Sql) -> Sql {
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
}

/// Appends events and moves the head: the last thing that a transaction does before it commits.
pub(super) async fn append(engine: Engine, db: &impl ConnectionTrait, append: Append) -> Result<Appended> {
    match engine {
        Engine::Postgres => {
            let sql = append.with_head(Sql::new(engine, "")).push(" SELECT base FROM head");
            Ok(match sql.one(db).await? {
                Some(row) => Appended::From(row.get::<i64>("base")? + 1),
                None => Appended::RegistryMoved,
            })
        }
        Engine::Sqlite => append_sqlite(db, append).await,
    }
}

/// SQLite has one writer and no SHA-256: the head is read, moved here and written back inside the
/// transaction that nobody else can have. It is written with the first events, in one text: each text
/// that is run wakes the driver's thread and this one.
async fn append_sqlite(
    db: &impl ConnectionTrait,
    Append { rows, batch, registry, .. }: Append,
) -> Result<Appended> {
    let head = head_on(Engine::Sqlite, db).await?;
    if registry.is_some_and(|expected| expected != head.registry) {
        return Ok(Appended::RegistryMoved);
    }
    let hash = advance(&head.hash, &batch);
    let count = rows.len() as i64;
    let mut is_moved = false;
    rows.run(Engine::Sqlite, db, |mut sql, rows| {
        if !std::mem::replace(&mut is_moved, true) {
            sql = sql
                .push("UPDATE log_head SET seq = ")
                .bind(head.seq + count)
                .push(", hash = ")
                .bind(hash.to_vec())
                .push(" WHERE id = 1; ");
        }
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
    .await?;
    Ok(Appended::From(head.seq + 1))
}

/// The end of the log, now.
pub async fn head(db: &Db) -> Result<Head> {
    head_on(db.engine(), db.read()).await
}

pub(super) async fn head_on(engine: Engine, db: &impl ConnectionTrait) -> Result<Head> {
    let sql = Sql::new(engine, "SELECT seq, hash, floor_seq, floor_hash, registry, keys FROM log_head");
    let row = sql.one(db).await?.ok_or_else(|| StoreError::Corrupt("log_head is empty".to_owned()))?;
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
pub(super) async fn lock_head(engine: Engine, db: &impl ConnectionTrait) -> Result<()> {
    Sql::new(engine, "SELECT id FROM log_head WHERE id = 1 {locked}").one(db).await?;
    Ok(())
}

/// Which of these events are in the log.
pub(super) async fn present(
    engine: Engine,
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, i64)>> {
    let sql = Sql::new(engine, "SELECT id, seq FROM events WHERE id").any_id(ids.iter().copied());
    sql.all(db).await?.iter().map(|row| Ok((row.get("id")?, row.get("seq")?))).collect()
}

pub(super) fn to_hash(bytes: Vec<u8>) -> Result<Hash> {
    bytes.try_into().map_err(|_| StoreError::Corrupt("a hash of the log has not 32 bytes".to_owned()))
}

pub(super) const COLUMNS: &str =
    "seq, id, kind, created_at, actor, schema_name, ttype, task_id, version, body";

pub(super) fn from_row(row: &QueryResult) -> Result<Logged> {
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

/// A page of the log.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events that the filter lets through, in order.
    pub events: Vec<Logged>,
    /// Everything up to this number has been looked at: where the next page begins.
    pub seen: i64,
}

/// How far one page looks, so that a filter that matches nothing costs no scan of the whole log.
const WINDOW: i64 = 4_000;
/// The same where an index leads from one event that matches to the next.
const INDEXED_WINDOW: i64 = 100_000;

impl EventFilter {
    fn window(&self) -> i64 {
        let one_schema = self.schema.is_some() || self.schemas.as_ref().is_some_and(|seen| seen.len() == 1);
        if one_schema || self.task.is_some() { INDEXED_WINDOW } else { WINDOW }
    }
}

/// Reads the log after `after`: up to `limit` events, fewer if they are large.
///
/// # Errors
///
/// [`ReadError::BelowFloor`] if events after `after` have been trimmed.
pub async fn read(
    db: &Db,
    after: i64,
    filter: &EventFilter,
    limit: u64,
) -> std::result::Result<Page, ReadError> {
    let head = head(db).await?;
    if after < head.floor_seq {
        return Err(ReadError::BelowFloor { floor: head.floor_seq });
    }
    if after > head.seq {
        return Err(ReadError::AheadOfLog { head: head.seq });
    }
    if filter.schemas.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Page { events: Vec::new(), seen: head.seq });
    }
    let upto = head.seq.min(after.saturating_add(filter.window()));
    let mut sql = Sql::new(db.engine(), "SELECT ")
        .push(COLUMNS)
        .push(" FROM events WHERE seq > ")
        .bind(after)
        .push(" AND seq <= ")
        .bind(upto);
    match filter.schemas.as_deref() {
        None => {}
        // As one value: both engines find its index only then.
        Some([only]) => sql = sql.push(" AND schema_name = ").bind(only.as_str()),
        Some(schemas) => {
            let names = schemas.iter().map(|s| s.as_str().into()).collect();
            sql = sql.push(" AND schema_name").any(Ty::Text, names);
        }
    }
    if let Some(schema) = &filter.schema {
        sql = sql.push(" AND schema_name = ").bind(schema.as_str());
    }
    if let Some(ttype) = &filter.ttype {
        sql = sql.push(" AND ttype = ").bind(ttype.as_str());
    }
    if let Some(task) = filter.task {
        sql = sql.push(" AND task_id = ").bind(task);
    }
    if let Some(kind) = filter.kind {
        sql = sql.push(" AND kind = ").bind(kind.as_str());
    }
    let sql = sql.push(" ORDER BY seq LIMIT ").bind(limit as i64 + 1);
    let (events, more) = sql.page(db.read(), limit, from_row, |logged| logged.event.body.len()).await?;
    let seen = if more { events.last().map_or(upto, |e| e.seq) } else { upto };
    Ok(Page { events, seen })
}

/// Why the log can't be read from a position.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// What came after the position has been trimmed.
    #[error("events up to {floor} have been trimmed")]
    BelowFloor {
        /// The last trimmed event's number; the log begins after it.
        floor: i64,
    },
    /// The log does not reach so far: the position is another log's, or this one was restored from
    /// an older backup. Going on from it would pass over what comes next.
    #[error("the log ends at event {head}")]
    AheadOfLog {
        /// The last event's number.
        head: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every event of a task that is still kept, oldest first: what `line` makes of each. An event holds the
/// whole task as it was then, so that all of them together may be large; each is read by itself.
pub async fn history<T>(db: &Db, task: Uuid, mut line: impl FnMut(Logged) -> T) -> Result<Vec<T>> {
    let sql = Sql::new(db.engine(), "SELECT ")
        .push(COLUMNS)
        .push(" FROM events WHERE task_id = ")
        .bind(task)
        .push(" AND seq > (SELECT floor_seq FROM log_head) ORDER BY seq");
    let mut lines = Vec::new();
    sql.each(db.read(), |row| {
        lines.push(line(from_row(row)?));
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    Ok(lines)
}
