//! The rows that a request is known again by: idempotency keys and external ids.
//!
//! A row is made before anything is decided, because making it is what holds off everybody else
//! who brings the same key. What a refused member leaves unused is taken away before the commit.

use sea_orm::DatabaseTransaction;
use task_inbox_domain::Task;
use task_inbox_domain::log::Hash;
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
];

const EXTERNAL: &[Column] = &[
    ("schema_name", Ty::Text, Null::Never),
    ("external_id", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
    ("content_hash", Ty::Bytes, Null::Never),
];

/// What a row of [`EXTERNAL`] is found by.
const EXTERNAL_KEY: &[&str] = &["schema_name", "external_id"];

/// Makes the rows of new keys, which holds off other replicas, and reads those that were there.
///
/// A post's answer is nearly always the task that it brings: the row is made with it, so that it need
/// not be written a second time.
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
        let (schema, task, created, answer) = match &member.operation {
            Operation::Create(c) => (c.task.schema.as_str(), c.task.id, true, answer(&c.task)?),
            Operation::Change(c) => {
                (c.ttype.version.schema.name.as_str(), c.seen.id, false, UNKNOWN.to_owned())
            }
        };
        rows.push(vec![
            key_hash.to_vec().into(),
            body_hash.to_vec().into(),
            schema.into(),
            task.into(),
            created.into(),
            answer.into(),
        ]);
    }
    let ttl = context.settings.idempotency_ttl.as_micros() as i64;
    let names = rows.names();
    let insert = format!("INSERT INTO idempotency_keys ({names}, expires_at) SELECT {names}, {{now}} + ");
    // A key whose time is over is taken as new.
    let suffix = " AS r WHERE true ON CONFLICT (key_hash) DO UPDATE SET body_hash = excluded.body_hash,
            schema_name = excluded.schema_name, task_id = excluded.task_id, created = excluded.created,
            answer = excluded.answer, expires_at = excluded.expires_at
        WHERE idempotency_keys.expires_at <= {now} RETURNING key_hash";
    let made = rows
        .run(engine, transaction, |sql, rows| {
            rows.table(sql.push(&insert).bind(ttl).push(" FROM ")).push(suffix)
        })
        .await?;
    for row in &made {
        loaded.made.insert(to_hash(row.get("key_hash")?)?);
    }
    if made.len() == plan.idempotency.len() {
        return Ok(());
    }
    let kept = plan.idempotency.keys().filter(|key| !loaded.made.contains(*key));
    let sql =
        Sql::new(engine, "SELECT key_hash, body_hash, created, answer FROM idempotency_keys WHERE key_hash")
            .any(Ty::Bytes, kept.map(|k| k.to_vec().into()).collect());
    for row in sql.all(transaction).await? {
        let key_hash = to_hash(row.get("key_hash")?)?;
        let mut task: Task = serde_json::from_str(&row.get::<String>("answer")?)
            .map_err(|e| StoreError::Corrupt(format!("idempotency_keys.answer: {e}")))?;
        if let Some(ttype) = registry.type_by_id(task.ttype_id) {
            task.ttype.clone_from(&ttype.ttype().name);
        }
        let changes = plan
            .idempotency
            .get(&key_hash)
            .is_some_and(|m| matches!(members[*m].operation, Operation::Change(_)));
        let reply = match (changes, row.get::<bool>("created")?) {
            (true, _) => Reply::Changed(task),
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
            let same = rows.clone();
            let sql = sql.push(
                "SELECT x.schema_name, x.external_id, x.task_id, x.content_hash FROM external_ids x JOIN ",
            );
            let sql = rows.table(sql).push(
                " AS r ON r.schema_name = x.schema_name AND r.external_id = x.external_id
                    AND r.task_id <> x.task_id WHERE true",
            );
            same.only_keys(sql, "x.", EXTERNAL_KEY)
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
    ("schema_name", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
    ("created", Ty::Bool, Null::Never),
    ("answer", Ty::Text, Null::Never),
];

/// Stands for an answer until it is known, in a transaction that nobody else sees.
const UNKNOWN: &str = "";

/// What is kept under a key.
fn answer(task: &Task) -> Result<String> {
    serde_json::to_string(task)
        .map_err(|e| StoreError::Corrupt(format!("a task can't be written as JSON: {e}")))
}

/// Whether a key's row was made with this answer: that of the first member that brought it.
fn was_foreseen(first: &Member, body_hash: &Hash, reply: &Reply) -> bool {
    let (Operation::Create(create), Reply::Created(task)) = (&first.operation, reply) else { return false };
    create.task.id == task.id
        && create.task.supersedes == task.supersedes
        && first.idempotency.as_ref().is_some_and(|i| i.body_hash == *body_hash)
}

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
    for (key_hash, (body_hash, reply)) in &folded.answers {
        let first = plan.idempotency.get(key_hash).map(|member| members[*member]);
        if first.is_some_and(|first| was_foreseen(first, body_hash, reply)) {
            continue;
        }
        rows.push(vec![
            key_hash.to_vec().into(),
            body_hash.to_vec().into(),
            reply.task().schema.as_str().into(),
            reply.task().id.into(),
            matches!(reply, Reply::Created(_)).into(),
            answer(reply.task())?.into(),
        ]);
    }
    rows.run(engine, transaction, |sql, rows| {
        let sql = sql.push(
            "UPDATE idempotency_keys AS k SET body_hash = r.body_hash, schema_name = r.schema_name,
                task_id = r.task_id, created = r.created, answer = r.answer FROM ",
        );
        rows.table(sql).push(" AS r WHERE k.key_hash = r.key_hash")
    })
    .await?;
    if !folded.unanswered.is_empty() {
        Sql::new(engine, "DELETE FROM idempotency_keys WHERE key_hash")
            .any(Ty::Bytes, folded.unanswered.iter().map(|k| k.to_vec().into()).collect())
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
            let same = rows.clone();
            let sql = sql.push(
                "DELETE FROM external_ids WHERE (schema_name, external_id, task_id) IN
                    (SELECT r.schema_name, r.external_id, r.task_id FROM ",
            );
            same.only_keys(rows.table(sql).push(" AS r)"), "", EXTERNAL_KEY)
        })
        .await?;
    rebound
        .run(engine, transaction, |sql, rows| {
            let sql = sql.push(
                "UPDATE external_ids AS x SET task_id = r.task_id, content_hash = r.content_hash FROM ",
            );
            let same = rows.clone();
            let sql = rows
                .table(sql)
                .push(" AS r WHERE x.schema_name = r.schema_name AND x.external_id = r.external_id");
            same.only_keys(sql, "x.", EXTERNAL_KEY)
        })
        .await?;
    Ok(())
}
