//! The rows that tasks with the same merge key meet at: each names the newest of them.
//!
//! Like the row of an external id, one is made before anything is decided. What a refused member leaves unused is
//! taken away before the commit.

use std::collections::HashMap;

use sea_orm::DatabaseTransaction;
use task_inbox_domain::Task;
use uuid::Uuid;

use super::fold::{Folded, Plan};
use super::member::{Member, Operation};
use super::queue::Context;
use crate::store::Result;
use crate::store::row::Row;
use crate::store::sql::{Column, Null, Rows, Ty};

/// Schema, type and merge key.
pub(super) type MergeKey = (String, String, String);

/// Whose place a post with a merge key takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    /// The task that the row names.
    row: Uuid,
    /// The newest task with the key; none if the row was made for one that is not kept yet.
    pub(super) task: Option<Uuid>,
}

pub(super) fn merge_key(task: &Task) -> Option<MergeKey> {
    task.merge_key.clone().map(|key| (task.schema.clone(), task.ttype.clone(), key))
}

const MERGES: &[Column] = &[
    ("schema_name", Ty::Text, Null::Never),
    ("ttype", Ty::Text, Null::Never),
    ("merge_key", Ty::Text, Null::Never),
    ("task_id", Ty::Uuid, Null::Never),
];

fn row((schema, ttype, key): &MergeKey, task: Uuid) -> Vec<sea_orm::Value> {
    vec![schema.as_str().into(), ttype.as_str().into(), key.as_str().into(), task.into()]
}

/// Locks the rows of the batch's merge keys, and makes those that are not there.
pub(super) async fn lock(
    context: &Context,
    transaction: &DatabaseTransaction,
    members: &[&Member],
    plan: &Plan,
) -> Result<HashMap<MergeKey, Holder>> {
    let mut rows = Rows::new(MERGES);
    for (key, member) in &plan.merges {
        rows.push(row(key, members[*member].operation.task().id));
    }
    // An update that changes nothing: it locks the row, and tells what it says.
    let suffix = "ON CONFLICT (schema_name, ttype, merge_key) DO UPDATE SET task_id = merge_keys.task_id
        RETURNING schema_name, ttype, merge_key, task_id";
    let mut holders = HashMap::new();
    for found in rows.insert(context.db.engine(), transaction, "merge_keys", suffix).await? {
        let key = (found.get("schema_name")?, found.get("ttype")?, found.get("merge_key")?);
        let row: Uuid = found.get("task_id")?;
        let is_new = plan.merges.get(&key).is_some_and(|member| match &members[*member].operation {
            Operation::Create(create) => create.task.id == row,
            Operation::Change(_) => false,
        });
        holders.insert(key, Holder { row, task: (!is_new).then_some(row) });
    }
    Ok(holders)
}

/// The rows of `merge_keys` as `m` that are meant by rows `r`.
const SAME: &str =
    " AS r WHERE m.schema_name = r.schema_name AND m.ttype = r.ttype AND m.merge_key = r.merge_key";

/// What a row is found by.
const KEY: &[&str] = &["schema_name", "ttype", "merge_key"];

/// Writes which tasks are the newest now, and removes rows that were made in vain.
pub(super) async fn finish(
    context: &Context,
    transaction: &DatabaseTransaction,
    folded: &Folded,
) -> Result<()> {
    let engine = context.db.engine();
    let (mut moved, mut unused) = (Rows::new(MERGES), Rows::new(MERGES));
    for (key, holder) in &folded.holders {
        match holder.task {
            Some(task) if task != holder.row => moved.push(row(key, task)),
            Some(_) => {}
            None => unused.push(row(key, holder.row)),
        }
    }
    moved
        .run(engine, transaction, |sql, rows| {
            let same = rows.clone();
            let sql = rows.table(sql.push("UPDATE merge_keys AS m SET task_id = r.task_id FROM ")).push(SAME);
            same.only_keys(sql, "m.", KEY)
        })
        .await?;
    unused
        .run(engine, transaction, |sql, rows| {
            let same = rows.clone();
            let sql = sql.push(
                "DELETE FROM merge_keys WHERE (schema_name, ttype, merge_key) IN
                    (SELECT r.schema_name, r.ttype, r.merge_key FROM ",
            );
            same.only_keys(rows.table(sql).push(" AS r)"), "", KEY)
        })
        .await?;
    Ok(())
}
