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
    // Values of headers stood in `custom_headers` in the clear. They are secrets as any from now on, and this names
    // them. A migration can't encrypt: whoever has some must say them again, and hears of it. The column stays for
    // servers of the former version, which read it.
    "ALTER TABLE endpoints ADD COLUMN header_names text",
    "UPDATE endpoints SET status = 'paused', status_reason = 'its headers must be said again, and then it be resumed'
        WHERE custom_headers IS NOT NULL AND status = 'active'",
    "UPDATE endpoints SET custom_headers = NULL WHERE custom_headers IS NOT NULL",
    // A probe of a pattern of hosts says nothing of the others: none closes what is open.
    "UPDATE endpoints SET open_until = NULL, failing_since = NULL, failures = 0, probes = 0
        WHERE origin = 'callback' AND url LIKE '*.%'",
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
    "DELETE FROM endpoint_secrets WHERE auth_kind = 'headers'",
    "ALTER TABLE endpoints DROP COLUMN header_names",
    "UPDATE endpoints SET status = 'removed' WHERE NOT declared",
    "ALTER TABLE endpoints DROP COLUMN declared",
];
