//! SQLite plans by a table's indexes and not by its rows (nothing here runs ANALYZE), so that what it says of
//! an empty database holds for a full one. What reads the whole of a large table must say so.

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::LARGE;

/// # Panics
///
/// If a statement reads a whole table.
pub(super) async fn check(text: &str, values: &[Value], db: &impl ConnectionTrait) {
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
