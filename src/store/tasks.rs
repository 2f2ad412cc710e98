//! Tasks, read. Every write of a task goes through [`super::commit`].

use sea_orm::{QueryResult, Value};
use task_inbox_domain::{Document, Phase, Task, Timestamp};
use uuid::Uuid;

use super::db::Db;
use super::error::{Result, StoreError};
use super::row::Row;
use super::sql::{Column, Null, Sql, Ty};

/// A task's columns as a batch writes them, in the order of [`values`].
pub(super) const COLUMNS: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("created_at", Ty::Int, Null::Never),
    ("updated_at", Ty::Int, Null::Never),
    ("ttype_id", Ty::Uuid, Null::Never),
    ("schema_name", Ty::Text, Null::Never),
    ("ttype", Ty::Text, Null::Never),
    ("semver", Ty::Text, Null::Never),
    ("state", Ty::Text, Null::Maybe),
    ("resolved", Ty::Bool, Null::Never),
    ("phase", Ty::Text, Null::Never),
    ("meta", Ty::Text, Null::Maybe),
    ("external_id", Ty::Text, Null::Maybe),
    ("callback_url", Ty::Text, Null::Maybe),
    ("merge_key", Ty::Text, Null::Maybe),
    ("expires_at", Ty::Int, Null::Maybe),
    ("supersedes", Ty::Uuid, Null::Maybe),
    ("superseded_by", Ty::Uuid, Null::Maybe),
    ("version", Ty::Int, Null::Never),
];

pub(super) fn values(task: &Task) -> Vec<Value> {
    vec![
        task.id.into(),
        task.created.as_micros().into(),
        task.updated.as_micros().into(),
        task.ttype_id.into(),
        task.schema.clone().into(),
        task.ttype.clone().into(),
        task.semver.clone().into(),
        task.state.clone().into(),
        task.resolved.into(),
        task.phase.as_str().into(),
        task.meta.as_ref().map(|m| m.as_str().to_owned()).into(),
        task.external_id.clone().into(),
        task.callback_url.clone().into(),
        task.merge_key.clone().into(),
        task.expires_at.map(Timestamp::as_micros).into(),
        task.supersedes.into(),
        task.superseded_by.into(),
        task.version.into(),
    ]
}

/// The columns that a change changes, in the order of [`changed_values`]. `meta` is null where it stays as it is: most
/// changes are decisions, and it may be large.
pub(super) const CHANGED: &[Column] = &[
    ("id", Ty::Uuid, Null::Never),
    ("updated_at", Ty::Int, Null::Never),
    ("state", Ty::Text, Null::Maybe),
    ("resolved", Ty::Bool, Null::Never),
    ("phase", Ty::Text, Null::Never),
    ("meta", Ty::Text, Null::Maybe),
    ("output", Ty::Text, Null::Maybe),
    ("version", Ty::Int, Null::Never),
    ("decided_by", Ty::Text, Null::Maybe),
    ("decided_at", Ty::Int, Null::Maybe),
    ("expires_at", Ty::Int, Null::Maybe),
    ("superseded_by", Ty::Uuid, Null::Maybe),
];

pub(super) fn changed_values(task: &Task, amended: bool) -> Vec<Value> {
    let meta = task.meta.as_ref().filter(|_| amended);
    let decided_by = task
        .decided_by
        .as_ref()
        .map(|a| serde_json::to_string(a).expect("an actor has string keys and string values"));
    vec![
        task.id.into(),
        task.updated.as_micros().into(),
        task.state.clone().into(),
        task.resolved.into(),
        task.phase.as_str().into(),
        meta.map(|m| m.as_str().to_owned()).into(),
        task.output.as_ref().map(|o| o.as_str().to_owned()).into(),
        task.version.into(),
        decided_by.into(),
        task.decided_at.map(Timestamp::as_micros).into(),
        task.expires_at.map(Timestamp::as_micros).into(),
        task.superseded_by.into(),
    ]
}

/// Reads tasks, with each column by its name: a prepared `SELECT *` of PostgreSQL is refused for good once a
/// newer version of the service has added a column.
pub(super) const SELECT: &str =
    "SELECT id, created_at, updated_at, ttype_id, schema_name, ttype, semver, state,
    resolved, phase, user_id, meta, output, external_id, priority, due_at, callback_url, merge_key, version,
    decided_by, decided_at, expires_at, supersedes, superseded_by FROM tasks";

pub(super) fn from_row(row: &QueryResult) -> Result<Task> {
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    };
    let phase: String = row.get("phase")?;
    let decided_by: Option<String> = row.get("decided_by")?;
    Ok(Task {
        id: row.get("id")?,
        created: Timestamp::from_micros(row.get("created_at")?),
        updated: Timestamp::from_micros(row.get("updated_at")?),
        ttype_id: row.get("ttype_id")?,
        schema: row.get("schema_name")?,
        semver: row.get("semver")?,
        state: row.get("state")?,
        resolved: row.get("resolved")?,
        phase: Phase::parse(&phase).ok_or_else(|| StoreError::Corrupt(format!("task phase {phase:?}")))?,
        user_id: row.get("user_id")?,
        meta: row.get::<Option<String>>("meta")?.map(Document::from_stored),
        output: row.get::<Option<String>>("output")?.map(Document::from_stored),
        external_id: row.get("external_id")?,
        priority: row.get("priority")?,
        due_at: time("due_at")?,
        callback_url: row.get("callback_url")?,
        merge_key: row.get("merge_key")?,
        version: row.get("version")?,
        ttype: row.get("ttype")?,
        decided_by: decided_by
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|e| StoreError::Corrupt(format!("tasks.decided_by: {e}")))?,
        decided_at: time("decided_at")?,
        expires_at: time("expires_at")?,
        supersedes: row.get("supersedes")?,
        superseded_by: row.get("superseded_by")?,
    })
}

/// The task with this id.
pub async fn get(db: &Db, id: Uuid) -> Result<Option<Task>> {
    let sql = Sql::new(db.engine(), SELECT).push(" WHERE id = ").bind(id);
    sql.one(db.read()).await?.as_ref().map(from_row).transpose()
}

/// The tasks with these ids, in no particular order.
pub(super) async fn get_many(db: &Db, ids: Vec<Uuid>) -> Result<Vec<Task>> {
    let sql = Sql::new(db.engine(), SELECT).push(" WHERE id").any_id(ids);
    sql.all(db.read()).await?.iter().map(from_row).collect()
}

/// Tasks whose time is over, by the database's clock: those after one of them in the order of their times, but none of
/// these schemas.
pub async fn due(db: &Db, after: Option<&Task>, but: &[&str], limit: u64) -> Result<Vec<Task>> {
    let mut sql = Sql::new(db.engine(), SELECT).push(" WHERE expires_at IS NOT NULL AND expires_at <= {now}");
    if let Some((expires_at, task)) = after.and_then(|task| Some((task.expires_at?, task))) {
        sql = sql.push(" AND (expires_at, id) > (").bind(expires_at.as_micros());
        sql = sql.push(", ").bind(task.id).push(")");
    }
    for schema in but {
        sql = sql.push(" AND schema_name <> ").bind(*schema);
    }
    let sql = sql.push(" ORDER BY expires_at, id LIMIT ").bind(limit as i64);
    sql.all(db.read()).await?.iter().map(from_row).collect()
}

/// When the time was over of the task that has been over its time for longest, if there is one.
pub async fn longest_due(db: &Db) -> Result<Option<Timestamp>> {
    let sql = Sql::new(db.engine(), "SELECT min(expires_at) AS first FROM tasks WHERE expires_at <= {now}");
    let row = sql.one(db.read()).await?;
    let first = row.map(|row| row.get::<Option<i64>>("first")).transpose()?.flatten();
    Ok(first.map(Timestamp::from_micros))
}
