//! A bare commit: one small row, inserted by a prepared statement that is a transaction of its own.

use anyhow::Result;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, PgConnection, SqliteConnection};
use task_inbox_testkit::Database;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS bench_commits (id bigint NOT NULL, note text NOT NULL)";
const INSERT: &str = "INSERT INTO bench_commits (id, note) VALUES ($1, $2)";
/// A small row, but not an empty one.
const NOTE: &str =
    "a note about as long as what a small table holds, which is some hundred characters or so, no more";

/// One connection that commits, as durable as the service's own.
pub(crate) enum Commits {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Commits {
    pub(crate) async fn open(database: &Database) -> Result<Self> {
        Ok(match database {
            Database::Postgres(url) => {
                let mut connection = url.parse::<PgConnectOptions>()?.connect().await?;
                connection.execute(TABLE).await?;
                Self::Postgres(connection)
            }
            Database::Sqlite(file) => {
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                let mut connection = options.connect().await?;
                connection.execute(TABLE).await?;
                Self::Sqlite(connection)
            }
        })
    }

    pub(crate) async fn commit(&mut self, id: i64) -> Result<()> {
        match self {
            Self::Postgres(connection) => {
                sqlx::query(INSERT).bind(id).bind(NOTE).execute(connection).await?;
            }
            Self::Sqlite(connection) => {
                sqlx::query(INSERT).bind(id).bind(NOTE).execute(connection).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use task_inbox_testkit::Postgres;

    use super::*;

    #[tokio::test]
    async fn commits_on_both_engines() {
        let cluster = Postgres::start().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.db");
        std::fs::write(&file, "").unwrap();
        for database in [
            Database::Postgres(cluster.url(&cluster.create_database().await.unwrap())),
            Database::Sqlite(file),
        ] {
            let mut commits = Commits::open(&database).await.unwrap();
            for id in 1..=3 {
                commits.commit(id).await.unwrap();
            }
            let rows = database.query("SELECT count(*) AS n FROM bench_commits").await.unwrap();
            assert_eq!(rows, [serde_json::json!({"n": 3})]);
        }
    }
}
