//! One transaction of the group commit.
//!
//! Locks are taken in one order, sorted within each kind: idempotency keys, external ids, tasks, the
//! log's head. The head comes last and is released by the commit that follows.
//!
//! On PostgreSQL everything is written by one statement, so that the head is held for no round trip but
//! the commit's. Where no key's row must be made or found before, that statement is the whole transaction:
//! decisions are taken on the tasks as their requests have read them, and the statement writes only if
//! they still stand so. If one was overtaken, the batch is run again, on what it reads under locks.

use std::collections::HashMap;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::fold::{Folded, Loaded, NewDelivery, Plan, fold};
use super::keys;
use super::member::{CommitError, Member, Reply};
use super::queue::Context;
use crate::store::deliveries::Leased;
use crate::store::log::{self, Append, Appended};
use crate::store::registry::Registry;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};
use crate::store::{Engine, Result, StoreError, tasks};

/// What a committed batch leaves to do.
#[derive(Default)]
pub(super) struct Done {
    /// One for each member, in order.
    pub(super) outcomes: Vec<std::result::Result<Reply, CommitError>>,
    /// Deliveries that this process holds leases of.
    pub(super) leased: Vec<Leased>,
    /// Whether events were appended.
    pub(super) events: bool,
    /// Whether deliveries were made that nobody has leased.
    pub(super) waiting: bool,
}

/// How a batch failed.
pub(super) enum Failed {
    /// Before the commit was sent: nothing was written.
    Before(StoreError),
    /// The registry is not the one that the members were prepared under; nothing was written.
    RegistryMoved,
    /// While the commit was under way: it may have been done.
    InCommit(StoreError, Box<Prepared>),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Before(error)
    }
}

/// A batch whose statements have all run, just before or in its commit.
pub(super) struct Prepared {
    folded: Folded,
    /// Deliveries that the database leased to us: id and token.
    leased: HashMap<Uuid, Uuid>,
    /// A moment before the leases began.
    since: Instant,
}

impl Prepared {
    fn new(folded: Folded, leased: HashMap<Uuid, Uuid>, since: Instant, context: &Context) -> Self {
        let mut prepared = Self { folded, leased, since };
        // A place was reserved, but an older delivery of the task has not ended.
        for delivery in &mut prepared.folded.deliveries {
            if delivery.lease_token.is_some() && !prepared.leased.contains_key(&delivery.id) {
                delivery.lease_token = None;
                context.hooks.release(delivery.endpoint);
            }
        }
        prepared
    }

    /// The ids of the events that the batch appends.
    pub(super) fn event_ids(&self) -> Vec<Uuid> {
        self.folded.entries.iter().map(|e| e.event.id).collect()
    }

    /// What is left to do once the events are known to have these numbers.
    pub(super) fn done(self, first_seq: i64) -> Done {
        let Self { folded, leased, since } = self;
        let deliveries = &folded.deliveries;
        let waiting = deliveries.len() > leased.len();
        let leased = deliveries
            .iter()
            .filter_map(|d| {
                leased.get(&d.id).map(|token| Leased {
                    id: d.id,
                    endpoint: d.endpoint,
                    token: *token,
                    attempts: 0,
                    seq: first_seq + d.entry as i64,
                    event: folded.entries[d.entry].event.clone(),
                    since,
                })
            })
            .collect();
        Done { outcomes: folded.outcomes, leased, events: !folded.entries.is_empty(), waiting }
    }

    /// Gives back the places that were reserved for deliveries.
    pub(super) fn release(&self, context: &Context) {
        release(&self.folded.deliveries, context);
    }
}

fn release(deliveries: &[NewDelivery], context: &Context) {
    for delivery in deliveries.iter().filter(|d| d.lease_token.is_some()) {
        context.hooks.release(delivery.endpoint);
    }
}

/// Runs the members as one transaction.
pub(super) async fn run(
    context: &Context,
    registry: &Registry,
    members: &[&Member],
) -> std::result::Result<Done, Failed> {
    let since = Instant::now();
    let plan = Plan::of(members);
    if context.db.engine() == Engine::Postgres && !plan.has_keys() {
        if let Some(done) = run_alone(context, registry, members, since).await? {
            return Ok(done);
        }
        if plan.tasks.is_empty() {
            return Err(Failed::RegistryMoved);
        }
        tracing::debug!(members = members.len(), "a decision was overtaken, or the registry has moved");
    }
    let transaction = context.db.begin().await?;
    let loaded = lock(context, registry, &transaction, members, &plan).await?;
    let now = Timestamp::from(chrono::Utc::now());
    let folded = fold(members, loaded, registry, context.hooks.as_ref(), now);
    if !folded.writes() {
        // Placeholders of keys go with the rollback.
        transaction.rollback().await.map_err(StoreError::from)?;
        return Ok(Done { outcomes: folded.outcomes, ..Done::default() });
    }
    match write(context, registry, &transaction, &folded, members, &plan).await {
        Ok(Some((leased, first_seq))) => {
            let prepared = Prepared::new(folded, leased, since, context);
            match transaction.commit().await.map_err(StoreError::from) {
                Ok(()) => Ok(prepared.done(first_seq)),
                Err(error @ StoreError::Unavailable(_)) => Err(Failed::InCommit(error, Box::new(prepared))),
                // The database itself refused: it is certain that nothing was written.
                Err(error) => {
                    prepared.release(context);
                    Err(Failed::Before(error))
                }
            }
        }
        Ok(None) => {
            release(&folded.deliveries, context);
            let _ = transaction.rollback().await;
            Err(Failed::RegistryMoved)
        }
        Err(error) => {
            release(&folded.deliveries, context);
            let _ = transaction.rollback().await;
            Err(Failed::Before(error))
        }
    }
}

/// Runs members without keys on the tasks that they have seen: one statement, which is its own transaction.
/// Nothing is done if the registry or one of the tasks that change has moved since.
async fn run_alone(
    context: &Context,
    registry: &Registry,
    members: &[&Member],
    since: Instant,
) -> std::result::Result<Option<Done>, Failed> {
    let now = Timestamp::from(chrono::Utc::now());
    let loaded = Loaded::seen_by(members);
    let versions = loaded.versions();
    let folded = fold(members, loaded, registry, context.hooks.as_ref(), now);
    if !folded.writes() {
        return Ok(Some(Done { outcomes: folded.outcomes, ..Done::default() }));
    }
    let seen = folded.changed.keys().filter_map(|id| Some((*id, *versions.get(id)?)));
    let append = Append::new(&folded.entries, Some(registry.number)).while_still(seen);
    match write_postgres(context, append, context.db.write(), &folded).await {
        Ok(Some((leased, first_seq))) => {
            Ok(Some(Prepared::new(folded, leased, since, context).done(first_seq)))
        }
        Ok(None) => {
            release(&folded.deliveries, context);
            Ok(None)
        }
        // It may have been done. Nothing older of a new task is live, so that its delivery was leased as it
        // was asked for; whether a decision's was is not known, and the lease, if there is one, runs out.
        Err(error @ StoreError::Unavailable(_)) => {
            let first = |d: &&NewDelivery| folded.entries[d.entry].event.version == Some(1);
            let leased = folded.deliveries.iter().filter(first);
            let leased = leased.filter_map(|d| Some((d.id, d.lease_token?))).collect();
            Err(Failed::InCommit(error, Box::new(Prepared::new(folded, leased, since, context))))
        }
        Err(error) => {
            release(&folded.deliveries, context);
            Err(Failed::Before(error))
        }
    }
}

/// Locks what the members need and reads it.
async fn lock(
    context: &Context,
    registry: &Registry,
    transaction: &DatabaseTransaction,
    members: &[&Member],
    plan: &Plan,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    if !plan.idempotency.is_empty() {
        keys::lock_idempotency(context, registry, transaction, members, plan, &mut loaded).await?;
    }
    let mut bearers = Vec::new();
    if !plan.external.is_empty() {
        bearers = keys::lock_external(context, transaction, members, plan, &mut loaded).await?;
    }
    let engine = context.db.engine();
    if !plan.tasks.is_empty() {
        let ids: Vec<Uuid> = plan.tasks.iter().copied().collect();
        let sql = Sql::new(engine, tasks::SELECT).push(" WHERE id").any_id(ids).push(" ORDER BY id {locked}");
        load_tasks(&sql.all(transaction).await?, &mut loaded)?;
    }
    if !bearers.is_empty() {
        let sql = Sql::new(engine, tasks::SELECT).push(" WHERE id").any_id(bearers);
        load_tasks(&sql.all(transaction).await?, &mut loaded)?;
    }
    Ok(loaded)
}

fn load_tasks(rows: &[QueryResult], loaded: &mut Loaded) -> Result<()> {
    for row in rows {
        let task = tasks::from_row(row)?;
        loaded.tasks.insert(task.id, task);
    }
    Ok(())
}

/// The leases that were taken, by delivery, and the first event's number; nothing if the registry has
/// moved.
type Written = Option<(HashMap<Uuid, Uuid>, i64)>;

/// Writes what was folded.
async fn write(
    context: &Context,
    registry: &Registry,
    transaction: &DatabaseTransaction,
    folded: &Folded,
    members: &[&Member],
    plan: &Plan,
) -> Result<Written> {
    keys::finish(context, transaction, folded, members, plan).await?;
    if folded.entries.is_empty() {
        return Ok(Some((HashMap::new(), 0)));
    }
    match context.db.engine() {
        Engine::Postgres => {
            let append = Append::new(&folded.entries, Some(registry.number));
            write_postgres(context, append, transaction, folded).await
        }
        Engine::Sqlite => write_sqlite(context, registry, transaction, folded).await,
    }
}

/// One statement: what it writes is joined with the head, so that nothing is written without it.
async fn write_postgres(
    context: &Context,
    append: Append,
    db: &impl ConnectionTrait,
    folded: &Folded,
) -> Result<Written> {
    let mut sql = append.with_head(Sql::new(Engine::Postgres, ""));
    if !folded.created.is_empty() {
        let rows = created(folded);
        let names = rows.names();
        sql = sql.push(&format!(", created AS (INSERT INTO tasks ({names}) SELECT {names} FROM head, "));
        sql = rows.table(sql).push(" AS r)");
    }
    if !folded.changed.is_empty() {
        sql = sql.push(", changed AS (").push(CHANGE).push("head, ");
        sql = changed(folded).table(sql).push(" AS r WHERE t.id = r.id)");
    }
    let delivers = !folded.deliveries.is_empty();
    if delivers {
        sql = deliver(context, sql.push(", delivered AS ("), deliveries(folded))
            .push(", head RETURNING id, lease_token)");
    }
    sql = sql.push(if delivers {
        " SELECT base, d.id, d.lease_token FROM head LEFT JOIN delivered d ON true"
    } else {
        " SELECT base FROM head"
    });
    let rows = sql.all(db).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let leased = if delivers { leased(&rows)? } else { HashMap::new() };
    Ok(Some((leased, first.get::<i64>("base")? + 1)))
}

/// In the transaction that nobody else can have.
async fn write_sqlite(
    context: &Context,
    registry: &Registry,
    transaction: &DatabaseTransaction,
    folded: &Folded,
) -> Result<Written> {
    created(folded).insert(Engine::Sqlite, transaction, "tasks", "").await?;
    let change = |sql: Sql, rows: Rows| rows.table(sql.push(CHANGE)).push(" AS r WHERE t.id = r.id");
    changed(folded).run(Engine::Sqlite, transaction, change).await?;
    let insert =
        |sql: Sql, rows: Rows| deliver(context, sql, rows).push(" WHERE true RETURNING id, lease_token");
    let leased = leased(&deliveries(folded).run(Engine::Sqlite, transaction, insert).await?)?;
    match log::append(Engine::Sqlite, transaction, Append::new(&folded.entries, Some(registry.number)))
        .await?
    {
        Appended::From(seq) => Ok(Some((leased, seq))),
        Appended::RegistryMoved => Ok(None),
    }
}

fn created(folded: &Folded) -> Rows {
    let mut rows = Rows::new(tasks::COLUMNS);
    folded.created.iter().for_each(|task| rows.push(tasks::values(task)));
    rows
}

fn changed(folded: &Folded) -> Rows {
    let mut rows = Rows::new(tasks::CHANGED);
    folded.changed.values().for_each(|task| rows.push(tasks::changed_values(task)));
    rows
}

/// Changes tasks to what rows `r` say, which follow.
const CHANGE: &str =
    "UPDATE tasks AS t SET updated_at = r.updated_at, state = r.state, resolved = r.resolved,
        phase = r.phase, output = r.output, version = r.version, decided_by = r.decided_by,
        decided_at = r.decided_at FROM ";

const DELIVERIES: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("schema_name", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Maybe),
    ("version", Ty::Int, Null::Maybe),
    ("lease_token", Ty::Uuid, Null::Maybe),
];

fn deliveries(folded: &Folded) -> Rows {
    let mut rows = Rows::new(DELIVERIES);
    for delivery in &folded.deliveries {
        let event = &folded.entries[delivery.entry].event;
        rows.push(vec![
            delivery.id.into(),
            delivery.endpoint.into(),
            event.id.into(),
            event.schema.as_str().into(),
            event.task_id.into(),
            event.version.into(),
            delivery.lease_token.into(),
        ]);
    }
    rows
}

/// Inserts deliveries, leased where that was asked for and no older one of the task is live. The end of
/// its FROM may be added to.
fn deliver(context: &Context, sql: Sql, rows: Rows) -> Sql {
    let lease = context.settings.lease.as_micros() as i64;
    let sql = sql
        .push(
            "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, task_id, version, attempts,
                due_at, lease_token, created_at)
             SELECT r.id, r.endpoint_id, r.event_id, r.schema_name, r.task_id, r.version, 0,
                {now} + CASE WHEN r.leasable THEN ",
        )
        .bind(lease)
        .push(
            " ELSE 0 END, CASE WHEN r.leasable THEN r.lease_token END, {now}
             FROM (SELECT r.*, r.lease_token IS NOT NULL AND (r.version = 1 OR NOT EXISTS (
                SELECT 1 FROM deliveries d WHERE d.task_id = r.task_id
                    AND d.endpoint_id = r.endpoint_id AND d.version < r.version)) AS leasable FROM ",
        );
    rows.table(sql).push(" AS r) AS r")
}

fn leased(rows: &[QueryResult]) -> Result<HashMap<Uuid, Uuid>> {
    let mut leased = HashMap::new();
    for row in rows {
        if let Some(token) = row.get::<Option<Uuid>>("lease_token")? {
            leased.insert(row.get("id")?, token);
        }
    }
    Ok(leased)
}
