//! Sending again: one delivery, or many by a job that goes on where it stopped.
//!
//! What is sent again is a delivery of its own, with attempts of its own: it disturbs no retry that is under
//! way, waits for nobody and holds nobody up. It tells of the same event, so that its number and `webhook-id`
//! are the same.
//!
//! A step of a job is one transaction that holds the job's row: two processes never do the same one, and one
//! that dies leaves nothing half done.

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::log::{self, Logged};
use super::row::Row;
use super::sql::{Column, Null, Rows, Sql, Ty};

/// How many deliveries one step makes, or how many events it looks at.
const STEP: i64 = 500;

/// What a job sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Every delivery that was given up.
    Dead,
    /// Everything that the endpoint wants, from a time on.
    Since(Timestamp),
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStatus {
    /// A dispatcher takes its next step, until there is none: [`ReplayStatus::Done`]; or somebody cancels it.
    Running,
    /// Everything was sent again. Nothing moves it on.
    Done,
    /// Somebody ended it. What had been made goes out. Nothing moves it on.
    Cancelled,
}

impl ReplayStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Running, Self::Done, Self::Cancelled];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stored name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// A job.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Its id.
    pub id: Uuid,
    /// Whose deliveries are sent again.
    pub endpoint_id: Uuid,
    /// Only events of this schema.
    pub schema: Option<String>,
    /// What is sent again.
    pub what: What,
    /// The next event that is looked at; for what is found by the log.
    pub next_seq: i64,
    /// The last event when it was made.
    pub last_seq: i64,
    /// Where it is.
    pub status: ReplayStatus,
    /// How many deliveries it has made.
    pub resent: i64,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// The delivery that an ended or live one is sent again as; `None` if there is no such delivery, or its event is
/// gone.
pub async fn resend(db: &Db, delivery: Uuid) -> Result<Option<Uuid>> {
    let engine = db.engine();
    let id = Uuid::now_v7();
    let transaction = db.begin().await?;
    let copy = |sql: Sql, from: &str| {
        sql.push("SELECT endpoint_id, event_id, schema_name, task_id FROM ")
            .push(from)
            .push(" WHERE id = ")
            .bind(delivery)
    };
    let sql = Sql::new(
        engine,
        "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, task_id, attempts, due_at, created_at,
            is_resend) SELECT ",
    )
    .bind(id);
    let sql = match engine {
        Engine::Postgres => sql.push("::uuid"),
        Engine::Sqlite => sql,
    };
    let sql = copy(
        sql.push(", d.endpoint_id, d.event_id, d.schema_name, d.task_id, 0, {now}, {now}, true FROM ("),
        "deliveries",
    );
    let made = copy(sql.push(" UNION ALL "), "finished_deliveries")
        .push(
            ") AS d WHERE EXISTS (SELECT 1 FROM events e WHERE e.id = d.event_id)
            AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = d.endpoint_id) LIMIT 1",
        )
        .execute(&transaction)
        .await?;
    if made == 0 {
        return Ok(None);
    }
    mark_resent(engine, &transaction, &[delivery]).await?;
    transaction.commit().await?;
    Ok(Some(id))
}

/// What was given up is not, once it is sent again.
async fn mark_resent(engine: Engine, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<()> {
    Sql::new(engine, "UPDATE finished_deliveries SET outcome = 'resent' WHERE outcome = 'dead' AND id")
        .any_id(ids.iter().copied())
        .execute(db)
        .await?;
    Ok(())
}

/// How many deliveries of an endpoint were given up, of a schema or of all.
pub async fn count_dead(db: &Db, endpoint: Uuid, schema: Option<&str>) -> Result<i64> {
    let sql =
        dead(Sql::new(db.engine(), "SELECT count(*) AS n FROM finished_deliveries WHERE "), endpoint, schema);
    sql.one(db.read()).await?.map_or(Ok(0), |row| row.get("n"))
}

fn dead(sql: Sql, endpoint: Uuid, schema: Option<&str>) -> Sql {
    let sql = sql.push("outcome = 'dead' AND endpoint_id = ").bind(endpoint);
    match schema {
        Some(schema) => sql.push(" AND schema_name = ").bind(schema),
        None => sql,
    }
}

/// How many deliveries of an endpoint are live, counted up to a limit.
pub async fn count_waiting(db: &Db, endpoint: Uuid, limit: i64) -> Result<i64> {
    let sql = Sql::new(
        db.engine(),
        "SELECT count(*) AS n FROM (SELECT 1 AS one FROM deliveries WHERE endpoint_id = ",
    )
    .bind(endpoint)
    .push(" LIMIT ")
    .bind(limit)
    .push(") AS w");
    sql.one(db.read()).await?.map_or(Ok(0), |row| row.get("n"))
}

/// The number of an event shortly before the first one since a time: ids of events begin with their time.
pub async fn first_seq(db: &Db, since: Timestamp) -> Result<i64> {
    /// Clocks of replicas may differ, and a batch may take this long from its events' making to its commit.
    const SLACK: i64 = 60_000_000;
    let from = lowest_id(Timestamp::from_micros(since.as_micros().saturating_sub(SLACK)));
    let sql =
        Sql::new(db.engine(), "SELECT seq FROM events WHERE id >= ").bind(from).push(" ORDER BY id LIMIT 1");
    match sql.one(db.read()).await? {
        Some(row) => row.get("seq"),
        None => Ok(log::head(db).await?.seq + 1),
    }
}

/// The lowest UUIDv7 of a time (RFC 9562, section 5.7).
pub(super) fn lowest_id(time: Timestamp) -> Uuid {
    let millis = (time.as_micros() / 1000).max(0) as u128;
    Uuid::from_u128(millis << 80)
}

const COLUMNS: &str = "SELECT id, endpoint_id, schema_name, what, since, next_seq, last_seq, status, resent,
    created_at, created_by, finished_at FROM replays";

fn from_row(row: &QueryResult) -> Result<Replay> {
    let (what, status): (String, String) = (row.get("what")?, row.get("status")?);
    let since = row.get::<Option<i64>>("since")?.map(Timestamp::from_micros);
    let what = match (what.as_str(), since) {
        ("dead", _) => What::Dead,
        ("since", Some(time)) => What::Since(time),
        _ => return Err(StoreError::Corrupt(format!("replay what {what:?}"))),
    };
    Ok(Replay {
        id: row.get("id")?,
        endpoint_id: row.get("endpoint_id")?,
        schema: row.get("schema_name")?,
        what,
        next_seq: row.get("next_seq")?,
        last_seq: row.get("last_seq")?,
        status: ReplayStatus::parse(&status)
            .ok_or_else(|| StoreError::Corrupt(format!("replay status {status:?}")))?,
        resent: row.get("resent")?,
        created: Timestamp::from_micros(row.get("created_at")?),
        created_by: row.get("created_by")?,
        finished: row.get::<Option<i64>>("finished_at")?.map(Timestamp::from_micros),
    })
}

/// Keeps a job, to be worked on.
pub async fn create(db: &Db, replay: &Replay) -> Result<()> {
    let (what, since) = match replay.what {
        What::Dead => ("dead", None),
        What::Since(time) => ("since", Some(time.as_micros())),
    };
    let transaction = db.begin().await?;
    Sql::new(
        db.engine(),
        "INSERT INTO replays (id, endpoint_id, schema_name, what, since, next_seq, last_seq, status, resent,
            created_at, created_by) VALUES (",
    )
    .bind(replay.id)
    .push(", ")
    .bind(replay.endpoint_id)
    .push(", ")
    .bind(replay.schema.clone())
    .push(", ")
    .bind(what)
    .push(", ")
    .bind(since)
    .push(", ")
    .bind(replay.next_seq)
    .push(", ")
    .bind(replay.last_seq)
    .push(", 'running', 0, ")
    .bind(replay.created.as_micros())
    .push(", ")
    .bind(replay.created_by.as_str())
    .push(")")
    .execute(&transaction)
    .await?;
    Ok(transaction.commit().await?)
}

/// The jobs, newest first; of one endpoint if it is said.
pub async fn list(db: &Db, endpoint: Option<Uuid>, limit: u64) -> Result<Vec<Replay>> {
    let mut sql = Sql::new(db.engine(), COLUMNS);
    if let Some(endpoint) = endpoint {
        sql = sql.push(" WHERE endpoint_id = ").bind(endpoint);
    }
    let sql = sql.push(" ORDER BY id DESC LIMIT ").bind(limit as i64);
    sql.all(db.read()).await?.iter().map(from_row).collect()
}

/// One job.
pub async fn get(db: &Db, id: Uuid) -> Result<Option<Replay>> {
    let row = Sql::new(db.engine(), COLUMNS).push(" WHERE id = ").bind(id).one(db.read()).await?;
    row.as_ref().map(from_row).transpose()
}

/// Ends a job; `false` if it has ended. What it has made goes out.
pub async fn cancel(db: &Db, id: Uuid) -> Result<bool> {
    let transaction = db.begin().await?;
    let ended = Sql::new(
        db.engine(),
        "UPDATE replays SET status = 'cancelled', finished_at = {now} WHERE status = 'running' AND id = ",
    )
    .bind(id)
    .execute(&transaction)
    .await?;
    transaction.commit().await?;
    Ok(ended > 0)
}

/// The ids of the jobs that are not at their end, oldest first.
pub async fn running(db: &Db) -> Result<Vec<Uuid>> {
    let rows = Sql::new(db.engine(), "SELECT id FROM replays WHERE status = 'running' ORDER BY id")
        .all(db.read())
        .await?;
    rows.iter().map(|row| row.get("id")).collect()
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more to do. So many deliveries were made.
    Went(u64),
    /// The job is at its end, or another process is at work on it.
    Rested,
}

/// Takes a job's next step. `wants` says whether the endpoint gets an event.
pub async fn step(db: &Db, id: Uuid, wants: impl Fn(&Logged) -> bool) -> Result<Step> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let row = Sql::new(engine, COLUMNS)
        .push(" WHERE status = 'running' AND id = ")
        .bind(id)
        .push(" {skip_locked}")
        .one(&transaction)
        .await?;
    let Some(row) = row else { return Ok(Step::Rested) };
    let replay = from_row(&row)?;
    let (made, next_seq, ended) = match replay.what {
        What::Dead => {
            let made = dead_step(engine, &transaction, &replay).await?;
            (made, replay.next_seq, made < STEP as u64)
        }
        What::Since(time) => {
            let (made, next) = log_step(engine, &transaction, &replay, time, wants).await?;
            (made, next, next > replay.last_seq)
        }
    };
    let mut sql = Sql::new(engine, "UPDATE replays SET resent = resent + ")
        .bind(made as i64)
        .push(", next_seq = ")
        .bind(next_seq);
    if ended {
        sql = sql.push(", status = 'done', finished_at = {now}");
    }
    sql.push(" WHERE id = ").bind(id).execute(&transaction).await?;
    transaction.commit().await?;
    Ok(if ended && made == 0 { Step::Rested } else { Step::Went(made) })
}

const RESENT: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("schema_name", Ty::Text, Null::Maybe),
    ("task_id", Ty::Uuid, Null::Maybe),
];

async fn insert(engine: Engine, db: &impl ConnectionTrait, rows: Rows) -> Result<()> {
    rows.run(engine, db, |sql, rows| {
        let sql = sql.push(
            "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, task_id, attempts, due_at, created_at,
                is_resend)
             SELECT r.id, r.endpoint_id, r.event_id, coalesce(r.schema_name, ''), r.task_id, 0, {now}, {now}, true FROM ",
        );
        rows.table(sql).push(" AS r WHERE true")
    })
    .await?;
    Ok(())
}

/// Sends again what was given up before the job was made; what dies once more is another job's.
async fn dead_step(engine: Engine, transaction: &DatabaseTransaction, replay: &Replay) -> Result<u64> {
    let sql = Sql::new(engine, "SELECT id, event_id, schema_name, task_id FROM finished_deliveries WHERE ");
    let found = dead(sql, replay.endpoint_id, replay.schema.as_deref())
        .push(" AND finished_at <= ")
        .bind(replay.created.as_micros())
        .push(" ORDER BY finished_at, id LIMIT ")
        .bind(STEP)
        .push(" {locked}")
        .all(transaction)
        .await?;
    let mut rows = Rows::new(RESENT);
    let mut ids = Vec::with_capacity(found.len());
    for row in &found {
        ids.push(row.get::<Uuid>("id")?);
        rows.push(vec![
            Uuid::now_v7().into(),
            replay.endpoint_id.into(),
            row.get::<Uuid>("event_id")?.into(),
            row.get::<String>("schema_name")?.into(),
            row.get::<Option<Uuid>>("task_id")?.into(),
        ]);
    }
    let made = ids.len() as u64;
    insert(engine, transaction, rows).await?;
    if !ids.is_empty() {
        mark_resent(engine, transaction, &ids).await?;
    }
    Ok(made)
}

/// Looks at the next events of the log; returns how many were sent again, and which event is next.
async fn log_step(
    engine: Engine,
    transaction: &DatabaseTransaction,
    replay: &Replay,
    since: Timestamp,
    wants: impl Fn(&Logged) -> bool,
) -> Result<(u64, i64)> {
    let upto = replay.last_seq.min(replay.next_seq.saturating_add(STEP - 1));
    let found = Sql::new(engine, "SELECT ")
        .push(log::COLUMNS)
        .push(" FROM events WHERE seq >= ")
        .bind(replay.next_seq)
        .push(" AND seq <= ")
        .bind(upto)
        .push(" ORDER BY seq")
        .all(transaction)
        .await?;
    let mut rows = Rows::new(RESENT);
    for row in &found {
        let logged = log::from_row(row)?;
        let named = replay.schema.as_ref().is_none_or(|schema| *schema == logged.event.schema);
        if named && logged.event.created >= since && wants(&logged) {
            rows.push(vec![
                Uuid::now_v7().into(),
                replay.endpoint_id.into(),
                logged.event.id.into(),
                logged.event.schema.as_str().into(),
                logged.event.task_id.into(),
            ]);
        }
    }
    let made = rows.len() as u64;
    insert(engine, transaction, rows).await?;
    Ok((made, upto + 1))
}

/// The events from a number on, up to another, for who only counts: a page of them, and the next number.
pub async fn look(db: &Db, next: i64, last: i64) -> Result<(Vec<Logged>, i64)> {
    let upto = last.min(next.saturating_add(STEP - 1));
    let sql = Sql::new(db.engine(), "SELECT ")
        .push(log::COLUMNS)
        .push(" FROM events WHERE seq >= ")
        .bind(next)
        .push(" AND seq <= ")
        .bind(upto)
        .push(" ORDER BY seq");
    Ok((sql.all(db.read()).await?.iter().map(log::from_row).collect::<Result<_>>()?, upto + 1))
}
