//! A fresh database for each test, on either engine.

use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectionTrait, Database};
use task_inbox::store::{Db, Engine};

/// Where tests find PostgreSQL.
const VARIABLE: &str = "TASK_INBOX_TEST_POSTGRES";

/// A database that goes with the test.
pub(crate) struct TestDatabase {
    /// Its address.
    pub(crate) url: String,
    folder: Option<tempfile::TempDir>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl TestDatabase {
    /// Makes an empty database.
    pub(crate) async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let url = format!("sqlite://{}/test.db", folder.path().display());
                Self { url, folder: Some(folder) }
            }
            Engine::Postgres => {
                let server = std::env::var(VARIABLE).unwrap_or_else(|_| {
                    panic!(
                        "{VARIABLE} is not set: run `make test`, or `scripts/with-postgres cargo test`, \
                         which start a PostgreSQL of their own (apt-get install postgresql)"
                    )
                });
                let number = COUNT.fetch_add(1, Ordering::Relaxed);
                let name = format!("test_{}_{number}", std::process::id());
                administer(&server, &format!("CREATE DATABASE {name}")).await;
                let base = server.rsplit_once('/').expect("the address names a database").0;
                Self { url: format!("{base}/{name}"), folder: None }
            }
        }
    }

    /// Takes the database away from whoever is connected: `db` is one of them.
    #[allow(dead_code, reason = "not every test binary takes its database away")]
    pub(crate) async fn take_away(&self, db: &Db) {
        if db.engine() == Engine::Postgres {
            let (base, name) = self.url.rsplit_once('/').expect("the address names a database");
            administer(&format!("{base}/postgres"), &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        } else {
            db.clone().close().await.expect("closes");
        }
    }

    /// Makes a database with the current schema and connects to it.
    pub(crate) async fn migrated(engine: Engine) -> (Self, Db) {
        let database = Self::new(engine).await;
        let db = database.connect().await;
        db.migrate_up().await.expect("migrations run");
        if engine == Engine::Postgres {
            database.count_tables().await;
        }
        (database, db)
    }

    /// As autovacuum does: PostgreSQL plans by that until the next time. Of tables that fill up, the worst is that they
    /// were counted while there was next to nothing in them. PostgreSQL only; SQLite counts nothing.
    pub(crate) async fn count_tables(&self) {
        if self.folder.is_none() {
            administer(&self.url, "VACUUM ANALYZE").await;
        }
    }

    /// One more connection, as another process would have.
    pub(crate) async fn connect(&self) -> Db {
        Db::connect(&self.url).await.expect("the test database answers")
    }
}

async fn administer(server: &str, statement: &str) {
    let admin = Database::connect(server).await.expect("the test server answers");
    admin.execute_unprepared(statement).await.expect("the test server makes and drops databases");
    admin.close().await.expect("closes");
}

/// Makes of each `async fn name(engine: Engine)` one test for each engine.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(task_inbox::store::Engine::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(task_inbox::store::Engine::Postgres).await; })*
        }
    };
}
