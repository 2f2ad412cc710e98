//! PostgreSQL: a queue is read by its endpoint and in its order alone.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run_on_postgres(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run_on_postgres(manager, DOWN).await
    }
}

// Every delivery is due at some time after 1970. What goes by the queue says so, and what goes by a task doesn't: of
// a table that was empty when it was counted, PostgreSQL takes any index that has one of the columns, and would read
// an endpoint's whole queue for each delivery to see whether it is its task's first.
const UP: &[&str] = &[
    "DROP INDEX deliveries_due",
    "CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, created_at) WHERE due_at >= 0",
];

const DOWN: &[&str] = &[
    "DROP INDEX deliveries_due",
    "CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, created_at)",
];
