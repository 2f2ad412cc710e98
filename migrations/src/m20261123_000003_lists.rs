//! What lists of tasks are read from, so that a page costs the same in a small inbox and in a large
//! one.

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
    // Takes the place of `tasks_schema`, and costs a post no more. Unset is written as no text,
    // which is no state's name, because NULL can't be compared.
    "CREATE INDEX tasks_ranges ON tasks (schema_name, ttype, (coalesce(state, '')), id)",
    "DROP INDEX tasks_schema",
    // These cost only what they hold: tasks that are assigned and wait, that ended without a
    // decision, that their senders named.
    "CREATE INDEX tasks_assignee_unresolved ON tasks (user_id, id) WHERE user_id IS NOT NULL AND NOT resolved",
    "CREATE INDEX tasks_ended ON tasks (phase, id) WHERE phase NOT IN ('open', 'resolved')",
    "CREATE INDEX external_ids_external_id ON external_ids (external_id)",
];

const DOWN: &[&str] = &[
    "DROP INDEX external_ids_external_id",
    "DROP INDEX tasks_ended",
    "DROP INDEX tasks_assignee_unresolved",
    "CREATE INDEX tasks_schema ON tasks (schema_name, ttype, id)",
    "DROP INDEX tasks_ranges",
];
