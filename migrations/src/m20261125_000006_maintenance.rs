//! Maintenance, of the whole inbox or of a schema.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, &["DROP TABLE maintenance"]).await
    }
}

// A scope is a schema's name; the empty one is the whole inbox. A row is there while maintenance goes on.
const UP: &[&str] = &["CREATE TABLE maintenance (
        scope text NOT NULL PRIMARY KEY,
        message text NOT NULL,
        retry_after_s bigint NOT NULL,
        hold_deliveries boolean NOT NULL,
        since bigint NOT NULL,
        by text NOT NULL
    )"];
