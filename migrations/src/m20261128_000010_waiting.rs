//! What becomes of tasks while they wait: their time, and newer ones that take their place.

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
    "ALTER TABLE tasks ADD COLUMN expires_at bigint",
    "ALTER TABLE tasks ADD COLUMN supersedes {uuid}",
    "ALTER TABLE tasks ADD COLUMN superseded_by {uuid}",
    "CREATE INDEX tasks_expiring ON tasks (expires_at, id) WHERE expires_at IS NOT NULL",
    // The newest task of each merge key. The row is the lock that two posts with the same key meet at.
    "CREATE TABLE merge_keys (
        schema_name text NOT NULL,
        ttype text NOT NULL,
        merge_key text NOT NULL,
        task_id {uuid} NOT NULL,
        PRIMARY KEY (schema_name, ttype, merge_key)
    )",
];

const DOWN: &[&str] = &[
    "DROP TABLE merge_keys",
    "DROP INDEX tasks_expiring",
    "ALTER TABLE tasks DROP COLUMN superseded_by",
    "ALTER TABLE tasks DROP COLUMN supersedes",
    "ALTER TABLE tasks DROP COLUMN expires_at",
];
