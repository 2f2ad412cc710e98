//! Installing schemas, with the endpoints that they declare; and (`remove`) taking them away, of which registered
//! endpoints are told (`hearers`).

mod hearers;
mod remove;

use sea_orm::ConnectionTrait;
use task_inbox_domain::schema::{Hook, HookAuth, Schema};
use task_inbox_domain::{Actor, Timestamp, event};
use uuid::Uuid;

use super::commit::LogEntry;
use super::db::{Db, Engine};
use super::deliveries;
use super::error::{Result, StoreError};
use super::log::{self, Append, Appended};
use super::registry::{Origin, Registry};
use super::row::Row;
use super::secrets::bump_registry;
use super::sql::Sql;

pub use remove::{Removal, count, remove};

/// What an installation made.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The version's row.
    pub version_id: Uuid,
    /// Its place among the schema's versions, from 1.
    pub position: i32,
}

/// Why a schema was not installed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InstallError {
    /// Schemas changed since the registry was read: compare again.
    #[error("schemas changed meanwhile")]
    Raced,
    /// A removal of the same name has begun and not ended: remove it again, then install.
    #[error("the schema is being removed; run rmschema again, then install")]
    BeingRemoved,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Installs a version that was compared with `registry`.
///
/// # Errors
///
/// [`InstallError::Raced`] if the registry is not `registry` any more; nothing is installed then.
pub async fn install(
    db: &Db,
    registry: &Registry,
    schema: &Schema,
    source: &str,
    actor: &Actor,
    now: Timestamp,
) -> std::result::Result<Installed, InstallError> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    // No event of a task of this name comes between reading the log's number and the commit: whoever had the
    // name before was closed, and removed, before it was free.
    let sql = Sql::new(engine, "INSERT INTO schemas (name, created_at, begins_after) SELECT ")
        .bind(schema.name.as_str());
    let sql = match engine {
        Engine::Postgres => sql.push("::text"),
        Engine::Sqlite => sql,
    };
    let made = sql
        .push(", ")
        .bind(now.as_micros())
        .push(", seq FROM log_head WHERE id = 1 ON CONFLICT (name) DO NOTHING")
        .execute(&transaction)
        .await?;
    if made > 0 {
        // One that was registered while the last schema of this name went away.
        hearers::forget(engine, &transaction, &schema.name).await?;
    }
    let row = Sql::new(engine, "SELECT removed_at FROM schemas WHERE name = ")
        .bind(schema.name.as_str())
        .push(" {locked}")
        .one(&transaction)
        .await?;
    if row.map(|r| r.get::<Option<i64>>("removed_at")).transpose()?.flatten().is_some() {
        return Err(InstallError::BeingRemoved);
    }
    let version_id = Uuid::now_v7();
    let position = registry.latest(&schema.name).map_or(1, |latest| latest.position + 1);
    let inserted =
        insert_version(engine, &transaction, schema, source, actor, now, version_id, position).await;
    match inserted {
        // Another installation took the position.
        Err(StoreError::Data(_)) => return Err(InstallError::Raced),
        other => other?,
    }
    declare_endpoints(engine, &transaction, schema, now).await?;
    let event =
        event::schema_version_created(Uuid::now_v7(), &schema.name, schema.version.as_written(), actor, now);
    append_with_deliveries(engine, &transaction, registry, event).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(Installed { version_id, position })
}

#[expect(clippy::too_many_arguments, reason = "one row's columns, used once")]
async fn insert_version(
    engine: Engine,
    db: &impl ConnectionTrait,
    schema: &Schema,
    source: &str,
    actor: &Actor,
    now: Timestamp,
    id: Uuid,
    position: i32,
) -> Result<()> {
    Sql::new(
        engine,
        "INSERT INTO schema_versions (id, schema_name, semver, position, source, installed_at, installed_by) VALUES (",
    )
    .bind(id)
    .push(", ")
    .bind(schema.name.as_str())
    .push(", ")
    .bind(schema.version.as_written())
    .push(", ")
    .bind(position)
    .push(", ")
    .bind(source)
    .push(", ")
    .bind(now.as_micros())
    .push(", ")
    .bind(actor.pseudonym())
    .push(")")
    .execute(db)
    .await?;
    for ttype in &schema.task_types {
        Sql::new(engine, "INSERT INTO task_types (id, schema_version_id, schema_name, name) VALUES (")
            .bind(Uuid::now_v7())
            .push(", ")
            .bind(id)
            .push(", ")
            .bind(schema.name.as_str())
            .push(", ")
            .bind(ttype.name.as_str())
            .push(")")
            .execute(db)
            .await?;
    }
    Ok(())
}

/// Makes the endpoints that the version declares, or changes them to what it says, and marks the
/// others as no longer declared. Secrets stay: they belong to the endpoint, not to the version. So does a pause,
/// whether the version names it or not.
async fn declare_endpoints(
    engine: Engine,
    db: &impl ConnectionTrait,
    schema: &Schema,
    now: Timestamp,
) -> Result<()> {
    let own = schema
        .task_types
        .iter()
        .filter_map(|t| Some(Declared { origin: Origin::Type, ttype: Some(&t.name), hook: t.hook.clone()? }));
    let default = schema.hook.clone().map(|hook| Declared { origin: Origin::Schema, ttype: None, hook });
    let callbacks = schema.callback.iter().flat_map(|callback| {
        callback.hosts.iter().map(|host| Declared {
            origin: Origin::Callback,
            ttype: None,
            hook: Hook { url: host.clone(), auth: callback.auth.clone() },
        })
    });
    let all: Vec<_> = default.into_iter().chain(own).chain(callbacks).collect();
    let mut kept = Vec::with_capacity(all.len());
    for declared in all {
        kept.push(declare_endpoint(engine, db, schema, &declared, now).await?);
    }
    let mut sql = Sql::new(engine, "UPDATE endpoints SET declared = false, updated_at = ")
        .bind(now.as_micros())
        .push(" WHERE origin IN ('schema', 'type', 'callback') AND schema_name = ")
        .bind(schema.name.as_str());
    if !kept.is_empty() {
        sql = sql.push(" AND NOT (id").any_id(kept).push(")");
    }
    sql.execute(db).await?;
    Ok(())
}

/// An endpoint that a version declares.
struct Declared<'a> {
    origin: Origin,
    ttype: Option<&'a str>,
    hook: Hook,
}

async fn declare_endpoint(
    engine: Engine,
    db: &impl ConnectionTrait,
    schema: &Schema,
    declared: &Declared<'_>,
    now: Timestamp,
) -> Result<Uuid> {
    let header = match &declared.hook.auth {
        HookAuth::Hmac => None,
        HookAuth::Head { header } => Some(header.as_str()),
    };
    let conflict = match declared.origin {
        Origin::Callback => "(schema_name, url) WHERE origin = 'callback'",
        _ => "(schema_name, coalesce(ttype, '')) WHERE origin IN ('schema', 'type')",
    };
    // Another receiver is judged anew; one that stayed is what it was, paused or disabled or neither.
    let moved = "endpoints.url <> excluded.url OR endpoints.auth_kind <> excluded.auth_kind
        OR coalesce(endpoints.auth_header, '') <> coalesce(excluded.auth_header, '')";
    let anew = |column: &str, then: &str| {
        format!("{column} = CASE WHEN {moved} THEN {then} ELSE endpoints.{column} END")
    };
    let judged = [
        anew("failing_since", "NULL"),
        anew("failures", "0"),
        anew("open_until", "NULL"),
        anew("probes", "0"),
        anew("generation", "endpoints.generation + 1"),
        anew("status", "CASE WHEN endpoints.status = 'paused' THEN 'paused' ELSE 'active' END"),
        anew("status_reason", "CASE WHEN endpoints.status = 'paused' THEN endpoints.status_reason END"),
    ]
    .join(", ");
    let row = Sql::new(
        engine,
        "INSERT INTO endpoints (id, origin, schema_name, ttype, url, auth_kind, auth_header, event_types,
            body_shape, status, created_at, updated_at) VALUES (",
    )
    .bind(Uuid::now_v7())
    .push(", ")
    .bind(declared.origin.as_str())
    .push(", ")
    .bind(schema.name.as_str())
    .push(", ")
    .bind(declared.ttype.map(str::to_owned))
    .push(", ")
    .bind(declared.hook.url.as_str())
    .push(", ")
    .bind(declared.hook.auth.kind())
    .push(", ")
    .bind(header.map(str::to_owned))
    // Which events are wanted stands in the schema version; registered endpoints say it here.
    .push(", '[]', ")
    .bind(schema.hook_body.as_str())
    .push(", 'active', ")
    .bind(now.as_micros())
    .push(", ")
    .bind(now.as_micros())
    .push(&format!(
        ") ON CONFLICT {conflict}
           DO UPDATE SET url = excluded.url, auth_kind = excluded.auth_kind, auth_header = excluded.auth_header,
            body_shape = excluded.body_shape, updated_at = excluded.updated_at, declared = true, {judged}
         RETURNING id"
    ))
    .one(db)
    .await?;
    row.ok_or_else(|| StoreError::Corrupt("an endpoint was neither made nor changed".to_owned()))?.get("id")
}

/// Appends an event of a schema, addresses it, and moves the registry's number with the head.
async fn append_with_deliveries(
    engine: Engine,
    db: &impl ConnectionTrait,
    registry: &Registry,
    event: task_inbox_domain::Event,
) -> std::result::Result<(), InstallError> {
    // The endpoints as this transaction sees them: the version that is being installed may be the
    // first to name one.
    let changed = Registry::load_on(engine, db, Some(registry)).await?;
    if changed.number != registry.number {
        return Err(InstallError::Raced);
    }
    deliveries::address(engine, db, &changed, std::slice::from_ref(&event)).await?;
    match log::append(engine, db, Append::new(&[LogEntry::new(event)], Some(registry.number))).await? {
        Appended::Done => {
            bump_registry(engine, db).await?;
            Ok(())
        }
        Appended::RegistryMoved => Err(InstallError::Raced),
    }
}
