//! The rows that a request is known again by: idempotency keys and external ids.
//!
//! A row is made before anything is decided, because making it is what holds off everybody else
//! who brings the same key. What a refused member leaves unused is taken away before the commit.

use sea_orm::DatabaseTransaction;
use task_inbox_domain::Task;
use uuid::Uuid;

use super::fold::{ExternalId, Folded, Loaded, Plan};
use super::member::{Member, Operation, Reply};
use super::queue::Context;
use crate::store::log::to_hash;
use crate::store::registry::Registry;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Sql, Ty};
use crate::store::{Result, StoreError};

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

/// Makes the rows of new keys, which holds off other replicas, and reads those that were there.
pub(super) async fn lock_idempotency(
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
    let sql =
        Sql::new(engine, "SELECT key_hash, body_hash, created, answer FROM idempotency_keys WHERE key_hash")
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
pub(super) async fn lock_external(
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

const ANSWERS: &[Column] = &[
    ("key_hash", Ty::Bytes, Null::Never),
    ("body_hash", Ty::Bytes, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
    ("created", Ty::Bool, Null::Never),
    ("answer", Ty::Text, Null::Never),
];

/// Keeps the answers under the keys that were made, and removes keys and names that a refused
/// member leaves unused.
pub(super) async fn finish(
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
                let hash = members.iter().find_map(|m| match &m.operation {
                    Operation::Create(c) if c.task.id == *task => Some(c.content_hash),
                    _ => None,
                });
                rebound.push(row(*task, &hash.unwrap_or_default()));
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
            let sql = sql.push(
                "UPDATE external_ids AS x SET task_id = r.task_id, content_hash = r.content_hash FROM ",
            );
            rows.table(sql)
                .push(" AS r WHERE x.schema_name = r.schema_name AND x.external_id = r.external_id")
        })
        .await?;
    Ok(())
}
