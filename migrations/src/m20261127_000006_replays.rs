//! Where a schema's own events begin.

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
    // The log's number when the schema was first installed under its name: what the log holds of it up to there
    // was another's, which was removed.
    "ALTER TABLE schemas ADD COLUMN begins_after bigint NOT NULL DEFAULT 0",
    "UPDATE schemas SET begins_after = coalesce((SELECT max(e.seq) FROM events e
        WHERE e.schema_name = schemas.name AND e.kind = 'schema.removed'), 0) WHERE removed_at IS NULL",
];

const DOWN: &[&str] = &[
    "ALTER TABLE schemas DROP COLUMN begins_after",
];
