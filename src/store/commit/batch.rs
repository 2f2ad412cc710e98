//! One transaction of the group commit.
//!
//! Locks are taken in one order, sorted within each kind: idempotency keys, external ids, tasks,
//! deliveries, the log's head. The head comes last and is released by the commit that follows.

use std::collections::HashMap;
use std::time::Instant;

use sea_orm::{DatabaseTransaction, QueryResult};
use task_inbox_domain::{Task, Timestamp};
use uuid::Uuid;

use super::fold::{ExternalId, Folded, Loaded, NewDelivery, Plan, fold};
use super::member::{CommitError, LogEntry, Member, Operation, Reply};
use super::queue::Context;
use crate::store::deliveries::Leased;
use crate::store::log::{self, Appended, to_hash};
use crate::store::registry::Registry;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};
use crate::store::{Result, StoreError, tasks};

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
    let transaction = context.db.begin().await?;
    let plan = Plan::of(members);
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
            let prepared = Prepared { folded, leased, since };
            // A place was reserved, but an older delivery of the task has not ended.
            for delivery in &prepared.folded.deliveries {
                if delivery.lease_token.is_some() && !prepared.leased.contains_key(&delivery.id) {
                    context.hooks.release(delivery.endpoint);
                }
            }
            match transaction.commit().await {
                Ok(()) => Ok(prepared.done(first_seq)),
                Err(error) => Err(Failed::InCommit(error.into(), Box::new(prepared))),
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

const IDEMPOTENCY: &[Column] = &[
    ("key_hash", Ty::Bytes, Null::Never),
    ("body_hash", Ty::Bytes, Null::Never),
    ("schema_name", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
    ("created", Ty::Bool, Null::Never),
    ("answer", Ty::Text, Null::Never),
    ("expires_at", Ty::Int, Null::Never),
];

const EXTERNAL: &[Column] = &[
    ("schema_name", Ty::Text, Null::Never),
    ("external_id", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
    ("content_hash", Ty::Bytes, Null::Never),
];

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
        lock_idempotency(context, registry, transaction, members, plan, &mut loaded).await?;
    }
    let mut bearers = Vec::new();
    if !plan.external.is_empty() {
        bearers = lock_external(context, transaction, members, plan, &mut loaded).await?;
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

/// Makes the rows of new keys, which holds off other replicas, and reads those that were there.
async fn lock_idempotency(
    context: &Context,
    registry: &Registry,
    transaction: &DatabaseTransaction,
    members: &[&Member],
    plan: &Plan,
    loaded: &mut Loaded,
) -> Result<()> {
    let engine = context.db.engine();
    let mut rows = Rows::new(IDEMPOTENCY);
    for (key_hash, member) in &plan.idempotency {
        let member = members[*member];
        let body_hash = member.idempotency.as_ref().map(|i| i.body_hash).unwrap_or_default();
        let (schema, task) = match &member.operation {
            Operation::Create(c) => (c.task.schema.as_str(), c.task.id),
            Operation::Decide(d) => (d.ttype.version.schema.name.as_str(), d.task_id),
        };
        rows.push(vec![
            key_hash.to_vec().into(),
            body_hash.to_vec().into(),
            schema.into(),
            task.into(),
            false.into(),
            "{}".into(),
            i64::MAX.into(),
        ]);
    }
    // A key whose time is over is taken as new.
    let suffix = "ON CONFLICT (key_hash) DO UPDATE SET body_hash = excluded.body_hash,
            schema_name = excluded.schema_name, task_id = excluded.task_id, created = excluded.created,
            answer = excluded.answer, expires_at = excluded.expires_at
        WHERE idempotency_keys.expires_at <= {now} RETURNING key_hash";
    let made = rows.insert(engine, transaction, "idempotency_keys", suffix).await?;
    if made.len() == plan.idempotency.len() {
        return Ok(());
    }
    let mut kept: Vec<_> = plan.idempotency.keys().collect();
    for row in &made {
        let made = to_hash(row.get("key_hash")?)?;
        kept.retain(|k| **k != made);
    }
    let sql = Sql::new(engine, "SELECT key_hash, body_hash, created, answer FROM idempotency_keys WHERE key_hash")
        .any(Ty::Bytes, kept.into_iter().map(|k| k.to_vec().into()).collect());
    for row in sql.all(transaction).await? {
        let key_hash = to_hash(row.get("key_hash")?)?;
        let mut task: Task = serde_json::from_str(&row.get::<String>("answer")?)
            .map_err(|e| StoreError::Corrupt(format!("idempotency_keys.answer: {e}")))?;
        if let Some(ttype) = registry.type_by_id(task.ttype_id) {
            task.ttype.clone_from(&ttype.ttype().name);
        }
        let decides = plan
            .idempotency
            .get(&key_hash)
            .is_some_and(|m| matches!(members[*m].operation, Operation::Decide(_)));
        let reply = match (decides, row.get::<bool>("created")?) {
            (true, _) => Reply::Decided(task),
            (false, true) => Reply::Created(task),
            (false, false) => Reply::Existing(task),
        };
        loaded.answers.insert(key_hash, (to_hash(row.get("body_hash")?)?, reply));
    }
    Ok(())
}

/// Binds external ids to the tasks that are being posted; returns the ids of tasks that bear one
/// already.
async fn lock_external(
    context: &Context,
    transaction: &DatabaseTransaction,
    members: &[&Member],
    plan: &Plan,
    loaded: &mut Loaded,
) -> Result<Vec<Uuid>> {
    let engine = context.db.engine();
    let mut rows = Rows::new(EXTERNAL);
    for ((schema, external_id), member) in &plan.external {
        if let Operation::Create(create) = &members[*member].operation {
            rows.push(vec![
                schema.as_str().into(),
                external_id.as_str().into(),
                create.task.id.into(),
                create.content_hash.to_vec().into(),
            ]);
        }
    }
    let asked = rows.clone();
    let suffix = "ON CONFLICT (schema_name, external_id) DO NOTHING RETURNING task_id";
    let made = rows.insert(engine, transaction, "external_ids", suffix).await?;
    if made.len() == asked.len() {
        return Ok(Vec::new());
    }
    let found = asked
        .run(engine, transaction, |sql, rows| {
            let sql = sql.push(
                "SELECT x.schema_name, x.external_id, x.task_id, x.content_hash FROM external_ids x JOIN ",
            );
            rows.table(sql).push(
                " AS r ON r.schema_name = x.schema_name AND r.external_id = x.external_id
                    AND r.task_id <> x.task_id",
            )
        })
        .await?;
    let mut bearers = Vec::new();
    for row in found {
        let id: ExternalId = (row.get("schema_name")?, row.get("external_id")?);
        let task: Uuid = row.get("task_id")?;
        loaded.external.insert(id, (to_hash(row.get("content_hash")?)?, task));
        bearers.push(task);
    }
    Ok(bearers)
}

/// Writes what was folded; returns the leases and the first event's number, or nothing if the
/// registry has moved.
async fn write(
    context: &Context,
    registry: &Registry,
    transaction: &DatabaseTransaction,
    folded: &Folded,
    members: &[&Member],
    plan: &Plan,
) -> Result<Option<(HashMap<Uuid, Uuid>, i64)>> {
    let engine = context.db.engine();
    finish_keys(context, transaction, folded, members, plan).await?;
    let mut rows = Rows::new(tasks::COLUMNS);
    folded.created.iter().for_each(|task| rows.push(tasks::values(task)));
    rows.insert(engine, transaction, "tasks", "").await?;

    let mut rows = Rows::new(tasks::CHANGED);
    folded.changed.values().for_each(|task| rows.push(tasks::changed_values(task)));
    rows.run(engine, transaction, |sql, rows| {
        let sql = sql.push(
            "UPDATE tasks AS t SET updated_at = r.updated_at, state = r.state, resolved = r.resolved,
                phase = r.phase, output = r.output, version = r.version, decided_by = r.decided_by,
                decided_at = r.decided_at FROM ",
        );
        rows.table(sql).push(" AS r WHERE t.id = r.id")
    })
    .await?;

    let leased = insert_deliveries(context, transaction, &folded.deliveries, &folded.entries).await?;
    if folded.entries.is_empty() {
        return Ok(Some((leased, 0)));
    }
    match log::append(engine, transaction, &folded.entries, Some(registry.number)).await? {
        Appended::From(seq) => Ok(Some((leased, seq))),
        Appended::RegistryMoved => Ok(None),
    }
}

const ANSWERS: &[Column] = &[
    ("key_hash", Ty::Bytes, Null::Never),
    ("body_hash", Ty::Bytes, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
    ("created", Ty::Bool, Null::Never),
    ("answer", Ty::Text, Null::Never),
];

/// Keeps the answers under the keys that were made, and removes keys and names that a refused
/// member leaves unused.
async fn finish_keys(
    context: &Context,
    transaction: &DatabaseTransaction,
    folded: &Folded,
    members: &[&Member],
    plan: &Plan,
) -> Result<()> {
    let engine = context.db.engine();
    let mut rows = Rows::new(ANSWERS);
    let ttl = context.settings.idempotency_ttl.as_micros() as i64;
    for (key_hash, (body_hash, reply)) in &folded.answers {
        let answer = serde_json::to_string(reply.task())
            .map_err(|e| StoreError::Corrupt(format!("a task can't be written as JSON: {e}")))?;
        rows.push(vec![
            key_hash.to_vec().into(),
            body_hash.to_vec().into(),
            reply.task().id.into(),
            matches!(reply, Reply::Created(_)).into(),
            answer.into(),
        ]);
    }
    rows.run(engine, transaction, |sql, rows| {
        let sql = sql.push(
            "UPDATE idempotency_keys AS k SET body_hash = r.body_hash, task_id = r.task_id,
                created = r.created, answer = r.answer, expires_at = {now} + ",
        );
        let sql = sql.bind(ttl).push(" FROM ");
        rows.table(sql).push(" AS r WHERE k.key_hash = r.key_hash")
    })
    .await?;
    if plan.idempotency.keys().any(|key| !folded.answers.contains_key(key)) {
        // Rows that were there before have an end; the ones just made and not answered have none.
        let keys = plan.idempotency.keys().map(|k| k.to_vec().into()).collect();
        Sql::new(engine, "DELETE FROM idempotency_keys WHERE expires_at = ")
            .bind(i64::MAX)
            .push(" AND key_hash")
            .any(Ty::Bytes, keys)
            .execute(transaction)
            .await?;
    }
    let mut unused = Rows::new(EXTERNAL);
    let mut rebound = Rows::new(EXTERNAL);
    for (id, member) in &plan.external {
        let Operation::Create(first) = &members[*member].operation else { continue };
        let row = |task: Uuid, content: &[u8]| {
            vec![id.0.as_str().into(), id.1.as_str().into(), task.into(), content.to_vec().into()]
        };
        match folded.bound.get(id) {
            // The row was made for the first member that brought the name; where that one was
            // answered from its key, a later one may have bound it.
            Some(task) if *task != first.task.id => {
                let content = members.iter().find_map(|m| match &m.operation {
                    Operation::Create(c) if c.task.id == *task => Some(c.content_hash),
                    _ => None,
                });
                rebound.push(row(*task, &content.unwrap_or_default()));
            }
            Some(_) => {}
            None => unused.push(row(first.task.id, &first.content_hash)),
        }
    }
    unused
        .run(engine, transaction, |sql, rows| {
            let sql = sql.push(
                "DELETE FROM external_ids WHERE (schema_name, external_id, task_id) IN
                    (SELECT r.schema_name, r.external_id, r.task_id FROM ",
            );
            rows.table(sql).push(" AS r)")
        })
        .await?;
    rebound
        .run(engine, transaction, |sql, rows| {
            let sql = sql.push("UPDATE external_ids AS x SET task_id = r.task_id, content_hash = r.content_hash FROM ");
            rows.table(sql).push(" AS r WHERE x.schema_name = r.schema_name AND x.external_id = r.external_id")
        })
        .await?;
    Ok(())
}

const DELIVERIES: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("schema_name", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Maybe),
    ("version", Ty::Int, Null::Maybe),
    ("lease_token", Ty::Uuid, Null::Maybe),
];

/// Inserts deliveries, leased where that was asked for and no older one of the task is live.
async fn insert_deliveries(
    context: &Context,
    transaction: &DatabaseTransaction,
    deliveries: &[NewDelivery],
    entries: &[LogEntry],
) -> Result<HashMap<Uuid, Uuid>> {
    let mut rows = Rows::new(DELIVERIES);
    for delivery in deliveries {
        let event = &entries[delivery.entry].event;
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
    let lease = context.settings.lease.as_micros() as i64;
    let inserted = rows
        .run(context.db.engine(), transaction, |sql, rows| {
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
            rows.table(sql).push(" AS r) AS r WHERE true RETURNING id, lease_token")
        })
        .await?;
    let mut leased = HashMap::new();
    for row in inserted {
        if let Some(token) = row.get::<Option<Uuid>>("lease_token")? {
            leased.insert(row.get("id")?, token);
        }
    }
    Ok(leased)
}
