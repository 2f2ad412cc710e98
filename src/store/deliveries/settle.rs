//! Settling: what became of attempts, many in one transaction.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::event::operational::{self, DeadDelivery};
use task_inbox_domain::webhook::breaker::{PATIENCE, RUN, Shown, Turn};
use task_inbox_domain::{Actor, Event, EventType, Timestamp};
use uuid::Uuid;

use super::health::{self, Turned};
use super::order;
use crate::store::commit::LogEntry;
use crate::store::db::{Db, Engine};
use crate::store::error::Result;
use crate::store::log::{self, Append};
use crate::store::registry::{EndpointStatus, Registry};
use crate::store::row::Row;
use crate::store::secrets::bump_registry;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was delivered.
    Delivered,
    /// It is tried again after this long, by the database's clock.
    Retry(Duration),
    /// It is given up, for this reason.
    Dead(&'static str),
}

/// One attempt, made and to be settled.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The delivery.
    pub id: Uuid,
    /// The lease that it was sent under.
    pub token: Uuid,
    /// Where it went.
    pub endpoint: Uuid,
    /// What was sent.
    pub event_id: Uuid,
    /// The event's type.
    pub kind: EventType,
    /// The event's schema.
    pub schema: String,
    /// The event's task.
    pub task_id: Option<Uuid>,
    /// When the event happened.
    pub happened: Timestamp,
    /// The attempt's number, from 1.
    pub number: u32,
    /// When it began, by this process's clock; for people.
    pub started: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What the answer meant: `delivered`, or the kind of failure.
    pub outcome: String,
    /// The answer's status.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response: Vec<u8>,
    /// What becomes of the delivery.
    pub fate: Fate,
    /// Which receiver it was sent to, of those that the endpoint has had.
    pub generation: i64,
    /// What it shows of the endpoint.
    pub shown: Shown,
    /// Whether the endpoint said that it is gone for good.
    pub disables: bool,
    /// Whether it was sent to see if its endpoint works again.
    pub probe: bool,
}

const SETTLED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("lease_token", Ty::Uuid, Null::Never),
    ("number", Ty::Int, Null::Never),
    ("outcome", Ty::Text, Null::Never),
    ("reason", Ty::Text, Null::Maybe),
];

const RETRIED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("lease_token", Ty::Uuid, Null::Never),
    ("number", Ty::Int, Null::Never),
    ("delay", Ty::Int, Null::Never),
];

const ATTEMPTS: &[Column] = &[
    ("delivery_id", Ty::Uuid, Null::Never),
    ("number", Ty::Int, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("lease_token", Ty::Uuid, Null::Never),
    ("started_at", Ty::Int, Null::Never),
    ("duration_us", Ty::Int, Null::Never),
    ("outcome", Ty::Text, Null::Never),
    ("status", Ty::Int, Null::Maybe),
    ("error", Ty::Text, Null::Maybe),
    ("response", Ty::Bytes, Null::Maybe),
];

/// What a settlement did.
#[derive(Debug, Default)]
pub struct Settlement {
    /// The deliveries whose lease still held.
    pub held: Vec<Uuid>,
    /// Endpoints whose breaker opened or that were disabled: what waits for them here waits in vain.
    pub stopped: Vec<Uuid>,
    /// Endpoints whose breaker closed.
    pub recovered: Vec<Uuid>,
    /// Whether an endpoint was disabled: the registry has moved.
    pub disabled: bool,
    /// Whether the log has grown.
    pub events: bool,
}

/// Settles attempts in one transaction.
///
/// A row that bears another token is left alone, and its attempt is not recorded: whoever holds
/// the lease now will say what became of it, and what it shows of its endpoint.
pub async fn settle(db: &Db, registry: &Registry, attempts: &[&Settled]) -> Result<Settlement> {
    let engine = db.engine();
    let mut sorted: Vec<&Settled> = attempts.to_vec();
    sorted.sort_unstable_by_key(|a| a.id);
    let transaction = db.begin().await?;
    // Endpoints before deliveries, as everywhere.
    let known = health::lock(engine, &transaction, &sorted).await?;
    let mut held = HashSet::new();
    finish(engine, &transaction, &sorted, &mut held).await?;
    retry(engine, &transaction, &sorted, &mut held).await?;
    sorted.retain(|a| held.contains(&a.id));
    let turned = health::observe(engine, &transaction, &known, &sorted).await?;
    record(engine, &transaction, &sorted).await?;
    let disabled = disable(engine, &transaction, &ended_for_good(&sorted, &turned)).await?;
    let events = told(registry, &sorted, &turned, &disabled);
    if !events.is_empty() {
        super::address(engine, &transaction, registry, &events).await?;
        let entries: Vec<_> = events.into_iter().map(LogEntry::new).collect();
        log::append(engine, &transaction, Append::new(&entries, None)).await?;
    }
    if !disabled.is_empty() {
        bump_registry(engine, &transaction).await?;
    }
    transaction.commit().await?;
    let of = |turn| turned.iter().filter(move |t| t.turn == turn).map(|t| t.endpoint);
    Ok(Settlement {
        held: sorted.iter().map(|a| a.id).collect(),
        stopped: of(Turn::Opened).chain(disabled.keys().copied()).collect(),
        recovered: of(Turn::Closed).collect(),
        disabled: !disabled.is_empty(),
        events: turned.iter().any(|t| t.turn != Turn::None) || sorted.iter().any(|a| a.dies().is_some()),
    })
}

/// Endpoints that are to be disabled, with why.
type Ended = BTreeMap<Uuid, End>;

#[derive(Clone)]
struct End {
    reason: &'static str,
    message: String,
    /// The receiver that it is about: one that took its place has done nothing.
    generation: i64,
}

fn ended_for_good(held: &[&Settled], turned: &[Turned]) -> Ended {
    let days = PATIENCE.as_secs() / (24 * 60 * 60);
    let failed = turned
        .iter()
        .filter(|t| t.turn == Turn::GaveUp)
        .map(|t| (t.endpoint, t.generation, "failing", format!("every attempt failed for {days} days")));
    let gone = held.iter().filter(|a| a.disables);
    let gone = gone.map(|a| (a.endpoint, a.generation, "gone", "it answered 410 Gone".to_owned()));
    let end = |(id, generation, reason, message)| (id, End { reason, message, generation });
    failed.chain(gone).map(end).collect()
}

/// What operators are told of a settlement.
fn told(registry: &Registry, held: &[&Settled], turned: &[Turned], disabled: &Ended) -> Vec<Event> {
    let now = Timestamp::from(chrono::Utc::now());
    let system = Actor::system();
    let change = |id: Uuid, kind, reason: &str, message: Option<&str>, failing_since| {
        let facts = registry.endpoint(id)?.facts(failing_since);
        Some(operational::endpoint_changed(Uuid::now_v7(), kind, &facts, reason, message, &system, now))
    };
    let breakers = turned.iter().filter_map(|t| match t.turn {
        Turn::Opened => {
            let message = format!("{RUN} attempts in a row failed; it is probed until one succeeds");
            change(t.endpoint, EventType::EndpointPaused, "failing", Some(&message), t.failing_since)
        }
        Turn::Closed => {
            let message = "an attempt succeeded";
            change(t.endpoint, EventType::EndpointRecovered, "succeeded", Some(message), t.failing_since)
        }
        Turn::None | Turn::GaveUp => None,
    });
    let ended = disabled.iter().filter_map(|(id, End { reason, message, .. })| {
        let since = turned.iter().find(|t| t.endpoint == *id).and_then(|t| t.failing_since);
        change(*id, EventType::EndpointDisabled, reason, Some(message), since)
    });
    let dead = held.iter().filter_map(|a| Some(a.death(a.dies()?, now)));
    dead.chain(breakers).chain(ended).collect()
}

impl Settled {
    /// Why the delivery is given up, if it is and anybody is to be told: what becomes of telling operators
    /// something is told to nobody.
    fn dies(&self) -> Option<&'static str> {
        match self.fate {
            Fate::Dead(reason) if !self.kind.is_operational() => Some(reason),
            _ => None,
        }
    }

    fn death(&self, reason: &'static str, now: Timestamp) -> Event {
        let delivery = DeadDelivery {
            id: self.id,
            endpoint_id: self.endpoint,
            event_id: self.event_id,
            event_type: self.kind.as_str(),
            task_id: self.task_id,
            attempts: self.number,
            reason,
            error: self.error.as_ref().map(|e| e.replace('\0', "\u{fffd}")),
        };
        operational::delivery_dead(Uuid::now_v7(), &self.schema, &delivery, now)
    }
}

fn add_ids(rows: &[QueryResult], held: &mut HashSet<Uuid>) -> Result<()> {
    for row in rows {
        held.insert(row.get("id")?);
    }
    Ok(())
}

/// What a delivery that ended is kept as: its own columns, and those of the settlement, `r`.
const FINISHED: &str = "INSERT INTO finished_deliveries (id, endpoint_id, event_id, schema_name, task_id, version,
        attempts, outcome, reason, created_at, finished_at, is_resend)
     SELECT d.id, d.endpoint_id, d.event_id, d.schema_name, d.task_id, d.version, d.number, d.outcome, d.reason,
        d.created_at, {now}, d.is_resend FROM ";

/// Moves ended deliveries out of the hot table, where their lease still holds.
///
/// Only the holder of a lease settles, and a claim passes over locked rows: nobody waits here for
/// rows that it holds in another order, so that none need be locked beforehand.
async fn finish(
    engine: Engine,
    db: &impl ConnectionTrait,
    attempts: &[&Settled],
    held: &mut HashSet<Uuid>,
) -> Result<()> {
    let mut rows = Rows::new(SETTLED);
    for attempt in attempts {
        let (outcome, reason) = match &attempt.fate {
            Fate::Delivered => ("delivered", None),
            Fate::Dead(reason) => ("dead", Some(*reason)),
            Fate::Retry(_) => continue,
        };
        rows.push(vec![
            attempt.id.into(),
            attempt.token.into(),
            i64::from(attempt.number).into(),
            outcome.into(),
            reason.map(str::to_owned).into(),
        ]);
    }
    let ended = rows.clone();
    let finished = match engine {
        Engine::Postgres => {
            rows.run(engine, db, |sql, rows| {
                let only = rows.clone();
                let sql = rows.table(sql.push("WITH d AS (DELETE FROM deliveries AS d USING "));
                let sql = sql.push(" AS r WHERE d.id = r.id AND d.lease_token = r.lease_token");
                only.only(sql, "d.id", "id").push(" RETURNING d.*, r.number, r.outcome, r.reason) ")
                    .push(FINISHED)
                    .push("d RETURNING id, endpoint_id, task_id, version")
            })
            .await?
        }
        Engine::Sqlite => {
            rows.run(engine, db, |sql, rows| {
                let sql = sql.push(FINISHED).push("(SELECT d.*, r.number, r.outcome, r.reason FROM deliveries AS d JOIN ");
                rows.table(sql)
                    .push(" AS r ON r.id = d.id AND r.lease_token = d.lease_token) AS d WHERE true RETURNING id, endpoint_id, task_id, version")
            })
            .await?
        }
    };
    if engine == Engine::Sqlite {
        ended
            .run(engine, db, |sql, rows| {
                let sql = sql.push(
                    "DELETE FROM deliveries WHERE (id, lease_token) IN (SELECT r.id, r.lease_token FROM ",
                );
                rows.table(sql).push(" AS r)")
            })
            .await?;
    }
    order::advance(engine, db, &finished).await?;
    add_ids(&finished, held)
}

/// Sets the time of the next attempt, where the lease still holds.
async fn retry(
    engine: Engine,
    db: &impl ConnectionTrait,
    attempts: &[&Settled],
    held: &mut HashSet<Uuid>,
) -> Result<()> {
    let mut rows = Rows::new(RETRIED);
    for attempt in attempts {
        if let Fate::Retry(delay) = attempt.fate {
            rows.push(vec![
                attempt.id.into(),
                attempt.token.into(),
                i64::from(attempt.number).into(),
                (delay.as_micros() as i64).into(),
            ]);
        }
    }
    let retried = rows
        .run(engine, db, |sql, rows| {
            let sql = sql.push(
                "UPDATE deliveries SET attempts = r.number, due_at = {now} + r.delay, lease_token = NULL FROM ",
            );
            // By the table's own name: SQLite's RETURNING knows no alias.
            let only = rows.clone();
            let sql = rows
                .table(sql)
                .push(" AS r WHERE deliveries.id = r.id AND deliveries.lease_token = r.lease_token");
            only.only(sql, "deliveries.id", "id").push(" RETURNING deliveries.id")
        })
        .await?;
    add_ids(&retried, held)
}

async fn record(engine: Engine, db: &impl ConnectionTrait, held: &[&Settled]) -> Result<()> {
    let mut rows = Rows::new(ATTEMPTS);
    for attempt in held {
        let response = (!attempt.response.is_empty()).then(|| attempt.response.clone());
        rows.push(vec![
            attempt.id.into(),
            i64::from(attempt.number).into(),
            attempt.endpoint.into(),
            attempt.event_id.into(),
            attempt.token.into(),
            attempt.started.as_micros().into(),
            (attempt.duration.as_micros() as i64).into(),
            attempt.outcome.as_str().into(),
            attempt.status.map(i64::from).into(),
            // PostgreSQL's text can't hold U+0000, which an error may quote from an answer.
            attempt.error.as_ref().map(|e| e.replace('\0', "\u{fffd}")).into(),
            response.into(),
        ]);
    }
    rows.insert(engine, db, "attempts", "").await?;
    Ok(())
}

/// Disables endpoints that are active; returns those that it did.
async fn disable(engine: Engine, db: &impl ConnectionTrait, ended: &Ended) -> Result<Ended> {
    let mut disabled = Ended::new();
    for (id, why) in ended {
        let changed = Sql::new(engine, "UPDATE endpoints SET updated_at = {now}, status = ")
            .bind(EndpointStatus::Disabled.as_str())
            .push(", status_reason = ")
            .bind(why.message.as_str())
            .push(" WHERE generation = ")
            .bind(why.generation)
            .push(" AND status = ")
            .bind(EndpointStatus::Active.as_str())
            .push(" AND id = ")
            .bind(*id)
            .execute(db)
            .await?;
        if changed > 0 {
            disabled.insert(*id, why.clone());
        }
    }
    Ok(disabled)
}
