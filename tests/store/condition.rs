//! The database's condition, as each engine tells it.

use sea_orm::{ConnectionTrait, Database, TransactionTrait};
use task_inbox::store::condition::{self, Condition};
use task_inbox::store::{Engine, POSTGRES_CONNECTIONS};

use crate::fixture::Fixture;
use crate::on_both_engines;
use crate::support::TestDatabase;

on_both_engines!(tells_its_settings, is_tried_without_leaving_a_trace, what_can_not_be_written_is_noticed);

async fn tells_its_settings(engine: Engine) {
    let f = Fixture::new(engine).await;
    match (engine, condition::read(&f.db).await.expect("read")) {
        (Engine::Sqlite, Condition::Sqlite { journal_mode, synchronous }) => {
            assert_eq!((journal_mode.as_str(), synchronous), ("wal", 2));
        }
        (Engine::Postgres, Condition::Postgres(server)) => {
            assert!(server.version >= 130_000 && !server.is_standby, "{server:?}");
            assert_eq!((server.fsync.as_str(), server.synchronous_commit.as_str()), ("on", "on"));
            assert!(server.connections > 0 && server.connections <= server.max_connections, "{server:?}");
            assert!(server.max_connections > i64::from(POSTGRES_CONNECTIONS), "{server:?}");
        }
        (_, other) => panic!("{other:?}"),
    }
}

async fn is_tried_without_leaving_a_trace(engine: Engine) {
    let f = Fixture::new(engine).await;
    let before = task_inbox::store::log::head(&f.db).await.expect("read");
    condition::try_write(&f.db).await.expect("it can be written");
    let after = task_inbox::store::log::head(&f.db).await.expect("read");
    assert_eq!((before.seq, before.registry, before.keys), (after.seq, after.registry, after.keys));
}

async fn what_can_not_be_written_is_noticed(engine: Engine) {
    let (database, db) = TestDatabase::migrated(engine).await;
    let other = Database::connect(&database.url).await.expect("connects");
    let holder = other.begin().await.expect("begins");
    holder
        .execute_unprepared("UPDATE log_head SET keys = keys")
        .await
        .expect("holds what every writer needs");
    let refused = condition::try_write(&db).await.expect_err("it is held");
    assert!(refused.to_string().contains("lock"), "{refused}");
    holder.rollback().await.expect("lets go");
    condition::try_write(&db).await.expect("it is free");
}
