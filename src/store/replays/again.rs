//! The deliveries that are made when something is sent again.
//!
//! A step of a job is one transaction that holds its endpoint and the job's row: two processes never do the same
//! one, and one that dies leaves nothing half done.

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::{COLUMNS, Replay, What, from_row, get, lock_endpoint};
use crate::store::db::{Db, Engine};
use crate::store::error::Result;
use crate::store::log::{self, Logged};
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};

/// How many deliveries one step makes, or how many events it looks at.
const STEP: i64 = 500;

/// That there is still something to tell of a delivery `d`. What tells of a task goes with its schema, and is nothing
/// to the next one of the same name.
const TELLS: &str = "EXISTS (SELECT 1 FROM events e WHERE e.id = d.event_id AND (e.task_id IS NULL
    OR EXISTS (SELECT 1 FROM schemas s WHERE s.name = e.schema_name AND s.removed_at IS NULL
        AND e.seq > s.begins_after)))";

/// The delivery that an ended or live one is sent again as; `None` if there is no such delivery, or its event, its
/// task's schema or its endpoint is gone.
pub async fn resend(db: &Db, delivery: Uuid) -> Result<Option<Uuid>> {
    let engine = db.engine();
    let id = Uuid::now_v7();
    let transaction = db.begin().await?;
    let endpoint = Sql::new(engine, "SELECT endpoint_id FROM deliveries WHERE id = ")
        .bind(delivery)
        .push(" UNION ALL SELECT endpoint_id FROM finished_deliveries WHERE id = ")
        .bind(delivery)
        .one(&transaction)
        .await?;
    let Some(endpoint) = endpoint else { return Ok(None) };
    if !lock_endpoint(engine, &transaction, endpoint.get("endpoint_id")?).await? {
        return Ok(None);
    }
    let copy = |sql: Sql, from: &str| {
        sql.push("SELECT endpoint_id, event_id, schema_name, task_id FROM ")
            .push(from)
            .push(" WHERE id = ")
            .bind(delivery)
    };
    let sql = Sql::new(
        engine,
        "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, task_id, attempts, due_at, created_at,
            is_resend) SELECT ",
    )
    .bind(id);
    let sql = match engine {
        Engine::Postgres => sql.push("::uuid"),
        Engine::Sqlite => sql,
    };
    let sql = copy(
        sql.push(", d.endpoint_id, d.event_id, d.schema_name, d.task_id, 0, {now}, {now}, true FROM ("),
        "deliveries",
    );
    let made = copy(sql.push(" UNION ALL "), "finished_deliveries")
        .push(") AS d WHERE ")
        .push(TELLS)
        .push(" LIMIT 1")
        .execute(&transaction)
        .await?;
    if made == 0 {
        return Ok(None);
    }
    mark_resent(engine, &transaction, &[delivery]).await?;
    transaction.commit().await?;
    Ok(Some(id))
}

/// What was given up is not, once it is sent again.
async fn mark_resent(engine: Engine, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<()> {
    // By the ids, and not by what else is dead: of that, there is an index, too.
    Sql::new(
        engine,
        "UPDATE finished_deliveries SET outcome = 'resent' WHERE coalesce(outcome, '') = 'dead' AND id",
    )
    .any_id(ids.iter().copied())
    .execute(db)
    .await?;
    Ok(())
}

/// How many deliveries of an endpoint were given up and can be sent again, of a schema or of all.
pub async fn count_dead(db: &Db, endpoint: Uuid, schema: Option<&str>) -> Result<i64> {
    let sql = dead(
        Sql::new(db.engine(), "SELECT count(*) AS n FROM finished_deliveries d WHERE "),
        endpoint,
        schema,
    );
    sql.one(db.read()).await?.map_or(Ok(0), |row| row.get("n"))
}

fn dead(sql: Sql, endpoint: Uuid, schema: Option<&str>) -> Sql {
    let sql = sql.push("d.outcome = 'dead' AND d.endpoint_id = ").bind(endpoint).push(" AND ").push(TELLS);
    match schema {
        Some(schema) => sql.push(" AND d.schema_name = ").bind(schema),
        None => sql,
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more to do. So many deliveries were made.
    Went(u64),
    /// The job is at its end, or another process is at work on it.
    Rested,
}

/// Takes a job's next step. `wants` says whether the endpoint gets an event.
pub async fn step(db: &Db, id: Uuid, wants: impl Fn(&Logged) -> bool) -> Result<Step> {
    let engine = db.engine();
    let Some(job) = get(db, id).await? else { return Ok(Step::Rested) };
    let transaction = db.begin().await?;
    if !lock_endpoint(engine, &transaction, job.endpoint_id).await? {
        return Ok(Step::Rested);
    }
    let row = Sql::new(engine, COLUMNS)
        .push(" WHERE status = 'running' AND id = ")
        .bind(id)
        .push(" {skip_locked}")
        .one(&transaction)
        .await?;
    let Some(row) = row else { return Ok(Step::Rested) };
    let replay = from_row(&row)?;
    let (made, next_seq, ended) = match replay.what {
        What::Dead => {
            let made = dead_step(engine, &transaction, &replay).await?;
            (made, replay.next_seq, made < STEP as u64)
        }
        What::Since(time) => {
            let (made, next) = log_step(engine, &transaction, &replay, time, wants).await?;
            (made, next, next > replay.last_seq)
        }
    };
    let mut sql = Sql::new(engine, "UPDATE replays SET resent = resent + ")
        .bind(made as i64)
        .push(", next_seq = ")
        .bind(next_seq);
    if ended {
        sql = sql.push(", status = 'done', finished_at = {now}");
    }
    sql.push(" WHERE id = ").bind(id).execute(&transaction).await?;
    transaction.commit().await?;
    Ok(if ended && made == 0 { Step::Rested } else { Step::Went(made) })
}

const RESENT: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("endpoint_id", Ty::Uuid, Null::Never),
    ("event_id", Ty::Uuid, Null::Never),
    ("schema_name", Ty::Text, Null::Maybe),
    ("task_id", Ty::Uuid, Null::Maybe),
];

/// Makes deliveries, where there is still something to tell; returns how many. What this process knows of schemas may
/// be half a second old.
async fn insert(engine: Engine, db: &impl ConnectionTrait, rows: Rows) -> Result<u64> {
    let made = rows.run(engine, db, |sql, rows| {
        let sql = sql.push(
            "INSERT INTO deliveries (id, endpoint_id, event_id, schema_name, task_id, attempts, due_at, created_at,
                is_resend)
             SELECT d.id, d.endpoint_id, d.event_id, coalesce(d.schema_name, ''), d.task_id, 0, {now}, {now}, true FROM ",
        );
        rows.table(sql).push(" AS d WHERE ").push(TELLS).push(" RETURNING id")
    })
    .await?;
    Ok(made.len() as u64)
}

/// Sends again what was given up before the job was made; what dies once more is another job's.
async fn dead_step(engine: Engine, transaction: &DatabaseTransaction, replay: &Replay) -> Result<u64> {
    let sql = Sql::new(
        engine,
        "SELECT d.id, d.event_id, d.schema_name, d.task_id FROM finished_deliveries d WHERE ",
    );
    let found = dead(sql, replay.endpoint_id, replay.schema.as_deref())
        .push(" AND d.finished_at <= ")
        .bind(replay.created.as_micros())
        .push(" ORDER BY d.finished_at, d.id LIMIT ")
        .bind(STEP)
        .push(" {locked}")
        .all(transaction)
        .await?;
    let mut rows = Rows::new(RESENT);
    let mut ids = Vec::with_capacity(found.len());
    for row in &found {
        ids.push(row.get::<Uuid>("id")?);
        rows.push(vec![
            Uuid::now_v7().into(),
            replay.endpoint_id.into(),
            row.get::<Uuid>("event_id")?.into(),
            row.get::<String>("schema_name")?.into(),
            row.get::<Option<Uuid>>("task_id")?.into(),
        ]);
    }
    let found = ids.len() as u64;
    insert(engine, transaction, rows).await?;
    if !ids.is_empty() {
        mark_resent(engine, transaction, &ids).await?;
    }
    Ok(found)
}

/// Looks at the next events of the log; returns how many were sent again, and which event is next.
async fn log_step(
    engine: Engine,
    transaction: &DatabaseTransaction,
    replay: &Replay,
    since: Timestamp,
    wants: impl Fn(&Logged) -> bool,
) -> Result<(u64, i64)> {
    let upto = replay.last_seq.min(replay.next_seq.saturating_add(STEP - 1));
    let found = Sql::new(engine, "SELECT ")
        .push(log::COLUMNS)
        .push(" FROM events WHERE seq >= ")
        .bind(replay.next_seq)
        .push(" AND seq <= ")
        .bind(upto)
        .push(" ORDER BY seq")
        .all(transaction)
        .await?;
    let mut rows = Rows::new(RESENT);
    for row in &found {
        let logged = log::from_row(row)?;
        let named = replay.schema.as_ref().is_none_or(|schema| *schema == logged.event.schema);
        if named && logged.event.created >= since && wants(&logged) {
            rows.push(vec![
                Uuid::now_v7().into(),
                replay.endpoint_id.into(),
                logged.event.id.into(),
                logged.event.schema.as_str().into(),
                logged.event.task_id.into(),
            ]);
        }
    }
    let made = insert(engine, transaction, rows).await?;
    Ok((made, upto + 1))
}

/// The events from a number on, up to another, for who only counts: a page of them, and the next number.
pub async fn look(db: &Db, next: i64, last: i64) -> Result<(Vec<Logged>, i64)> {
    let upto = last.min(next.saturating_add(STEP - 1));
    let sql = Sql::new(db.engine(), "SELECT ")
        .push(log::COLUMNS)
        .push(" FROM events WHERE seq >= ")
        .bind(next)
        .push(" AND seq <= ")
        .bind(upto)
        .push(" ORDER BY seq");
    Ok((sql.all(db.read()).await?.iter().map(log::from_row).collect::<Result<_>>()?, upto + 1))
}
