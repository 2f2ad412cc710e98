//! How endpoints are doing: what attempts mean for their circuit breakers.
//!
//! Rows of endpoints are locked here before any delivery's, as everywhere. Those that work cost one look
//! at an index: nothing is written of them.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;
use task_inbox_domain::webhook::breaker::{Health, Seen, Shown, Turn};
use uuid::Uuid;

use super::settle::Settled;
use crate::store::db::{Db, Engine};
use crate::store::error::Result;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};

const COLUMNS: &str =
    "SELECT id, failing_since, failures, open_until, probes, generation, {now} AS now FROM endpoints WHERE ";

/// Forgets what is known against an endpoint, in an UPDATE: what answers there is another, or somebody says
/// that it works. What is under way to the former tells nothing of it.
pub(in crate::store) const FORGET: &str =
    "failing_since = NULL, failures = 0, open_until = NULL, probes = 0, generation = generation + 1";

/// The endpoints whose last attempt failed, and the database's time.
pub async fn failing(db: &Db) -> Result<HashMap<Uuid, (Health, Timestamp)>> {
    let sql = Sql::new(db.engine(), COLUMNS).push("failing_since IS NOT NULL");
    let rows = sql.all(db.read()).await?;
    rows.iter().map(|row| Ok((row.get("id")?, (health(row)?, now(row)?)))).collect()
}

fn now(row: &QueryResult) -> Result<Timestamp> {
    Ok(Timestamp::from_micros(row.get("now")?))
}

/// How an endpoint has been doing, out of its row.
pub(in crate::store) fn health(row: &QueryResult) -> Result<Health> {
    let time = |column| -> Result<_> { Ok(row.get::<Option<i64>>(column)?.map(Timestamp::from_micros)) };
    Ok(Health {
        failing_since: time("failing_since")?,
        failures: row.get::<i32>("failures")?.max(0) as u32,
        open_until: time("open_until")?,
        probes: row.get::<i32>("probes")?.max(0) as u32,
    })
}

/// An endpoint whose breaker moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turned {
    pub(super) endpoint: Uuid,
    pub(super) turn: Turn,
    /// Which receiver it was.
    pub(super) generation: i64,
    /// Since when it failed before.
    pub(super) failing_since: Option<Timestamp>,
}

const CHANGED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("failing_since", Ty::Int, Null::Maybe),
    ("failures", Ty::Int, Null::Never),
    ("open_until", Ty::Int, Null::Maybe),
    ("probes", Ty::Int, Null::Never),
];

/// Locks the rows of the endpoints that these attempts may mean something for: those that fail, or did.
pub(super) async fn lock(
    engine: Engine,
    db: &impl ConnectionTrait,
    attempts: &[&Settled],
) -> Result<Vec<QueryResult>> {
    let all: BTreeSet<Uuid> = attempts.iter().map(|a| a.endpoint).collect();
    let failed: BTreeSet<Uuid> =
        attempts.iter().filter(|a| a.shown == Shown::Fails).map(|a| a.endpoint).collect();
    let mut sql = Sql::new(engine, COLUMNS).push("id").any_id(all);
    sql = sql.push(" AND (failing_since IS NOT NULL");
    if !failed.is_empty() {
        sql = sql.push(" OR id").any_id(failed);
    }
    sql.push(") ORDER BY id {locked}").all(db).await
}

/// Writes down what these attempts mean for their endpoints, whose rows are locked; returns those whose breaker
/// moved.
///
/// Only attempts whose lease still held are among them: what a process saw that was frozen, others have seen
/// better since.
pub(super) async fn observe(
    engine: Engine,
    db: &impl ConnectionTrait,
    known: &[QueryResult],
    held: &[&Settled],
) -> Result<Vec<Turned>> {
    let mut rows = Rows::new(CHANGED);
    let mut turned = Vec::new();
    for row in known {
        let (id, before): (Uuid, Health) = (row.get("id")?, health(row)?);
        let generation = row.get("generation")?;
        let mut seen = Seen::default();
        for attempt in held.iter().filter(|a| a.endpoint == id && a.generation == generation) {
            seen.add(attempt.shown, attempt.probe);
        }
        let (after, turn) = before.after(seen, now(row)?, rand::random());
        if after != before {
            rows.push(vec![
                id.into(),
                after.failing_since.map(Timestamp::as_micros).into(),
                i64::from(after.failures.min(i32::MAX as u32)).into(),
                after.open_until.map(Timestamp::as_micros).into(),
                i64::from(after.probes).into(),
            ]);
        }
        if turn != Turn::None {
            let failing_since = before.failing_since.or(after.failing_since);
            turned.push(Turned { endpoint: id, turn, generation, failing_since });
        }
    }
    rows.run(engine, db, |sql, rows| {
        let sql = sql.push(
            "UPDATE endpoints SET failing_since = r.failing_since, failures = r.failures,
                open_until = r.open_until, probes = r.probes FROM ",
        );
        rows.table(sql).push(" AS r WHERE endpoints.id = r.id")
    })
    .await?;
    Ok(turned)
}
