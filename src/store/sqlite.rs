//! A transaction of SQLite in two texts: one that begins it and reads, one that writes and commits.
//!
//! The driver runs each text on a thread of its own, so that each costs two threads that wake: more than
//! SQLite takes for a small batch. A transaction of the driver's is two texts by itself, and one more for
//! each statement.

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::sqlite::{Sqlite, SqliteArguments};
use sea_orm::sqlx::{self, Arguments, AssertSqlSafe};
use sea_orm::{DbErr, QueryResult, RuntimeErr, Value};

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::sql::Sql;

/// The most values that a text may take which is kept, prepared, for the next time. There is one for each
/// shape of a batch, of so many new tasks and so many decisions, and one of hundreds of rows takes hundreds of
/// kilobytes; those of a large batch are prepared in a small part of the time that it takes.
const KEPT_VALUES: usize = 1024;

/// A transaction that writes, and holds the one connection that may.
///
/// If it is dropped, or anything fails, the connection is closed, and SQLite takes back what it held: the
/// driver doesn't know of this transaction, and would hand the connection to whoever comes next.
pub(super) struct Transaction {
    connection: PoolConnection<Sqlite>,
    is_open: bool,
}

impl Transaction {
    /// Begins it and reads, with statements that end without a semicolon.
    pub(super) async fn begin(db: &Db, reads: impl FnOnce(Sql) -> Sql) -> Result<(Self, Vec<QueryResult>)> {
        let connection = db.write().get_sqlite_connection_pool().acquire().await.map_err(refused)?;
        let mut transaction = Self { connection, is_open: true };
        let rows = transaction.run(reads(Sql::new(Engine::Sqlite, "BEGIN IMMEDIATE; "))).await?;
        Ok((transaction, rows))
    }

    /// Writes, with statements that each have a semicolon behind them, and commits; returns the rows that
    /// they return.
    ///
    /// # Errors
    ///
    /// Nothing was written, unless the error is [`StoreError::Unavailable`]: then it is not known.
    pub(super) async fn commit(mut self, writes: Sql) -> Result<Vec<QueryResult>> {
        let rows = self.run(writes.push("COMMIT")).await?;
        self.is_open = false;
        Ok(rows)
    }

    /// Takes everything back.
    pub(super) async fn rollback(mut self) -> Result<()> {
        self.run(Sql::new(Engine::Sqlite, "ROLLBACK")).await?;
        self.is_open = false;
        Ok(())
    }

    async fn run(&mut self, sql: Sql) -> Result<Vec<QueryResult>> {
        let statement = sql.build();
        let bound = statement.values.map_or_else(Vec::new, |values| values.0);
        let values = bound.len();
        let mut arguments = SqliteArguments::default();
        for value in bound {
            bind(&mut arguments, value)?;
        }
        let query =
            sqlx::query_with(AssertSqlSafe(statement.sql), arguments).persistent(values <= KEPT_VALUES);
        let rows = query.fetch_all(&mut *self.connection).await.map_err(refused)?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_open {
            self.connection.close_on_drop();
        }
    }
}

fn bind(arguments: &mut SqliteArguments, value: Value) -> Result<()> {
    match value {
        Value::Bool(value) => arguments.add(value),
        Value::Int(value) => arguments.add(value),
        Value::BigInt(value) => arguments.add(value),
        Value::String(value) => arguments.add(value),
        Value::Bytes(value) => arguments.add(value),
        Value::Uuid(value) => arguments.add(value),
        other => return Err(StoreError::Data(format!("no column of ours takes {other:?}"))),
    }
    .map_err(|error| StoreError::Data(error.to_string()))
}

fn refused(error: sqlx::Error) -> StoreError {
    DbErr::Exec(RuntimeErr::SqlxError(error.into())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = "SELECT name FROM schemas";
    const KEEP: &str = "INSERT INTO schemas (name, created_at) VALUES ('kept', 1); ";

    async fn database() -> (Db, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let db =
            Db::connect(&format!("sqlite://{}", folder.path().join("x.db").display())).await.expect("opens");
        db.migrate_up().await.expect("migrates");
        (db, folder)
    }

    async fn begin(db: &Db) -> (Transaction, usize) {
        let (transaction, rows) = Transaction::begin(db, |sql| sql.push(KEPT)).await.expect("begins");
        (transaction, rows.len())
    }

    fn writes(text: &str) -> Sql {
        Sql::new(Engine::Sqlite, text)
    }

    #[tokio::test]
    async fn what_is_not_committed_is_gone() {
        let (db, _folder) = database().await;
        let (mut transaction, _) = begin(&db).await;
        transaction.run(writes(KEEP)).await.expect("writes");
        drop(transaction);
        let (mut transaction, kept) = begin(&db).await;
        assert_eq!(kept, 0, "dropped");
        transaction.run(writes(KEEP)).await.expect("writes");
        transaction.rollback().await.expect("rolls back");
        let (transaction, kept) = begin(&db).await;
        assert_eq!(kept, 0, "rolled back");
        transaction.commit(writes(KEEP)).await.expect("commits");
        let (_, kept) = begin(&db).await;
        assert_eq!(kept, 1, "committed");
    }

    #[tokio::test]
    async fn what_finds_no_room_is_not_written_and_may_be_tried_again() {
        let (db, _folder) = database().await;
        // Not below what there is: not a page more.
        let limit = |pages: &str| writes(&format!("PRAGMA max_page_count = {pages}"));
        limit("1").all(db.write()).await.expect("limits");
        let large = "INSERT INTO schemas (name, created_at) VALUES (hex(zeroblob(1000000)), 1); ";
        let (transaction, _) = begin(&db).await;
        let refused = transaction.commit(writes(&[KEEP, large].concat())).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        limit("1000000").all(db.write()).await.expect("makes room");
        let (transaction, kept) = begin(&db).await;
        assert_eq!(kept, 0, "no part of it is there");
        transaction.commit(writes(large)).await.expect("commits");
        assert_eq!(begin(&db).await.1, 1, "there is room again");
    }

    #[tokio::test]
    async fn a_text_that_fails_leaves_no_part_and_no_transaction() {
        let (db, _folder) = database().await;
        let (transaction, _) = begin(&db).await;
        let refused = transaction.commit(writes(&KEEP.repeat(2))).await;
        assert!(matches!(refused, Err(StoreError::Data(_))), "{refused:?}");
        // The driver's own transaction would be a savepoint in one that was left open.
        let own = db.begin().await.expect("begins");
        writes(KEEP).execute(&own).await.expect("the first of the two is gone");
        own.commit().await.expect("commits");
        let other = Db::connect(db.url()).await.expect("opens");
        let kept = writes(KEPT).all(other.read()).await.expect("reads");
        assert_eq!(kept.len(), 1, "others see it");
    }
}
