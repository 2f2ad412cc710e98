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
    // What ended without a decision lies apart: there may be thousands of older versions for each task that waits. `~`
    // begins no state's name.
    "DROP INDEX tasks_ranges",
    "CREATE INDEX tasks_ranges ON tasks (schema_name, ttype, (CASE WHEN phase IN ('open', 'resolved')
        THEN coalesce(state, '') ELSE '~' || coalesce(state, '') END), id)",
    "DROP INDEX tasks_unresolved",
    "CREATE INDEX tasks_waiting ON tasks (id) WHERE phase = 'open'",
    "DROP INDEX tasks_assignee_unresolved",
    "CREATE INDEX tasks_assignee_waiting ON tasks (user_id, id) WHERE user_id IS NOT NULL AND phase = 'open'",
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
    // What is older than this knows of no keys, and would keep none.
    "UPDATE tasks SET merge_key = NULL WHERE merge_key IS NOT NULL",
    "DROP TABLE merge_keys",
    "DROP INDEX tasks_assignee_waiting",
    "CREATE INDEX tasks_assignee_unresolved ON tasks (user_id, id) WHERE user_id IS NOT NULL AND NOT resolved",
    "DROP INDEX tasks_waiting",
    "CREATE INDEX tasks_unresolved ON tasks (id) WHERE NOT resolved",
    "DROP INDEX tasks_ranges",
    "CREATE INDEX tasks_ranges ON tasks (schema_name, ttype, (coalesce(state, '')), id)",
    "DROP INDEX tasks_expiring",
    "ALTER TABLE tasks DROP COLUMN superseded_by",
    "ALTER TABLE tasks DROP COLUMN supersedes",
    "ALTER TABLE tasks DROP COLUMN expires_at",
];
