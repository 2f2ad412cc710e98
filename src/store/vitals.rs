//! How the database and what waits in it are doing, for who watches over the service.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::{DatabaseConnection, QueryResult};

use super::db::{Db, Engine};
use super::error::Result;
use super::row::Row;
use super::sql::Sql;

/// Tables whose rows come and go, or change, most.
const BUSY: &[&str] = &["deliveries", "finished_deliveries", "attempts", "log_head", "endpoints", "tasks"];

/// What waits for the endpoints of one state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// How many endpoints there are.
    pub count: i64,
    /// How many live deliveries they have.
    pub waiting: i64,
    /// The age of the oldest of these.
    pub oldest: Duration,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// What it is for: `read`, `write`.
    pub name: &'static str,
    /// How many connections it has.
    pub size: u32,
    /// How many of them nobody uses.
    pub idle: u32,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// By state: `active`, `failing`, `paused`, `disabled`, `removed`.
    pub endpoints: BTreeMap<&'static str, Waiting>,
    /// Jobs that send again and are not at their end.
    pub replays: i64,
    /// The last event's number.
    pub seq: i64,
    /// This process's connections.
    pub pools: Vec<Pool>,
    /// PostgreSQL: dead rows, by table.
    pub dead_tuples: BTreeMap<String, i64>,
    /// PostgreSQL: the age of the oldest open transaction.
    pub oldest_transaction: Option<Duration>,
    /// Sizes in bytes, by table with its indexes (PostgreSQL) or by file (SQLite).
    pub bytes: BTreeMap<String, i64>,
}

const STATES: [&str; 5] = ["active", "failing", "paused", "disabled", "removed"];

/// Takes the vitals.
///
/// Counting what waits walks over the queue's index: some tens of milliseconds where a million wait, so that
/// whoever asks often keeps the answer for a while.
pub async fn read(db: &Db) -> Result<Vitals> {
    let mut vitals = Vitals { pools: pools(db), ..Vitals::default() };
    for state in STATES {
        vitals.endpoints.insert(state, Waiting::default());
    }
    let waiting = Sql::new(
        db.engine(),
        "SELECT CASE WHEN e.status = 'active' AND e.open_until IS NOT NULL THEN 'failing'
                WHEN e.status = 'active' AND NOT e.declared THEN 'removed' ELSE e.status END AS state,
            count(*) AS endpoints, CAST(coalesce(sum(w.waiting), 0) AS bigint) AS waiting,
            coalesce(min(w.oldest), {now}) AS oldest, {now} AS now
         FROM endpoints e LEFT JOIN (SELECT endpoint_id, count(*) AS waiting, min(created_at) AS oldest FROM deliveries
            WHERE due_at >= 0 GROUP BY endpoint_id) AS w ON w.endpoint_id = e.id
         GROUP BY 1",
    )
    .walks();
    for row in waiting.all(db.read()).await? {
        let state: String = row.get("state")?;
        let Some(known) = STATES.into_iter().find(|known| *known == state) else { continue };
        let age = row.get::<i64>("now")? - row.get::<i64>("oldest")?;
        let found = Waiting {
            count: row.get("endpoints")?,
            waiting: row.get("waiting")?,
            oldest: Duration::from_micros(age.max(0) as u64),
        };
        vitals.endpoints.insert(known, found);
    }
    let counts =
        "SELECT (SELECT count(*) FROM replays WHERE status = 'running') AS replays, seq FROM log_head";
    if let Some(row) = Sql::new(db.engine(), counts).one(db.read()).await? {
        vitals.replays = row.get("replays")?;
        vitals.seq = row.get("seq")?;
    }
    match db.engine() {
        Engine::Postgres => of_postgres(db, &mut vitals).await?,
        Engine::Sqlite => of_sqlite(db, &mut vitals).await?,
    }
    Ok(vitals)
}

fn pools(db: &Db) -> Vec<Pool> {
    let pool = |name, connection: &DatabaseConnection| match db.engine() {
        Engine::Postgres => {
            let pool = connection.get_postgres_connection_pool();
            Pool { name, size: pool.size(), idle: pool.num_idle() as u32 }
        }
        Engine::Sqlite => {
            let pool = connection.get_sqlite_connection_pool();
            Pool { name, size: pool.size(), idle: pool.num_idle() as u32 }
        }
    };
    vec![pool("read", db.read()), pool("write", db.write())]
}

async fn of_postgres(db: &Db, vitals: &mut Vitals) -> Result<()> {
    // Statistics, which cost no look at the tables themselves.
    let sql = Sql::new(
        Engine::Postgres,
        "SELECT relname::text AS name, n_dead_tup AS dead, pg_total_relation_size(relid) AS bytes
         FROM pg_stat_user_tables WHERE schemaname = current_schema()",
    );
    for row in sql.all(db.read()).await? {
        let name: String = row.get("name")?;
        vitals.bytes.insert(name.clone(), row.get("bytes")?);
        if BUSY.contains(&name.as_str()) {
            vitals.dead_tuples.insert(name, row.get("dead")?);
        }
    }
    let age = "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float8 AS age
         FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    if let Some(row) = Sql::new(Engine::Postgres, age).one(db.read()).await? {
        vitals.oldest_transaction = Some(Duration::from_secs_f64(row.get::<f64>("age")?.max(0.0)));
    }
    Ok(())
}

async fn of_sqlite(db: &Db, vitals: &mut Vitals) -> Result<()> {
    let number = |row: Option<QueryResult>, column: &str| -> Result<i64> {
        row.map_or(Ok(0), |row| Ok(i64::from(row.get::<i32>(column)?)))
    };
    let pragma = async |name: &str| -> Result<i64> {
        let row = Sql::new(Engine::Sqlite, &format!("PRAGMA {name}")).one(db.read()).await?;
        number(row, name)
    };
    let page = pragma("page_size").await?;
    vitals.bytes.insert("file".to_owned(), pragma("page_count").await? * page);
    vitals.bytes.insert("free".to_owned(), pragma("freelist_count").await? * page);
    if let Some(file) = db.sqlite_file() {
        let wal = std::fs::metadata(format!("{file}-wal")).map_or(0, |m| m.len());
        vitals.bytes.insert("write_ahead_log".to_owned(), wal as i64);
    }
    Ok(())
}
