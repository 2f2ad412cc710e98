//! What the administration API looks things up by.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, DOWN).await
    }
}

const UP: &[&str] = &[
    // The few deliveries that were given up, newest first, among the many that were not: those cost
    // this index nothing.
    "CREATE INDEX finished_deliveries_undelivered ON finished_deliveries (id) WHERE outcome <> 'delivered'",
];

const DOWN: &[&str] = &["DROP INDEX finished_deliveries_undelivered"];
