//! Registered endpoints, callbacks, circuit breakers, resent deliveries and jobs that replay.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await?;
        super::run_on_postgres(manager, POSTGRES_UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run_on_postgres(manager, POSTGRES_DOWN).await?;
        super::run(manager, DOWN).await
    }
}

const UP: &[&str] = &[
    // What a registered endpoint asks for: JSON arrays, null where it is not said. Those of a schema or a type
    // get what the schema's version says.
    "ALTER TABLE endpoints ADD COLUMN schemas text",
    "ALTER TABLE endpoints ADD COLUMN task_types text",
    "ALTER TABLE endpoints ADD COLUMN states text",
    // The circuit breaker. `failing_since` stands since the spine; `open_until` is when the next probe may go.
    "ALTER TABLE endpoints ADD COLUMN failures integer NOT NULL DEFAULT 0",
    "ALTER TABLE endpoints ADD COLUMN open_until bigint",
    "ALTER TABLE endpoints ADD COLUMN probes integer NOT NULL DEFAULT 0",
    "CREATE INDEX endpoints_failing ON endpoints (id) WHERE failing_since IS NOT NULL",
    // When the next attempt would come if they came evenly, in microseconds: what keeps a rate, for all replicas.
    "ALTER TABLE endpoints ADD COLUMN rate_due bigint NOT NULL DEFAULT 0",
    // One endpoint for each host that a schema lets tasks be called back at: `url` holds the host.
    "CREATE UNIQUE INDEX endpoints_of_callbacks ON endpoints (schema_name, url) WHERE origin = 'callback'",
    // A delivery that somebody asked for once more: it has no version, so that it waits for none and none for it.
    "ALTER TABLE deliveries ADD COLUMN is_resend boolean NOT NULL DEFAULT false",
    "ALTER TABLE finished_deliveries ADD COLUMN is_resend boolean NOT NULL DEFAULT false",
    // Jobs that send again. `what` is dead or since; `next_seq` is how far one of the latter has come.
    "CREATE TABLE replays (
        id {uuid} NOT NULL PRIMARY KEY,
        endpoint_id {uuid} NOT NULL,
        schema_name text,
        what text NOT NULL,
        since bigint,
        next_seq bigint NOT NULL,
        last_seq bigint NOT NULL,
        status text NOT NULL,
        resent bigint NOT NULL,
        created_at bigint NOT NULL,
        created_by text NOT NULL,
        finished_at bigint
    )",
    "CREATE INDEX replays_running ON replays (id) WHERE status = 'running'",
];

// Rows of these come and go, or change, many times more often than others: left to the defaults, a fifth of the
// table may be dead before it is cleaned, and a queue that was once long stays slow.
const POSTGRES_UP: &[&str] = &[
    "ALTER TABLE deliveries SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE log_head SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE endpoints SET (fillfactor = 50)",
];

const POSTGRES_DOWN: &[&str] = &[
    "ALTER TABLE endpoints RESET (fillfactor)",
    "ALTER TABLE log_head RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
        autovacuum_vacuum_cost_delay)",
    "ALTER TABLE deliveries RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
        autovacuum_analyze_scale_factor, autovacuum_vacuum_cost_delay)",
];

const DOWN: &[&str] = &[
    "DROP TABLE replays",
    "ALTER TABLE finished_deliveries DROP COLUMN is_resend",
    "ALTER TABLE deliveries DROP COLUMN is_resend",
    "DELETE FROM endpoints WHERE origin NOT IN ('schema', 'type')",
    "DROP INDEX endpoints_of_callbacks",
    "ALTER TABLE endpoints DROP COLUMN rate_due",
    "DROP INDEX endpoints_failing",
    "ALTER TABLE endpoints DROP COLUMN probes",
    "ALTER TABLE endpoints DROP COLUMN open_until",
    "ALTER TABLE endpoints DROP COLUMN failures",
    "ALTER TABLE endpoints DROP COLUMN states",
    "ALTER TABLE endpoints DROP COLUMN task_types",
    "ALTER TABLE endpoints DROP COLUMN schemas",
];
