//! How endpoints are doing: what attempts mean for their circuit breakers.
//!
//! Rows of endpoints are locked here before any delivery's, as everywhere. Those that work cost one look
//! at an index: nothing is written of them.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;
use task_inbox_domain::webhook::breaker::{Health, Seen, Turn};
use uuid::Uuid;

use super::settle::{Fate, Settled};
use crate::store::db::{Db, Engine};
use crate::store::error::Result;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};

const COLUMNS: &str =
    "SELECT id, failing_since, failures, open_until, probes, {now} AS now FROM endpoints WHERE ";

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
    /// Since when it failed before.
    pub(super) failing_since: Option<Timestamp>,
}

/// What was seen of each endpoint. It counts whether or not the lease still held: the endpoint answered as
/// it did.
fn seen(attempts: &[&Settled]) -> BTreeMap<Uuid, Seen> {
    let mut seen: BTreeMap<Uuid, Seen> = BTreeMap::new();
    for attempt in attempts {
        let seen = seen.entry(attempt.endpoint).or_default();
        if attempt.fate == Fate::Delivered {
            seen.delivered = true;
        } else {
            seen.failed += 1;
            seen.probe_failed |= attempt.probe;
        }
    }
    seen
}

const CHANGED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("failing_since", Ty::Int, Null::Maybe),
    ("failures", Ty::Int, Null::Never),
    ("open_until", Ty::Int, Null::Maybe),
    ("probes", Ty::Int, Null::Never),
];

/// Writes down what these attempts mean for their endpoints; returns those whose breaker moved.
pub(super) async fn observe(
    engine: Engine,
    db: &impl ConnectionTrait,
    attempts: &[&Settled],
) -> Result<Vec<Turned>> {
    let seen = seen(attempts);
    let failed: Vec<Uuid> = seen.iter().filter(|(_, s)| s.failed > 0).map(|(id, _)| *id).collect();
    let mut sql = Sql::new(engine, COLUMNS).push("id").any_id(seen.keys().copied());
    sql = sql.push(" AND (failing_since IS NOT NULL");
    if !failed.is_empty() {
        sql = sql.push(" OR id").any_id(failed);
    }
    let known = sql.push(") ORDER BY id {locked}").all(db).await?;
    let mut rows = Rows::new(CHANGED);
    let mut turned = Vec::new();
    for row in &known {
        let (id, before): (Uuid, Health) = (row.get("id")?, health(row)?);
        let Some(seen) = seen.get(&id) else { continue };
        let (after, turn) = before.after(*seen, now(row)?, rand::random());
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
            turned.push(Turned { endpoint: id, turn, failing_since });
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
