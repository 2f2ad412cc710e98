//! One transaction of the group commit.
//!
//! Locks are taken in one order, sorted within each kind: idempotency keys, external ids, merge keys,
//! tasks, the log's head. The head comes last and is released by the commit that follows.
//!
//! On PostgreSQL everything is written by one statement, so that the head is held for no round trip but
//! the commit's. Where no key's row must be made or found before, that statement is the whole transaction:
//! decisions are taken on the tasks as their requests have read them, and the statement writes only if
//! they still stand so. If one was overtaken, the batch is run again, on what it reads under locks. SQLite's
//! transaction is two texts there: one that begins it and reads, one that writes and commits.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use sea_orm::{DatabaseTransaction, QueryResult};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::fold::{Folded, Loaded, NewDelivery, Plan, fold};
use super::keys;
use super::member::{CommitError, Member, Reply};
use super::merge;
use super::queue::Context;
use super::write::{Written, leased, write, write_postgres, write_sqlite};
use crate::store::deliveries::Leased;
use crate::store::log::{self, Append};
use crate::store::registry::Registry;
use crate::store::sql::Sql;
use crate::store::{Engine, Result, StoreError, sqlite, tasks};

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
                    probe: false,
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
    if !plan.has_keys() {
        match context.db.engine() {
            Engine::Sqlite => return run_in_two(context, registry, members, &plan, since).await,
            Engine::Postgres => {
                if let Some(done) = run_alone(context, registry, members, since).await? {
                    return Ok(done);
                }
                if plan.tasks.is_empty() {
                    return Err(Failed::RegistryMoved);
                }
                tracing::debug!(
                    members = members.len(),
                    "a decision was overtaken, or the registry has moved"
                );
            }
        }
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
    let written = write_postgres(context, append, context.db.write(), &folded).await;
    finish(context, folded, written, since)
}

/// Runs members without keys as a transaction of SQLite's, which nobody else can be in.
async fn run_in_two(
    context: &Context,
    registry: &Registry,
    members: &[&Member],
    plan: &Plan,
    since: Instant,
) -> std::result::Result<Done, Failed> {
    let reads = |sql: Sql| {
        let sql = sql.push(log::HEAD);
        if plan.tasks.is_empty() { sql } else { locked_tasks(sql.push("; "), &plan.tasks) }
    };
    let fold = |loaded| {
        let now = Timestamp::from(chrono::Utc::now());
        fold(members, loaded, registry, context.hooks.as_ref(), now)
    };
    let begin = async {
        let (transaction, rows) = sqlite::Transaction::begin(&context.db, reads).await?;
        let head = log::head_in(rows.first())?;
        if head.registry == registry.number {
            return Ok((transaction, rows, head));
        }
        transaction.rollback().await?;
        Err(Failed::RegistryMoved)
    };
    // New tasks need nothing that is read: they are folded while the driver begins.
    let (transaction, early) =
        tokio::join!(begin, async { plan.tasks.is_empty().then(|| fold(Loaded::default())) });
    let (transaction, rows, head) = match transaction {
        Ok(opened) => opened,
        Err(failed) => {
            release(&early.unwrap_or_default().deliveries, context);
            return Err(failed);
        }
    };
    let folded = if let Some(folded) = early {
        folded
    } else {
        let mut loaded = Loaded::default();
        load_tasks(&rows[1..], &mut loaded)?;
        fold(loaded)
    };
    if !folded.writes() {
        transaction.rollback().await?;
        return Ok(Done { outcomes: folded.outcomes, ..Done::default() });
    }
    let writes = write_sqlite(context, Sql::new(Engine::Sqlite, ""), &folded, &head);
    let written = match transaction.commit(writes).await {
        Ok(rows) => {
            leased(&rows).map(|leased| Some((leased, head.seq + 1))).map_err(StoreError::after_commit)
        }
        Err(error) => Err(error),
    };
    finish(context, folded, written, since)?.ok_or(Failed::RegistryMoved)
}

/// What became of a batch whose last text was its commit, too.
fn finish(
    context: &Context,
    folded: Folded,
    written: Result<Written>,
    since: Instant,
) -> std::result::Result<Option<Done>, Failed> {
    match written {
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
    let mut changing = plan.tasks.clone();
    if !plan.merges.is_empty() {
        loaded.holders = merge::lock(context, transaction, members, plan).await?;
        changing.extend(loaded.holders.values().filter_map(|holder| holder.task));
    }
    let engine = context.db.engine();
    if !changing.is_empty() {
        let sql = locked_tasks(Sql::new(engine, ""), &changing);
        load_tasks(&sql.all(transaction).await?, &mut loaded)?;
    }
    bearers.retain(|bearer| !changing.contains(bearer));
    if !bearers.is_empty() {
        let sql = Sql::new(engine, tasks::SELECT).push(" WHERE id").any_id(bearers);
        load_tasks(&sql.all(transaction).await?, &mut loaded)?;
    }
    Ok(loaded)
}

/// Adds the statement that locks the tasks that are changed and reads them.
fn locked_tasks(sql: Sql, ids: &BTreeSet<Uuid>) -> Sql {
    sql.push(tasks::SELECT).push(" WHERE id").any_id(ids.iter().copied()).push(" ORDER BY id {locked}")
}

fn load_tasks(rows: &[QueryResult], loaded: &mut Loaded) -> Result<()> {
    for row in rows {
        let task = tasks::from_row(row)?;
        loaded.tasks.insert(task.id, task);
    }
    Ok(())
}
