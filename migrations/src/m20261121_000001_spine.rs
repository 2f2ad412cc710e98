//! Every table of the spine, in its final shape.

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
    // Schemas. A schema that is being removed takes no new task; its row goes last.
    "CREATE TABLE schemas (
        name text NOT NULL PRIMARY KEY,
        created_at bigint NOT NULL,
        removed_at bigint
    )",
    // `position` counts a schema's versions from 1; the greatest is the latest.
    "CREATE TABLE schema_versions (
        id {uuid} NOT NULL PRIMARY KEY,
        schema_name text NOT NULL REFERENCES schemas (name),
        semver text NOT NULL,
        position integer NOT NULL,
        source text NOT NULL,
        installed_at bigint NOT NULL,
        installed_by text NOT NULL
    )",
    "CREATE UNIQUE INDEX schema_versions_position ON schema_versions (schema_name, position)",
    "CREATE TABLE task_types (
        id {uuid} NOT NULL PRIMARY KEY,
        schema_version_id {uuid} NOT NULL REFERENCES schema_versions (id) ON DELETE CASCADE,
        schema_name text NOT NULL,
        name text NOT NULL
    )",
    "CREATE UNIQUE INDEX task_types_name ON task_types (schema_version_id, name)",
    // Tasks. Listed by id: a UUIDv7 grows with the time of posting.
    "CREATE TABLE tasks (
        id {uuid} NOT NULL PRIMARY KEY,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        ttype_id {uuid} NOT NULL,
        schema_name text NOT NULL,
        ttype text NOT NULL,
        semver text NOT NULL,
        state text,
        resolved boolean NOT NULL,
        phase text NOT NULL,
        user_id {uuid},
        meta text,
        output text,
        external_id text,
        priority integer,
        due_at bigint,
        snoozed_until bigint,
        undo_until bigint,
        callback_url text,
        merge_key text,
        version bigint NOT NULL,
        decided_by text,
        decided_at bigint
    )",
    "CREATE INDEX tasks_unresolved ON tasks (id) WHERE NOT resolved",
    "CREATE INDEX tasks_schema ON tasks (schema_name, ttype, id)",
    "CREATE INDEX tasks_assignee ON tasks (user_id, id) WHERE user_id IS NOT NULL",
    // The sender's own names: the row is the lock that two posts of the same name meet at.
    "CREATE TABLE external_ids (
        schema_name text NOT NULL,
        external_id text NOT NULL,
        task_id {uuid} NOT NULL,
        content_hash {bytes} NOT NULL,
        PRIMARY KEY (schema_name, external_id)
    )",
    "CREATE TABLE idempotency_keys (
        key_hash {bytes} NOT NULL PRIMARY KEY,
        body_hash {bytes} NOT NULL,
        schema_name text NOT NULL,
        task_id {uuid} NOT NULL,
        created boolean NOT NULL,
        answer text NOT NULL,
        expires_at bigint NOT NULL
    )",
    "CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at)",
    // The log. `body` and `salt` are null once erased; `head_hash` stands on the last event of
    // each batch: the head's hash after it.
    "CREATE TABLE events (
        seq bigint NOT NULL PRIMARY KEY,
        id {uuid} NOT NULL,
        kind text NOT NULL,
        created_at bigint NOT NULL,
        actor text NOT NULL,
        schema_name text NOT NULL,
        ttype text,
        task_id {uuid},
        version bigint,
        body text,
        salt {bytes},
        digest {bytes} NOT NULL,
        head_hash {bytes}
    )",
    "CREATE UNIQUE INDEX events_id ON events (id)",
    "CREATE INDEX events_task ON events (task_id, seq) WHERE task_id IS NOT NULL",
    // One row. `registry` and `keys` count changes of schemas and endpoints, and of API keys: a
    // batch that was prepared under an older registry finds out when it takes the head.
    "CREATE TABLE log_head (
        id integer NOT NULL PRIMARY KEY CHECK (id = 1),
        seq bigint NOT NULL,
        hash {bytes} NOT NULL,
        floor_seq bigint NOT NULL,
        floor_hash {bytes} NOT NULL,
        registry bigint NOT NULL,
        keys bigint NOT NULL
    )",
    "CREATE TABLE checkpoints (
        seq bigint NOT NULL PRIMARY KEY,
        hash {bytes} NOT NULL,
        created_at bigint NOT NULL,
        signature text NOT NULL
    )",
    // Endpoints. `origin` says where one comes from: a schema's default, a type's own, one that
    // was registered, a task's callback.
    "CREATE TABLE endpoints (
        id {uuid} NOT NULL PRIMARY KEY,
        origin text NOT NULL,
        schema_name text,
        ttype text,
        url text NOT NULL,
        auth_kind text NOT NULL,
        auth_header text,
        event_types text NOT NULL,
        body_shape text NOT NULL,
        status text NOT NULL,
        status_reason text,
        description text,
        custom_headers text,
        rate_limit text,
        concurrency integer,
        timeout_ms bigint,
        failing_since bigint,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL
    )",
    "CREATE UNIQUE INDEX endpoints_of_schema ON endpoints (schema_name, coalesce(ttype, ''))
        WHERE origin IN ('schema', 'type')",
    "CREATE TABLE endpoint_secrets (
        id {uuid} NOT NULL PRIMARY KEY,
        endpoint_id {uuid} NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
        auth_kind text NOT NULL,
        master_key_id text NOT NULL,
        ciphertext {bytes} NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint
    )",
    "CREATE INDEX endpoint_secrets_endpoint ON endpoint_secrets (endpoint_id)",
    // Live deliveries. `due_at` is when one may next be claimed: its retry time, or the end of
    // its lease while `lease_token` is set.
    "CREATE TABLE deliveries (
        id {uuid} NOT NULL PRIMARY KEY,
        endpoint_id {uuid} NOT NULL,
        event_id {uuid} NOT NULL,
        schema_name text NOT NULL,
        task_id {uuid},
        version bigint,
        attempts integer NOT NULL,
        due_at bigint NOT NULL,
        lease_token {uuid},
        created_at bigint NOT NULL
    )",
    "CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at)",
    "CREATE INDEX deliveries_order ON deliveries (task_id, endpoint_id, version) WHERE task_id IS NOT NULL",
    "CREATE TABLE finished_deliveries (
        id {uuid} NOT NULL PRIMARY KEY,
        endpoint_id {uuid} NOT NULL,
        event_id {uuid} NOT NULL,
        schema_name text NOT NULL,
        task_id {uuid},
        version bigint,
        attempts integer NOT NULL,
        outcome text NOT NULL,
        reason text,
        created_at bigint NOT NULL,
        finished_at bigint NOT NULL
    )",
    "CREATE INDEX finished_deliveries_event ON finished_deliveries (event_id)",
    "CREATE INDEX finished_deliveries_dead ON finished_deliveries (endpoint_id, finished_at) WHERE outcome = 'dead'",
    "CREATE TABLE attempts (
        delivery_id {uuid} NOT NULL,
        number integer NOT NULL,
        endpoint_id {uuid} NOT NULL,
        event_id {uuid} NOT NULL,
        lease_token {uuid} NOT NULL,
        started_at bigint NOT NULL,
        duration_us bigint NOT NULL,
        outcome text NOT NULL,
        status integer,
        error text,
        response {bytes},
        PRIMARY KEY (delivery_id, number)
    )",
    // API keys. `schemas` and `permissions` are JSON arrays; no schemas: all of them.
    "CREATE TABLE api_keys (
        id {uuid} NOT NULL PRIMARY KEY,
        name text NOT NULL,
        hash {bytes} NOT NULL,
        hint text NOT NULL,
        schemas text,
        permissions text NOT NULL,
        rate text,
        created_at bigint NOT NULL,
        created_by text NOT NULL,
        expires_at bigint,
        revoked_at bigint,
        last_used_at bigint
    )",
    "CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash)",
    "CREATE TABLE users (
        id {uuid} NOT NULL PRIMARY KEY,
        email text NOT NULL,
        name text NOT NULL,
        role text NOT NULL,
        password_hash text,
        created_at bigint NOT NULL,
        disabled_at bigint
    )",
    "CREATE UNIQUE INDEX users_email ON users (email)",
    "INSERT INTO log_head (id, seq, hash, floor_seq, floor_hash, registry, keys)
        SELECT 1, 0, zero, 0, zero, 1, 1 FROM (SELECT {zero} AS zero) AS genesis",
];

const DOWN: &[&str] = &[
    "DROP TABLE users",
    "DROP TABLE api_keys",
    "DROP TABLE attempts",
    "DROP TABLE finished_deliveries",
    "DROP TABLE deliveries",
    "DROP TABLE endpoint_secrets",
    "DROP TABLE endpoints",
    "DROP TABLE checkpoints",
    "DROP TABLE log_head",
    "DROP TABLE events",
    "DROP TABLE idempotency_keys",
    "DROP TABLE external_ids",
    "DROP TABLE tasks",
    "DROP TABLE task_types",
    "DROP TABLE schema_versions",
    "DROP TABLE schemas",
];
