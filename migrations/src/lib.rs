//! The database's schema, as steps up and down, for SQLite and PostgreSQL alike.
//!
//! Statements are written as SQL, once, in the types that both engines have; `run` fills in
//! what differs. Times are `BIGINT` microseconds since the epoch: one integer compares
//! the same everywhere. Ids of rows that a batch writes are UUIDv7, so that they land together.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261121_000001_spine;
mod m20261122_000002_administration;
mod m20261123_000003_lists;
mod m20261124_000004_feeds;
mod m20261125_000005_endpoints;
mod m20261125_000006_maintenance;
mod m20261127_000006_replays;
mod m20261127_000008_receivers;
mod m20261127_000009_queue;
mod m20261128_000010_waiting;

/// All migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_spine::Migration),
            Box::new(m20261122_000002_administration::Migration),
            Box::new(m20261123_000003_lists::Migration),
            Box::new(m20261124_000004_feeds::Migration),
            Box::new(m20261125_000005_endpoints::Migration),
            Box::new(m20261125_000006_maintenance::Migration),
            Box::new(m20261127_000006_replays::Migration),
            Box::new(m20261127_000008_receivers::Migration),
            Box::new(m20261127_000009_queue::Migration),
            Box::new(m20261128_000010_waiting::Migration),
        ]
    }
}

/// Fills in the engine's types (`{uuid}`, `{bytes}`) and its literal of 32 zero bytes (`{zero}`),
/// and runs the statements in order.
async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let postgres = manager.get_database_backend() == sea_orm_migration::sea_orm::DatabaseBackend::Postgres;
    let (uuid, bytes, zero) = if postgres {
        ("uuid", "bytea", "decode(repeat('00', 32), 'hex')")
    } else {
        ("uuid_blob", "blob", "zeroblob(32)")
    };
    for statement in statements {
        let sql = statement.replace("{uuid}", uuid).replace("{bytes}", bytes).replace("{zero}", zero);
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// The same on PostgreSQL alone.
async fn run_on_postgres(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    match manager.get_database_backend() {
        sea_orm_migration::sea_orm::DatabaseBackend::Postgres => run(manager, statements).await,
        _ => Ok(()),
    }
}
