//! Registering endpoints, changing them, pausing and resuming them, and taking them away.

use sea_orm::ConnectionTrait;
use task_inbox_domain::event::operational;
use task_inbox_domain::webhook::url;
use task_inbox_domain::{Actor, EventType, Timestamp};
use uuid::Uuid;

use crate::store::commit::LogEntry;
use crate::store::db::{Db, Engine};
use crate::store::deliveries::{self, FORGET};
use crate::store::error::Result;
use crate::store::log::{self, Append};
use crate::store::registry::{Endpoint, EndpointStatus, Origin, Registry};
use crate::store::row::Row;
use crate::store::secrets::{self, NewSecret, bump_registry};
use crate::store::sql::Sql;

const NAMES: &str = "header_names";
const URL: &str = "url";
const RATE: &str = "rate_limit";

/// The columns that an owner chooses, as JSON where they are lists.
fn chosen(endpoint: &Endpoint) -> [(&'static str, sea_orm::Value); 11] {
    let list = |list: &Option<Vec<String>>| list.as_ref().map(json);
    let interest = &endpoint.interest;
    let treatment = &endpoint.treatment;
    let kinds = interest.event_types.as_ref();
    let kinds: Vec<_> = kinds.into_iter().flatten().map(|kind| kind.as_str()).collect();
    [
        (URL, endpoint.hook.url.clone().into()),
        ("body_shape", endpoint.format.as_str().into()),
        ("event_types", json(&kinds).into()),
        ("schemas", list(&interest.schemas).into()),
        ("task_types", list(&interest.task_types).into()),
        ("states", interest.states.as_ref().map(json).into()),
        ("description", endpoint.description.clone().into()),
        (NAMES, Some(&treatment.headers).filter(|h| !h.is_empty()).map(json).into()),
        (RATE, treatment.rate.map(|rate| rate.to_string()).into()),
        ("concurrency", treatment.concurrency.map(|most| most as i32).into()),
        ("timeout_ms", treatment.timeout.map(|timeout| timeout.as_millis() as i64).into()),
    ]
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("lists of texts are JSON")
}

/// Registers an endpoint with its first secret, and the values of its own headers.
pub async fn create(
    db: &Db,
    endpoint: &Endpoint,
    secret: &NewSecret,
    headers: Option<&NewSecret>,
) -> Result<()> {
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
    secrets::put_headers(engine, &transaction, endpoint.id, headers).await?;
    bump_registry(engine, &transaction).await?;
    Ok(transaction.commit().await?)
}

/// Changes what the owner chose of a registered endpoint, in these columns alone, so that of two changes at once
/// of different things both are made; `false` if there is none.
///
/// Another URL is another receiver: one that had been disabled takes deliveries again, and nothing is known
/// against it. Another rate begins at once. `headers` are the values of its own, if it says something of them.
pub async fn update(
    db: &Db,
    endpoint: &Endpoint,
    said: &[&str],
    headers: Option<&NewSecret>,
) -> Result<bool> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let row = Sql::new(
        engine,
        "SELECT url, status FROM endpoints WHERE origin = 'registered' AND status <> 'removed' AND id = ",
    )
    .bind(endpoint.id)
    .push(" {locked}")
    .one(&transaction)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let mut sql = Sql::new(engine, "UPDATE endpoints SET updated_at = {now}");
    for (name, value) in chosen(endpoint).into_iter().filter(|(name, _)| said.contains(name)) {
        sql = sql.push(", ").push(name).push(" = ").bind(value);
    }
    if said.contains(&RATE) {
        sql = sql.push(", rate_due = 0");
    }
    let former: String = row.get(URL)?;
    let moves = said.contains(&URL) && former != endpoint.hook.url;
    // At another origin, headers that were not said for it are another's.
    let leaves = moves && !said.contains(&NAMES) && url::origin(&former) != url::origin(&endpoint.hook.url);
    if leaves {
        sql = sql.push(", ").push(NAMES).push(" = NULL");
    }
    if moves {
        sql = sql.push(", ").push(FORGET);
        if row.get::<String>("status")? == EndpointStatus::Disabled.as_str() {
            sql = sql.push(", status_reason = NULL, status = ").bind(EndpointStatus::Active.as_str());
        }
    }
    sql.push(" WHERE id = ").bind(endpoint.id).execute(&transaction).await?;
    if said.contains(&NAMES) || leaves {
        secrets::put_headers(engine, &transaction, endpoint.id, headers).await?;
    }
    if moves {
        deliveries::hasten(engine, &transaction, endpoint.id).await?;
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

/// Lets an endpoint that was paused or disabled, or whose breaker is open, take deliveries again, at once;
/// nothing is known against it. `false` if it is none of these.
pub async fn resume(
    db: &Db,
    registry: &Registry,
    endpoint: &Endpoint,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool> {
    let change = Change {
        from: &[EndpointStatus::Paused, EndpointStatus::Disabled, EndpointStatus::Active],
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
    let row = Sql::new(engine, "SELECT status, failing_since, open_until FROM endpoints WHERE id = ")
        .bind(endpoint.id)
        .push(" {locked}")
        .one(&transaction)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let status: String = row.get("status")?;
    if !EndpointStatus::parse(&status).is_some_and(|status| change.from.contains(&status)) {
        return Ok(false);
    }
    // Of one that is active already, an open breaker is closed.
    let open = row.get::<Option<i64>>("open_until")?;
    if change.to == EndpointStatus::Active && status == EndpointStatus::Active.as_str() && open.is_none() {
        return Ok(false);
    }
    let failing = row.get::<Option<i64>>("failing_since")?.map(Timestamp::from_micros);
    let mut sql = Sql::new(engine, "UPDATE endpoints SET updated_at = {now}, status = ")
        .bind(change.to.as_str())
        .push(", status_reason = ")
        .bind(change.message.map(str::to_owned));
    if change.to == EndpointStatus::Active {
        sql = sql.push(", ").push(FORGET);
    }
    sql.push(" WHERE id = ").bind(endpoint.id).execute(&transaction).await?;
    if change.to == EndpointStatus::Active {
        deliveries::hasten(engine, &transaction, endpoint.id).await?;
    }
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
pub(super) async fn tell(
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
/// First it is closed, in a transaction that moves the registry's number: nothing is made for it from then on,
/// by any job either, and nothing goes out. Then what waits is withdrawn, piece by piece. Its row goes when
/// what is under way is settled, and whatever interrupts this, [`super::sweep`] finishes it.
pub async fn remove(db: &Db, id: Uuid) -> Result<Option<u64>> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let closed = Sql::new(engine, "UPDATE endpoints SET updated_at = {now}, status = ")
        .bind(EndpointStatus::Removed.as_str())
        .push(" WHERE status <> ")
        .bind(EndpointStatus::Removed.as_str())
        .push(" AND origin = ")
        .bind(Origin::Registered.as_str())
        .push(" AND id = ")
        .bind(id)
        .execute(&transaction)
        .await?;
    if closed == 0 {
        return Ok(None);
    }
    // Endpoints before jobs, as where one is made or takes a step.
    Sql::new(engine, "UPDATE replays SET status = 'cancelled', finished_at = {now} WHERE status = 'running' AND endpoint_id = ")
        .bind(id)
        .execute(&transaction)
        .await?;
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    Ok(Some(super::ending::finish_removal(db, id).await?))
}
