//! What condition the database is in: settings that durability hangs on, whether it can be written, how many
//! connections there may be. What that means is judged elsewhere.

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::row::Row;
use super::sql::Sql;

/// What each engine tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Of SQLite.
    Sqlite {
        /// `wal`, if all is well.
        journal_mode: String,
        /// 2 is FULL.
        synchronous: i64,
    },
    /// Of PostgreSQL.
    Postgres(Postgres),
}

/// Settings of a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// 150018 is 15.18.
    pub version: i64,
    /// `on`, `off`.
    pub fsync: String,
    /// `on`, `off`.
    pub full_page_writes: String,
    /// `on`, `off`, `local`, `remote_write`, `remote_apply`.
    pub synchronous_commit: String,
    /// Whether it follows another server, and can't be written.
    pub is_standby: bool,
    /// How many connections there may be for users like ours.
    pub max_connections: i64,
    /// How many there are, of everybody.
    pub connections: i64,
}

/// Reads it.
pub async fn read(db: &Db) -> Result<Condition> {
    match db.engine() {
        Engine::Sqlite => sqlite(db).await,
        Engine::Postgres => postgres(db).await.map(Condition::Postgres),
    }
}

async fn sqlite(db: &Db) -> Result<Condition> {
    // Of the connection that writes: `synchronous` is each connection's own.
    let sql = "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode,
        (SELECT synchronous FROM pragma_synchronous) AS synchronous";
    let row = Sql::new(Engine::Sqlite, sql).one(db.write()).await?.ok_or_else(no_row)?;
    Ok(Condition::Sqlite { journal_mode: row.get("journal_mode")?, synchronous: row.get("synchronous")? })
}

async fn postgres(db: &Db) -> Result<Postgres> {
    let sql = "SELECT current_setting('server_version_num')::bigint AS version,
        current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
        current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS is_standby,
        least(
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
            (SELECT nullif(rolconnlimit, -1)::bigint FROM pg_roles WHERE rolname = current_user),
            (SELECT nullif(datconnlimit, -1)::bigint FROM pg_database WHERE datname = current_database())
        ) AS max_connections,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections";
    let row = Sql::new(Engine::Postgres, sql).one(db.read()).await?.ok_or_else(no_row)?;
    Ok(Postgres {
        version: row.get("version")?,
        fsync: row.get("fsync")?,
        full_page_writes: row.get("full_page_writes")?,
        synchronous_commit: row.get("synchronous_commit")?,
        is_standby: row.get("is_standby")?,
        max_connections: row.get("max_connections")?,
        connections: row.get("connections")?,
    })
}

fn no_row() -> StoreError {
    StoreError::Corrupt("SELECT gave no row".to_owned())
}

/// Writes something and takes it back.
///
/// # Errors
///
/// What would keep a task from being written: a file or a server that may only be read, a lock that somebody
/// keeps.
pub async fn try_write(db: &Db) -> Result<()> {
    let transaction = db.begin().await?;
    Sql::new(db.engine(), "UPDATE log_head SET keys = keys WHERE id = 1").execute(&transaction).await?;
    Ok(transaction.rollback().await?)
}
