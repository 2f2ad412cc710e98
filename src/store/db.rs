//! The connection to one of the two engines, and the few things that differ between them.

use std::time::Duration;

use migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use task_inbox_domain::Timestamp;

use super::error::{Result, StoreError};
use super::sql::Sql;

/// Which database this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file, one writing connection.
    Sqlite,
    /// A server that many replicas share.
    Postgres,
}

/// How long a transaction waits for a lock, or may sit idle while it holds some: a frozen replica
/// stops nobody for longer.
const LOCK_TIMEOUT: &str = "2s";

/// After how many pages SQLite's write-ahead log is folded into the file: 32 MB. Whoever works off a long queue
/// writes the same pages again and again, each of which is folded in once; half of what the log may grow to
/// (`housekeeping`).
const CHECKPOINT_PAGES: &str = "8192";

/// How many connections to PostgreSQL the pools hold: for what reads, for what writes, and for the group
/// commit.
const READERS: u32 = 8;
const WRITERS: u32 = 6;
const COMMITTERS: u32 = 2;

/// The most connections that a server has to PostgreSQL: its pools', and one that listens.
pub const POSTGRES_CONNECTIONS: u32 = READERS + WRITERS + COMMITTERS + 1;

/// A database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    engine: Engine,
    url: String,
    read: DatabaseConnection,
    write: DatabaseConnection,
}

impl Db {
    /// Connects to `sqlite://{file}` or `postgres://...`.
    ///
    /// SQLite gets one writing connection (WAL, `synchronous=FULL`) and a few reading ones.
    ///
    /// # Errors
    ///
    /// An address that names neither engine; a server or file that can't be opened; a PostgreSQL
    /// with `synchronous_commit=off`, which would lose what was acknowledged.
    pub async fn connect(url: &str) -> Result<Self> {
        if url.starts_with("sqlite:") {
            return Self::connect_sqlite(url).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::connect_postgres(url).await;
        }
        Err(StoreError::Unavailable("DATABASE_URL must begin with sqlite:// or postgres://".to_owned()))
    }

    async fn connect_sqlite(url: &str) -> Result<Self> {
        let path = sqlite_path(url);
        if let Some(folder) = std::path::Path::new(path).parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|e| StoreError::Unavailable(format!("can't make {}: {e}", folder.display())))?;
        }
        let pool = |connections: u32, writer: bool| {
            let mut options = options(url, connections);
            options.map_sqlx_sqlite_opts(move |o| {
                use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
                o.create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(2))
                    .pragma("cache_size", "-16000")
                    .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
                    .pragma("query_only", if writer { "off" } else { "on" })
                    .statement_cache_capacity(256)
            });
            options
                .map_sqlx_sqlite_pool_opts(|pool| pool.after_release(|c, _| Box::pin(has_no_transaction(c))));
            Database::connect(options)
        };
        private_file(path)?;
        // The writer comes first: it makes the file and turns the journal to WAL.
        let write = pool(1, true).await?;
        let read = pool(3, false).await?;
        Ok(Self { engine: Engine::Sqlite, url: url.to_owned(), read, write })
    }

    async fn connect_postgres(url: &str) -> Result<Self> {
        let read = match Database::connect(postgres_options(url, READERS, Plans::ByValue)).await {
            Ok(pool) => pool,
            Err(error) => return Err(why_unreachable(url).await.unwrap_or_else(|| error.into())),
        };
        let row = read.query_one_raw(Sql::new(Engine::Postgres, "SHOW synchronous_commit").build()).await?;
        let setting: String = row.map(|r| r.try_get_by_index(0)).transpose()?.unwrap_or_default();
        if setting == "off" {
            return Err(StoreError::Unavailable(
                "this PostgreSQL runs with synchronous_commit=off, so a crash would lose acknowledged tasks; \
                 set it to on for the database: ALTER DATABASE ... SET synchronous_commit = on"
                    .to_owned(),
            ));
        }
        let write = Database::connect(postgres_options(url, WRITERS, Plans::Once)).await?;
        Ok(Self { engine: Engine::Postgres, url: url.to_owned(), read, write })
    }

    /// The same database for a runtime of its own: PostgreSQL's sockets are watched by the runtime
    /// that connected them, so this one makes its own connections, when it needs them. SQLite's one
    /// writer is no socket and stays the same.
    pub(super) async fn for_this_runtime(&self) -> Result<Self> {
        if self.engine == Engine::Sqlite {
            return Ok(self.clone());
        }
        let mut options = postgres_options(&self.url, COMMITTERS, Plans::Once);
        options.connect_lazy(true).min_connections(0);
        let pool = Database::connect(options).await?;
        Ok(Self { read: pool.clone(), write: pool, ..self.clone() })
    }

    /// Closes what [`Db::for_this_runtime`] connected.
    pub(super) async fn leave_runtime(self) {
        if self.engine == Engine::Postgres {
            // Nothing is under way: a server that is gone closes them too.
            let _ = self.close().await;
        }
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The address it was connected with. Holds the password: not for logs.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The file of an SQLite database.
    pub fn sqlite_file(&self) -> Option<&str> {
        (self.engine == Engine::Sqlite).then(|| sqlite_path(&self.url))
    }

    pub(super) fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    pub(super) fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    /// Begins a transaction that may write.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: (self.engine == Engine::Sqlite)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.write.begin_with_options(options).await?)
    }

    /// The database's clock, which leases and due times go by.
    pub async fn now(&self) -> Result<Timestamp> {
        let row = self.read.query_one_raw(Sql::new(self.engine, "SELECT {now}").build()).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("SELECT gave no row".to_owned()))?;
        Ok(Timestamp::from_micros(row.try_get_by_index(0)?))
    }

    /// Brings the schema up to date; returns the names of what was applied.
    ///
    /// Of two processes that start together one migrates and the other waits, and finds it done.
    pub async fn migrate_up(&self) -> Result<Vec<String>> {
        let lock = self.lock_migrations().await?;
        let pending = self.pending_migrations().await?;
        if !pending.is_empty() {
            Migrator::up(&self.write, None).await?;
        }
        lock.release().await?;
        Ok(pending)
    }

    /// Takes back the latest `steps` migrations. Destroys data.
    pub async fn migrate_down(&self, steps: u32) -> Result<()> {
        let lock = self.lock_migrations().await?;
        Migrator::down(&self.write, Some(steps)).await?;
        lock.release().await
    }

    async fn lock_migrations(&self) -> Result<MigrationLock> {
        if let Some(file) = self.sqlite_file() {
            let path = format!("{file}.migrating");
            let locked = tokio::task::spawn_blocking(move || {
                let file = std::fs::File::create(path)?;
                file.lock()?;
                Ok::<_, std::io::Error>(file)
            });
            let file = locked.await.map_err(|e| StoreError::Unavailable(e.to_string()))?;
            let file = file.map_err(|e| StoreError::Unavailable(format!("the migration lock: {e}")))?;
            return Ok(MigrationLock::File(file));
        }
        let transaction = self.read.begin().await?;
        for statement in [
            "SET LOCAL lock_timeout = '60s'",
            "SET LOCAL idle_in_transaction_session_timeout = 0",
            // Any number, as long as every process takes the same.
            "SELECT pg_advisory_xact_lock(7021984)",
        ] {
            transaction.execute_unprepared(statement).await?;
        }
        Ok(MigrationLock::Transaction(transaction))
    }

    /// The names of migrations that this binary has and the database lacks.
    pub async fn pending_migrations(&self) -> Result<Vec<String>> {
        let pending = Migrator::get_pending_migrations(&self.write).await?;
        Ok(pending.iter().map(|m| m.name().to_owned()).collect())
    }

    /// The names of migrations that the database has.
    pub async fn applied_migrations(&self) -> Result<Vec<String>> {
        let applied = Migrator::get_applied_migrations(&self.write).await?;
        Ok(applied.iter().map(|m| m.name().to_owned()).collect())
    }

    /// Closes every connection; SQLite folds its WAL into the file.
    pub async fn close(self) -> Result<()> {
        self.read.close().await?;
        Ok(self.write.close().await?)
    }
}

/// Held while migrations run; ends with the process, whatever happens to it.
enum MigrationLock {
    File(std::fs::File),
    Transaction(DatabaseTransaction),
}

impl MigrationLock {
    async fn release(self) -> Result<()> {
        match self {
            Self::File(file) => file.unlock().map_err(|e| StoreError::Unavailable(e.to_string())),
            Self::Transaction(transaction) => Ok(transaction.rollback().await?),
        }
    }
}

/// Whether a connection may be used again. A COMMIT that fails, as on a full disk, can end the
/// transaction under a driver that believes it open; whatever came next would be a savepoint in a
/// transaction that nobody commits. Such a connection is closed, and SQLite rolls back what it held.
async fn has_no_transaction(
    connection: &mut sea_orm::sqlx::SqliteConnection,
) -> std::result::Result<bool, sea_orm::SqlxError> {
    use sea_orm::sqlx::Connection;
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    // A rollback may still be on its way to the connection's thread; this comes after it.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Makes the database's file for its owner alone: it holds what people post. SQLite gives the files
/// beside it the same mode.
fn private_file(path: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map(drop).map_err(|e| StoreError::Unavailable(format!("can't open {path}: {e}")))
}

fn options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(3))
        .test_before_acquire(false)
        .sqlx_logging(false);
    options
}

/// When PostgreSQL plans a prepared statement.
#[derive(Clone, Copy)]
enum Plans {
    /// Where that looks cheaper, for the values of each execution: a list's filter may be what a partial
    /// index is made for.
    ByValue,
    /// Once for each connection. What writes takes arrays, whose lengths make each execution's own plan
    /// look cheaper than it is; planning costs more than half a millisecond, and gives the same again.
    Once,
}

fn postgres_options(url: &str, connections: u32, plans: Plans) -> ConnectOptions {
    let plans = match plans {
        Plans::ByValue => "auto",
        Plans::Once => "force_generic_plan",
    };
    let mut options = options(url, connections);
    options.map_sqlx_postgres_opts(move |o| {
        // Every statement goes by an index. A prepared plan lives on while a table that was empty when it
        // was made (the queue of deliveries often is) fills up: it must not be one that scans it.
        o.application_name("task-inbox").statement_cache_capacity(256).options([
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
            ("plan_cache_mode", plans),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", LOCK_TIMEOUT),
            ("default_transaction_isolation", "read committed"),
        ])
    });
    options
}

/// What one connection by itself fails with: a pool tries until its time is up and says only that.
async fn why_unreachable(url: &str) -> Option<StoreError> {
    use sea_orm::sqlx::{Connection, PgConnection};
    match tokio::time::timeout(Duration::from_secs(3), PgConnection::connect(url)).await {
        Ok(Err(error)) => Some(StoreError::Unavailable(error.to_string())),
        _ => None,
    }
}

fn sqlite_path(url: &str) -> &str {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    path.split_once('?').map_or(path, |(path, _)| path)
}

impl From<Engine> for DbBackend {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite,
            Engine::Postgres => Self::Postgres,
        }
    }
}
