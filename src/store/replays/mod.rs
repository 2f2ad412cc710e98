//! Sending again: one delivery, or many by a job that goes on where it stopped.
//!
//! What is sent again is a delivery of its own, with attempts of its own: it disturbs no retry that is under
//! way, waits for nobody and holds nobody up. It tells of the same event, so that its number and `webhook-id`
//! are the same.
//!
//! Jobs are kept here; `again` makes deliveries.

mod again;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::log;
use super::row::Row;
use super::sql::Sql;

pub use again::{Step, count_dead, look, resend, step};

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

/// How many deliveries of an endpoint are live, counted up to a limit.
pub async fn count_waiting(db: &Db, endpoint: Uuid, limit: i64) -> Result<i64> {
    let sql = Sql::new(
        db.engine(),
        "SELECT count(*) AS n FROM (SELECT 1 AS one FROM deliveries WHERE due_at >= 0 AND endpoint_id = ",
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

/// What became of a job that was to be made.
#[derive(Clone, Debug)]
pub enum Made {
    /// It runs.
    Job(Replay),
    /// This one does the same, and has not ended: none was made.
    Runs(Uuid),
    /// There is no such endpoint any more.
    NoEndpoint,
}

/// Keeps a job, to be worked on, unless one runs that does the same. It begins by the database's clock, which tells
/// when deliveries end.
pub async fn create(db: &Db, replay: Replay) -> Result<Made> {
    let engine = db.engine();
    let (what, since) = match replay.what {
        What::Dead => ("dead", None),
        What::Since(time) => ("since", Some(time.as_micros())),
    };
    let transaction = db.begin().await?;
    if !lock_endpoint(engine, &transaction, replay.endpoint_id).await? {
        return Ok(Made::NoEndpoint);
    }
    // Nobody else makes one for this endpoint meanwhile, but one that runs may end between the two statements.
    loop {
        let sql = Sql::new(
            engine,
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
        .push(", 'running', 0, {now}, ")
        .bind(replay.created_by.as_str())
        .push(
            ") ON CONFLICT (endpoint_id, what, coalesce(schema_name, '')) WHERE status = 'running' DO NOTHING
            RETURNING created_at",
        );
        if let Some(row) = sql.one(&transaction).await? {
            let created = Timestamp::from_micros(row.get("created_at")?);
            transaction.commit().await?;
            return Ok(Made::Job(Replay { created, ..replay }));
        }
        let sql = Sql::new(engine, "SELECT id FROM replays WHERE status = 'running' AND endpoint_id = ")
            .bind(replay.endpoint_id)
            .push(" AND what = ")
            .bind(what)
            .push(" AND coalesce(schema_name, '') = ")
            .bind(replay.schema.clone().unwrap_or_default());
        if let Some(row) = sql.one(&transaction).await? {
            return Ok(Made::Runs(row.get("id")?));
        }
    }
}

/// Holds an endpoint, before its jobs and its deliveries; `false` if it is gone or on its way. Who takes it away
/// waits for what is made here, and takes that along.
async fn lock_endpoint(engine: Engine, db: &impl ConnectionTrait, id: Uuid) -> Result<bool> {
    let sql = Sql::new(engine, "SELECT id FROM endpoints WHERE id = ")
        .bind(id)
        .push(" AND NOT (origin = 'registered' AND status = 'removed') {locked}");
    Ok(sql.one(db).await?.is_some())
}

/// Which jobs.
#[derive(Clone, Debug, Default)]
pub struct ReplayFilter {
    /// Only those of this endpoint.
    pub endpoint: Option<Uuid>,
    /// Only those of these; what a key may see. `None`: of all.
    pub endpoints: Option<Vec<Uuid>>,
}

/// Up to `limit` jobs that pass, newest first, before the one with the id `before`.
pub async fn list(db: &Db, filter: &ReplayFilter, before: Option<Uuid>, limit: u64) -> Result<Vec<Replay>> {
    if filter.endpoints.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(db.engine(), COLUMNS)
        .push(" WHERE EXISTS (SELECT 1 FROM endpoints e WHERE e.id = replays.endpoint_id)");
    if let Some(endpoint) = filter.endpoint {
        sql = sql.push(" AND endpoint_id = ").bind(endpoint);
    }
    if let Some(endpoints) = &filter.endpoints {
        sql = sql.push(" AND endpoint_id").any_id(endpoints.iter().copied());
    }
    if let Some(id) = before {
        sql = sql.push(" AND id < ").bind(id);
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
