//! Endpoints that were left behind, receivers told apart, and lists of what ended.

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
    // Whether the latest version names it. Its status is another matter: a pause stays one.
    "ALTER TABLE endpoints ADD COLUMN declared boolean NOT NULL DEFAULT true",
    "UPDATE endpoints SET declared = false, status = 'active' WHERE status = 'removed' AND origin <> 'registered'",
    // Values in the clear. From now on this names the headers, and the values are secrets as any: what was kept here
    // can't be encrypted by a migration, and must be said again.
    "UPDATE endpoints SET custom_headers = NULL",
    // Raised when what answers there is to be judged anew: another URL, a new key, somebody's word that it works.
    "ALTER TABLE endpoints ADD COLUMN generation bigint NOT NULL DEFAULT 0",
    // With what the age of a queue is told by, so that nobody has to look at its rows.
    "DROP INDEX deliveries_due",
    "CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, created_at)",
    // What became of an endpoint's deliveries, newest first.
    "CREATE INDEX finished_deliveries_endpoint ON finished_deliveries (endpoint_id, id)",
];

const DOWN: &[&str] = &[
    "DROP INDEX finished_deliveries_endpoint",
    "DROP INDEX deliveries_due",
    "CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at)",
    "ALTER TABLE endpoints DROP COLUMN generation",
    "UPDATE endpoints SET status = 'removed' WHERE NOT declared",
    "ALTER TABLE endpoints DROP COLUMN declared",
];
