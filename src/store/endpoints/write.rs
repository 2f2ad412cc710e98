//! Registering endpoints, changing them, pausing and resuming them, and taking them away.

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use task_inbox_domain::event::operational;
use task_inbox_domain::{Actor, EventType, Timestamp};
use uuid::Uuid;

use crate::store::commit::LogEntry;
use crate::store::db::{Db, Engine};
use crate::store::deliveries;
use crate::store::error::Result;
use crate::store::log::{self, Append};
use crate::store::registry::{Endpoint, EndpointStatus, Origin, Registry};
use crate::store::row::Row;
use crate::store::secrets::{self, NewSecret, bump_registry};
use crate::store::sql::Sql;

/// The most deliveries that one transaction ends.
const PIECE: i64 = 1_000;

/// The columns that an owner chooses, as JSON where they are lists.
fn chosen(endpoint: &Endpoint) -> [(&'static str, sea_orm::Value); 11] {
    let list = |list: &Option<Vec<String>>| list.as_ref().map(json);
    let interest = &endpoint.interest;
    let treatment = &endpoint.treatment;
    let kinds = interest.event_types.as_ref();
    let kinds: Vec<_> = kinds.into_iter().flatten().map(|kind| kind.as_str()).collect();
    [
        ("url", endpoint.hook.url.clone().into()),
        ("body_shape", endpoint.format.as_str().into()),
        ("event_types", json(&kinds).into()),
        ("schemas", list(&interest.schemas).into()),
        ("task_types", list(&interest.task_types).into()),
        ("states", interest.states.as_ref().map(json).into()),
        ("description", endpoint.description.clone().into()),
        ("custom_headers", Some(&treatment.headers).filter(|h| !h.is_empty()).map(json).into()),
        ("rate_limit", treatment.rate.map(|rate| rate.to_string()).into()),
        ("concurrency", treatment.concurrency.map(|most| most as i32).into()),
        ("timeout_ms", treatment.timeout.map(|timeout| timeout.as_millis() as i64).into()),
    ]
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("lists of texts are JSON")
}

/// Registers an endpoint with its first secret.
pub async fn create(db: &Db, endpoint: &Endpoint, secret: &NewSecret) -> Result<()> {
    let engine = db.engine();
    let columns = chosen(endpoint);
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let transaction = db.begin().await?;
    let mut sql =
        Sql::new(engine, "INSERT INTO endpoints (id, origin, auth_kind, status, created_at, updated_at, ")
            .push(&names.join(", "))
            .push(") VALUES (")
            .bind(endpoint.id)
            .push(", ")
            .bind(Origin::Registered.as_str())
            .push(", ")
            .bind(endpoint.hook.auth.kind())
            .push(", ")
            .bind(EndpointStatus::Active.as_str())
            .push(", {now}, {now}");
    for (_, value) in columns {
        sql = sql.push(", ").bind(value);
    }
    sql.push(")").execute(&transaction).await?;
    secrets::insert(engine, &transaction, secret).await?;
    bump_registry(engine, &transaction).await?;
    Ok(transaction.commit().await?)
}

/// Changes a registered endpoint to what its owner chose; `false` if there is none. Another URL is another
/// receiver: one that had been disabled takes deliveries again, and nothing is known against it.
pub async fn update(db: &Db, endpoint: &Endpoint) -> Result<bool> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let url = endpoint.hook.url.as_str();
    let moved = |sql: Sql, column: &str, then: &str| {
        sql.push(&format!("{column} = CASE WHEN url <> "))
            .bind(url)
            .push(&format!(" THEN {then} ELSE {column} END, "))
    };
    let mut sql = Sql::new(engine, "UPDATE endpoints SET ");
    for (column, then) in
        [("failing_since", "NULL"), ("failures", "0"), ("open_until", "NULL"), ("probes", "0")]
    {
        sql = moved(sql, column, then);
    }
    for (column, then) in [("status_reason", "NULL"), ("status", "'active'")] {
        sql = sql
            .push(&format!("{column} = CASE WHEN status = 'disabled' AND url <> "))
            .bind(url)
            .push(&format!(" THEN {then} ELSE {column} END, "));
    }
    for (name, value) in chosen(endpoint) {
        sql = sql.push(name).push(" = ").bind(value).push(", ");
    }
    let changed = sql
        .push("updated_at = {now} WHERE origin = 'registered' AND status <> 'removed' AND id = ")
        .bind(endpoint.id)
        .execute(&transaction)
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Pauses an endpoint: its deliveries wait. `false` if it can't be paused, being paused or gone.
pub async fn pause(
    db: &Db,
    registry: &Registry,
    endpoint: &Endpoint,
    message: Option<&str>,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool> {
    let change = Change {
        from: &[EndpointStatus::Active, EndpointStatus::Disabled],
        to: EndpointStatus::Paused,
        kind: EventType::EndpointPaused,
        reason: "paused",
        message,
    };
    set_status(db, registry, endpoint, &change, actor, now).await
}

/// Lets an endpoint that was paused or disabled take deliveries again; nothing is known against it.
/// `false` if it is neither.
pub async fn resume(
    db: &Db,
    registry: &Registry,
    endpoint: &Endpoint,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool> {
    let change = Change {
        from: &[EndpointStatus::Paused, EndpointStatus::Disabled],
        to: EndpointStatus::Active,
        kind: EventType::EndpointRecovered,
        reason: "resumed",
        message: None,
    };
    set_status(db, registry, endpoint, &change, actor, now).await
}

struct Change<'a> {
    from: &'a [EndpointStatus],
    to: EndpointStatus,
    kind: EventType,
    reason: &'static str,
    message: Option<&'a str>,
}

async fn set_status(
    db: &Db,
    registry: &Registry,
    endpoint: &Endpoint,
    change: &Change<'_>,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let row = Sql::new(engine, "SELECT status, failing_since FROM endpoints WHERE id = ")
        .bind(endpoint.id)
        .push(" {locked}")
        .one(&transaction)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let status: String = row.get("status")?;
    if !EndpointStatus::parse(&status).is_some_and(|status| change.from.contains(&status)) {
        return Ok(false);
    }
    let failing = row.get::<Option<i64>>("failing_since")?.map(Timestamp::from_micros);
    let mut sql = Sql::new(engine, "UPDATE endpoints SET updated_at = {now}, status = ")
        .bind(change.to.as_str())
        .push(", status_reason = ")
        .bind(change.message.map(str::to_owned));
    if change.to == EndpointStatus::Active {
        sql = sql.push(", failing_since = NULL, failures = 0, open_until = NULL, probes = 0");
    }
    sql.push(" WHERE id = ").bind(endpoint.id).execute(&transaction).await?;
    let facts = endpoint.facts(failing);
    let event = operational::endpoint_changed(
        Uuid::now_v7(),
        change.kind,
        &facts,
        change.reason,
        change.message,
        actor,
        now,
    );
    tell(engine, &transaction, registry, event).await?;
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Appends an operational event, addressed to whoever asks for it.
async fn tell(
    engine: Engine,
    transaction: &impl ConnectionTrait,
    registry: &Registry,
    event: task_inbox_domain::Event,
) -> Result<()> {
    deliveries::address(engine, transaction, registry, std::slice::from_ref(&event)).await?;
    log::append(engine, transaction, Append::new(&[LogEntry::new(event)], None)).await?;
    Ok(())
}

/// Takes a registered endpoint away; `None` if there is none, else how many deliveries were withdrawn.
///
/// First it is closed, in a transaction that moves the registry's number: no commit addresses anything to it
/// from then on. Then its deliveries end, piece by piece, and its row goes. A removal that was interrupted is
/// finished by calling this again.
pub async fn remove(db: &Db, id: Uuid) -> Result<Option<u64>> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let closed =
        Sql::new(engine, "UPDATE endpoints SET updated_at = {now}, status = 'removed' WHERE origin = ")
            .bind(Origin::Registered.as_str())
            .push(" AND id = ")
            .bind(id)
            .execute(&transaction)
            .await?;
    if closed == 0 {
        return Ok(None);
    }
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    let mut withdrawn = 0;
    loop {
        let transaction = db.begin().await?;
        let ended = withdraw(engine, &transaction, id).await?;
        transaction.commit().await?;
        withdrawn += ended;
        if ended < PIECE as u64 {
            break;
        }
    }
    let transaction = db.begin().await?;
    Sql::new(engine, "DELETE FROM replays WHERE endpoint_id = ").bind(id).execute(&transaction).await?;
    Sql::new(engine, "DELETE FROM endpoints WHERE id = ").bind(id).execute(&transaction).await?;
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    Ok(Some(withdrawn))
}

/// Ends some of an endpoint's live deliveries.
async fn withdraw(engine: Engine, transaction: &DatabaseTransaction, endpoint: Uuid) -> Result<u64> {
    let rows = Sql::new(engine, "SELECT id FROM deliveries WHERE endpoint_id = ")
        .bind(endpoint)
        .push(" ORDER BY id LIMIT ")
        .bind(PIECE)
        .push(" {locked}")
        .all(transaction)
        .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get("id")).collect::<Result<_>>()?;
    if ids.is_empty() {
        return Ok(0);
    }
    Sql::new(
        engine,
        "INSERT INTO finished_deliveries (id, endpoint_id, event_id, schema_name, task_id, version, attempts,
            outcome, reason, created_at, finished_at, is_resend)
         SELECT id, endpoint_id, event_id, schema_name, task_id, version, attempts, 'cancelled',
            'endpoint_removed', created_at, {now}, is_resend FROM deliveries WHERE id",
    )
    .any_id(ids.iter().copied())
    .execute(transaction)
    .await?;
    Sql::new(engine, "DELETE FROM deliveries WHERE id").any_id(ids).execute(transaction).await
}
