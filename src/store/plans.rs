//! How SQLite means to run a statement, looked at in builds with debug assertions: one that reads the whole of
//! a table that grows with use is a fault that no small database shows. It ends the test that ran it.
//!
//! SQLite plans by a table's indexes and not by its rows (nothing here runs ANALYZE), so that what it
//! says of an empty database holds for a full one. On PostgreSQL every statement goes by an index anyway
//! (`db`).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

/// The tables that grow with use.
const LARGE: [&str; 7] =
    ["deliveries", "finished_deliveries", "attempts", "events", "tasks", "idempotency_keys", "external_ids"];

static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Looks at each text once.
///
/// # Panics
///
/// If it reads a whole table.
pub(super) async fn check(text: &str, values: &[Value], db: &impl ConnectionTrait) {
    let is_new = {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_default().insert(text.to_owned())
    };
    if !is_new {
        return;
    }
    let mut values = values.iter();
    for statement in text.split(';').filter(|s| LARGE.iter().any(|table| s.contains(table))) {
        let own = values.by_ref().take(statement.matches('?').count()).cloned();
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        // One that can't be planned fails by itself.
        let Ok(plan) =
            db.query_all_raw(Statement::from_sql_and_values(DbBackend::Sqlite, explain, own)).await
        else {
            continue;
        };
        let plan: Vec<(i32, String)> = plan
            .iter()
            .filter_map(|row| Some((row.try_get("", "parent").ok()?, row.try_get("", "detail").ok()?)))
            .collect();
        // A page in the order of an index ends where its limit is reached; one that is sorted reads all.
        let is_sorted = |select: i32| {
            plan.iter().any(|(parent, step)| *parent == select && step.contains("TEMP B-TREE FOR ORDER BY"))
        };
        let is_page = |select: i32, step: &str| {
            step.contains(" USING ") && statement.contains(" LIMIT ") && !is_sorted(select)
        };
        let walks = plan.iter().filter(|(select, step)| !is_page(*select, step));
        let whole = walks.map(|(_, step)| step).find_map(|step| scanned(step, statement));
        let plan: Vec<_> = plan.iter().map(|(_, step)| step.as_str()).collect();
        assert!(whole.is_none(), "this reads all of {whole:?}:\n{statement}\n{}", plan.join("\n"));
    }
}

/// The large table that a step of a plan walks from end to end.
fn scanned(step: &str, statement: &str) -> Option<&'static str> {
    let name = step.strip_prefix("SCAN ")?.split(' ').next()?;
    let called = |table: &str| {
        name == table
            || [" AS ", " "].iter().any(|by| {
                let alias = format!("{table}{by}{name}");
                statement.match_indices(&alias).any(|(at, _)| {
                    let before = statement[..at].chars().next_back();
                    let after = statement[at + alias.len()..].chars().next();
                    let within = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    !within(before) && !within(after)
                })
            })
    };
    LARGE.into_iter().find(|table| called(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_over_a_large_table_is_seen() {
        let update = "UPDATE deliveries SET due_at = 1 FROM (VALUES (1)) AS r WHERE deliveries.task_id = r.x";
        assert_eq!(scanned("SCAN deliveries USING INDEX deliveries_order", update), Some("deliveries"));
        let aliased = "SELECT d.id FROM finished_deliveries AS d";
        assert_eq!(scanned("SCAN d", aliased), Some("finished_deliveries"));
        assert_eq!(scanned("SCAN d", "SELECT d.id FROM endpoints d"), None);
        assert_eq!(scanned("SEARCH d USING INDEX x (id=?)", aliased), None);
        assert_eq!(scanned("SCAN 128-ROW VALUES CLAUSE", update), None);
    }
}
