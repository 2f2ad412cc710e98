//! One running replay of a kind for each endpoint, and where a schema's own events begin.

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
    // Of those that do the same at once, the first goes on.
    "UPDATE replays SET status = 'cancelled', finished_at = created_at
        WHERE status = 'running' AND EXISTS (SELECT 1 FROM replays o WHERE o.status = 'running'
            AND o.endpoint_id = replays.endpoint_id AND o.what = replays.what
            AND coalesce(o.schema_name, '') = coalesce(replays.schema_name, '') AND o.id < replays.id)",
    "CREATE UNIQUE INDEX replays_one_running ON replays (endpoint_id, what, coalesce(schema_name, ''))
        WHERE status = 'running'",
    // What lists of an endpoint's jobs are read from.
    "CREATE INDEX replays_endpoint ON replays (endpoint_id, id)",
    // The log's number when the schema was first installed under its name: what the log holds of it up to there
    // was another's, which was removed.
    "ALTER TABLE schemas ADD COLUMN begins_after bigint NOT NULL DEFAULT 0",
    "UPDATE schemas SET begins_after = coalesce((SELECT max(e.seq) FROM events e
        WHERE e.schema_name = schemas.name AND e.kind = 'schema.removed'), 0) WHERE removed_at IS NULL",
];

const DOWN: &[&str] = &[
    "ALTER TABLE schemas DROP COLUMN begins_after",
    "DROP INDEX replays_endpoint",
    "DROP INDEX replays_one_running",
];
