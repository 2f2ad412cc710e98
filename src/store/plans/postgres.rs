//! PostgreSQL plans by what it last counted, and a prepared plan lives on while a queue that was empty then fills
//! up: of an empty table it says that any index and any join will do. So tests count empty tables first
//! (`VACUUM ANALYZE`), and what a statement does then must be right for a full one, too.

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::LARGE;

/// A step of a plan as EXPLAIN writes it: a line with its costs, and lines of what it does.
struct Step<'a> {
    depth: usize,
    does: &'a str,
    conditions: Vec<(&'a str, &'a str)>,
}

impl Step<'_> {
    fn condition(&self, name: &str) -> Option<&str> {
        self.conditions.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The large table that it reads.
    fn table(&self) -> Option<&'static str> {
        let (scan, on) = self.does.split_once(" on ")?;
        let table = on.split(' ').next()?;
        LARGE.into_iter().find(|large| scan.contains("Scan") && *large == table)
    }

    /// Whether it reads no more than a statement names.
    fn is_named(&self) -> bool {
        self.condition("Index Cond").is_some_and(|by| by.contains("= ANY"))
    }

    /// What is wrong with it for a table that has grown; `within` are the steps that it is a part of, the nearest
    /// first, and `beneath` those that are parts of it.
    fn fault<'b>(
        &self,
        within: impl Iterator<Item = &'b Step<'b>>,
        mut beneath: impl Iterator<Item = &'b Step<'b>>,
    ) -> Option<String> {
        if self.condition("Join Filter").is_some_and(|on| on.contains(" = "))
            && beneath.any(|step| step.table().is_some() && !step.is_named())
        {
            return Some("it compares rows with rows".to_owned());
        }
        let table = self.table()?;
        // A page in the order of an index ends where its limit is reached; one that is sorted reads all.
        let mut within = within.map(|step| step.does).take_while(|does| !does.contains("Sort"));
        let is_page = self.does.starts_with("Index") && within.any(|does| does == "Limit");
        let is_found = ["Index Cond", "TID Cond"].into_iter().any(|by| self.condition(by).is_some());
        if !is_found && !is_page {
            return Some(format!("it reads all of {table}"));
        }
        let filter = self.condition("Filter")?;
        // A page of what one value selects may be walked for, where most rows have it; what each row of another table
        // selects may not.
        let is_fault = |condition: &str| {
            if is_page { is_with_another_row(condition) } else { is_for_an_index(condition) }
        };
        filter.split(" AND ").any(is_fault).then(|| format!("it looks for {filter} in {table} by reading"))
    }
}

/// Whether every large table that a statement names was counted while there was next to nothing in it. Only then its
/// plan is judged: where statistics tell of rows, what reads many of them may be right.
async fn was_counted_empty(text: &str, db: &impl ConnectionTrait) -> bool {
    let named: Vec<_> =
        LARGE.iter().filter(|table| text.contains(**table)).map(|t| format!("'{t}'")).collect();
    let counted = format!(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
            AND relname IN ({}) AND reltuples NOT BETWEEN 0 AND 10",
        named.join(", ")
    );
    let others = db.query_all_raw(Statement::from_string(DbBackend::Postgres, counted)).await;
    others.is_ok_and(|others| others.is_empty())
}

/// # Panics
///
/// If a statement compares rows with rows, or finds by reading what an index finds.
pub(super) async fn check(text: &str, values: &[Value], db: &impl ConnectionTrait) {
    if !was_counted_empty(text, db).await {
        return;
    }
    let explain = Statement::from_sql_and_values(
        DbBackend::Postgres,
        format!("EXPLAIN {text}"),
        values.iter().cloned(),
    );
    // One that can't be planned fails by itself.
    let Ok(rows) = db.query_all_raw(explain).await else { return };
    let plan: Vec<String> = rows.iter().filter_map(|row| row.try_get_by_index(0).ok()).collect();
    let faults = faults(&plan);
    assert!(faults.is_empty(), "{}:\n{text}\n{}", faults.join(", "), plan.join("\n"));
}

/// What is wrong with a plan.
fn faults(plan: &[String]) -> Vec<String> {
    let steps = steps(plan);
    let fault = |(at, step): (usize, &Step<'_>)| {
        let beneath = steps[at + 1..].iter().take_while(|other| other.depth > step.depth);
        step.fault(within(&steps[..at], step.depth), beneath)
    };
    steps.iter().enumerate().filter_map(fault).collect()
}

/// The steps before one that it is a part of, from the inside out.
fn within<'a>(before: &'a [Step<'a>], mut depth: usize) -> impl Iterator<Item = &'a Step<'a>> {
    before.iter().rev().filter(move |step| {
        let is_outer = step.depth < depth;
        depth = depth.min(step.depth);
        is_outer
    })
}

fn steps(plan: &[String]) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in plan {
        let depth = line.len() - line.trim_start().len();
        let line = line.trim_start();
        if let Some((does, _)) = line.split_once("  (cost=") {
            steps.push(Step {
                depth,
                does: does.trim_start_matches("->").trim_start(),
                conditions: Vec::new(),
            });
        } else if let (Some(step), Some(condition)) = (steps.last_mut(), line.split_once(": ")) {
            step.conditions.push(condition);
        }
    }
    steps
}

/// Whether a condition is an equality with an id or with another row's column.
fn is_for_an_index(condition: &str) -> bool {
    condition.split_once(" = ").is_some_and(|(_, value)| {
        value.contains("::uuid") || value.starts_with('$') || value.starts_with("ANY ($") || is_column(value)
    })
}

fn is_with_another_row(condition: &str) -> bool {
    condition.split_once(" = ").is_some_and(|(_, value)| is_column(value))
}

fn is_column(value: &str) -> bool {
    let is_name = |part: &str| part.starts_with(|c: char| c.is_alphabetic());
    value.split_once('.').is_some_and(|(alias, column)| is_name(alias) && is_name(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(plan: &str) -> Vec<String> {
        faults(&plan.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_found_by_its_keys_is_well() {
        let page = "Limit  (cost=0.14..12.38 rows=16 width=445)
  ->  Index Scan using tasks_pkey on tasks  (cost=0.14..12.38 rows=16 width=445)
        Filter: (state = 'seen'::text)";
        let by_place = "Delete on attempts  (cost=12.34..52.44 rows=0 width=0)
  ->  Tid Scan on attempts  (cost=0.01..40.11 rows=9 width=6)
        TID Cond: (ctid = ANY ($1))";
        let join = "Nested Loop  (cost=0.16..9.13 rows=1 width=352)
  ->  Function Scan on u_1  (cost=0.02..0.03 rows=1 width=362)
  ->  Index Scan using tasks_pkey on tasks t  (cost=0.14..8.15 rows=1 width=22)
        Index Cond: (id = u_1.id)
        Filter: (u_1.version = version)";
        let of_a_user =
            page.replace("state = 'seen'::text", "user_id = '01a21ed2-5a99-71cc-ad3f-31a9c84cf1a9'::uuid");
        for plan in [page, &of_a_user, by_place, join] {
            assert_eq!(found(plan), Vec::<String>::new(), "{plan}");
        }
    }

    #[test]
    fn what_reads_all_of_a_table_is_seen() {
        let sorted = "Limit  (cost=0.14..12.38 rows=16 width=445)
  ->  Sort  (cost=8.18..8.18 rows=1 width=445)
        ->  Index Scan using tasks_pkey on tasks  (cost=0.14..12.38 rows=16 width=445)";
        assert_eq!(found(sorted), ["it reads all of tasks"]);
        let beside_a_limit = "Nested Loop  (cost=16.44..40.67 rows=1 width=70)
  ->  Limit  (cost=8.15..16.17 rows=1 width=8)
        ->  Index Only Scan using deliveries_due on deliveries w  (cost=0.14..8.15 rows=1 width=8)
              Index Cond: (endpoint_id = $4)
  ->  Seq Scan on events  (cost=0.00..1.01 rows=1 width=4)";
        assert_eq!(found(beside_a_limit), ["it reads all of events"]);
    }

    #[test]
    fn what_compares_rows_with_rows_is_seen() {
        let semi_join = "Update on deliveries  (cost=16.44..40.67 rows=1 width=70)
  ->  Nested Loop Semi Join  (cost=16.44..40.67 rows=1 width=70)
        Join Filter: (deliveries.id = \"ANY_subquery\".id)
        ->  Function Scan on x  (cost=0.12..8.14 rows=1 width=22)
        ->  Index Scan using deliveries_due on deliveries  (cost=0.12..8.14 rows=1 width=22)
              Index Cond: (endpoint_id = $1)";
        assert_eq!(found(semi_join), ["it compares rows with rows"]);
        let range = semi_join.replace("(endpoint_id = $1)", "(due_at <= 5)");
        assert_eq!(found(&range), ["it compares rows with rows"]);
        let named = semi_join.replace("(endpoint_id = $1)", "(id = ANY ($1))");
        assert_eq!(found(&named), Vec::<String>::new(), "a batch with itself");
        let by_another_index = "Function Scan on u_2  (cost=0.02..0.03 rows=1 width=120)
  SubPlan 4
    ->  Index Scan using deliveries_due on deliveries d_1  (cost=0.12..8.15 rows=1 width=0)
          Index Cond: (endpoint_id = u_2.endpoint_id)
          Filter: ((version < u_2.version) AND (task_id = u_2.task_id))";
        assert_eq!(found(by_another_index).len(), 1);
    }
}
