//! Lists of tasks, oldest first.
//!
//! A page must cost the same in a small inbox and in a large one, whatever it is filtered by. The
//! index `tasks_ranges` holds the tasks of each schema, type and state in the order of their ids, those apart that ended
//! without a decision,
//! and the registry knows which of these there are: a filter becomes the few ranges that it lets
//! through, and a page is merged from their beginnings. Left to itself, a planner that believes
//! states to be spread evenly reads a million decided tasks to find the first that waits.

use std::collections::{BTreeMap, BTreeSet};

use task_inbox_domain::{Phase, Task};
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::Result;
use super::registry::Registry;
use super::sql::{Column, Null, Rows, Sql, Ty};
use super::tasks::{SELECT, from_row};

/// Which tasks a list holds.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only those that wait: neither decided nor ended without a decision.
    pub unresolved: bool,
    /// Only those of these schemas; what a key may see. `None`: of all.
    pub schemas: Option<Vec<String>>,
    /// Only those of this schema.
    pub schema: Option<String>,
    /// Only those of types with this name.
    pub ttype: Option<String>,
    /// Only those in this state; `Some(None)`: those in none.
    pub state: Option<Option<String>>,
    /// Only those in this phase.
    pub phase: Option<Phase>,
    /// Only those assigned to this user.
    pub assignee: Option<Uuid>,
    /// Only the one that its sender calls so (one in each schema).
    pub external_id: Option<String>,
}

impl TaskFilter {
    /// Whether it asks for schemas, types or states.
    fn narrows(&self) -> bool {
        self.schemas.is_some()
            || self.schema.is_some()
            || self.ttype.is_some()
            || self.state.is_some()
            || self.phase == Some(Phase::Resolved)
    }

    /// Whether a list under it is merged from ranges: then it depends on what is installed.
    pub fn is_ranged(&self) -> bool {
        let ended = !matches!(self.phase, None | Some(Phase::Open | Phase::Resolved));
        self.narrows() && self.assignee.is_none() && self.external_id.is_none() && !ended
    }

    /// The same, in terms of phases alone; `None` if no task can be in it.
    fn by_phase(&self) -> Option<Self> {
        match (self.unresolved, self.phase) {
            (true, None | Some(Phase::Open)) => {
                Some(Self { unresolved: false, phase: Some(Phase::Open), ..self.clone() })
            }
            (true, Some(_)) => None,
            (false, _) => Some(self.clone()),
        }
    }

    fn wants_schema(&self, name: &str) -> bool {
        self.schema.as_deref().is_none_or(|schema| schema == name)
            && self.schemas.as_ref().is_none_or(|schemas| schemas.iter().any(|s| s == name))
    }

    /// Whether tasks in a state may be in it, from whether that is a resolved one.
    fn wants_resolved(&self, resolved: bool) -> bool {
        match self.phase {
            Some(Phase::Open) if resolved => false,
            Some(Phase::Resolved) if !resolved => false,
            _ => true,
        }
    }
}

/// Schema, type and state; unset is no text. Of tasks that ended without a decision, the state has [`ENDED`] before it.
type Range = (String, String, String);

/// Before a state: no name begins with it.
const ENDED: &str = "~";

/// The state of a range that a task is in, just as the index has it.
const RANGE: &str = "CASE WHEN x.phase IN ('open', 'resolved')
    THEN coalesce(x.state, '') ELSE '~' || coalesce(x.state, '') END";

/// Beyond so many ranges a list is read in the order of ids and filtered: something is found soon.
const MAX_RANGES: usize = 64;

/// The ranges that a filter lets through. `None`: they are too many, or a state is a resolved one
/// in one version and an open one in another, so that a range would hold what is to be left out.
fn ranges(filter: &TaskFilter, registry: &Registry) -> Option<Vec<Range>> {
    let mut found: BTreeMap<Range, bool> = BTreeMap::new();
    for installed in registry.types() {
        let (schema, ttype) = (&installed.version.schema.name, installed.ttype());
        if !filter.wants_schema(schema) || filter.ttype.as_ref().is_some_and(|t| *t != ttype.name) {
            continue;
        }
        for state in ttype.states() {
            if filter.state.as_ref().is_some_and(|wanted| wanted.as_deref() != state) {
                continue;
            }
            let resolved = ttype.is_resolved(state);
            let range = (schema.clone(), ttype.name.clone(), state.unwrap_or_default().to_owned());
            if *found.entry(range.clone()).or_insert(resolved) != resolved {
                return None;
            }
            if !resolved && filter.phase.is_none() {
                found.insert((range.0, range.1, format!("{ENDED}{}", range.2)), false);
            }
        }
    }
    let ranges: BTreeSet<Range> =
        found.into_iter().filter(|(_, resolved)| filter.wants_resolved(*resolved)).map(|(r, _)| r).collect();
    (ranges.len() <= MAX_RANGES).then(|| ranges.into_iter().collect())
}

/// Up to `limit` tasks, oldest first, after the task with the id `after`, and whether there are more.
/// Large tasks make a shorter page.
///
/// `registry` must be as new as the tasks that are to be found, where the filter is
/// [ranged](TaskFilter::is_ranged).
pub async fn list(
    db: &Db,
    registry: &Registry,
    filter: &TaskFilter,
    after: Option<Uuid>,
    limit: u64,
) -> Result<(Vec<Task>, bool)> {
    // One more than asked for tells whether there is a next page.
    let asked = limit + 1;
    let Some(filter) = &filter.by_phase() else { return Ok((Vec::new(), false)) };
    let ranges = if filter.is_ranged() { ranges(filter, registry) } else { None };
    let sql = match ranges {
        Some(ranges) if ranges.is_empty() => return Ok((Vec::new(), false)),
        Some(ranges) => match db.engine() {
            Engine::Postgres => merged_postgres(ranges, filter, after, asked),
            Engine::Sqlite => merged_sqlite(&ranges, filter, after, asked),
        },
        None => filtered(db.engine(), filter, after, asked),
    };
    let documents =
        |task: &Task| [&task.meta, &task.output].into_iter().flatten().map(|d| d.as_str().len()).sum();
    sql.page(db.read(), limit, from_row, documents).await
}

const RANGES: &[Column] = &[
    ("schema_name", Ty::Text, Null::Never),
    ("ttype", Ty::Text, Null::Never),
    ("state", Ty::Text, Null::Never),
];

/// Each range is found by where it stands in the whole index: an order that no other index has leaves the planner no
/// choice.
fn merged_postgres(ranges: Vec<Range>, filter: &TaskFilter, after: Option<Uuid>, limit: u64) -> Sql {
    let mut rows = Rows::new(RANGES);
    for (schema, ttype, state) in ranges {
        rows.push(vec![schema.into(), ttype.into(), state.into()]);
    }
    let sql = Sql::new(Engine::Postgres, SELECT).push(" WHERE id = ANY(ARRAY(SELECT x.id FROM ");
    let sql = rows
        .table(sql)
        .push(&format!(
            " AS r CROSS JOIN LATERAL (SELECT x.id FROM tasks x
             WHERE (x.schema_name, x.ttype, {RANGE}, x.id) > (r.schema_name, r.ttype, r.state, "
        ))
        .bind(after.unwrap_or_default())
        .push(&format!(") AND (x.schema_name, x.ttype, {RANGE}, x.id) <= (r.schema_name, r.ttype, r.state, "))
        .bind(Uuid::max())
        .push(")");
    let sql = among(sql, filter)
        .push(&format!(" ORDER BY x.schema_name, x.ttype, {RANGE}, x.id LIMIT "))
        .bind(limit as i64)
        .push(") AS x ORDER BY x.id LIMIT ")
        .bind(limit as i64);
    sql.push(")) ORDER BY id")
}

fn merged_sqlite(ranges: &[Range], filter: &TaskFilter, after: Option<Uuid>, limit: u64) -> Sql {
    let mut sql = Sql::new(Engine::Sqlite, SELECT).push(" WHERE id IN (SELECT id FROM (");
    for (i, (schema, ttype, state)) in ranges.iter().enumerate() {
        sql = sql
            .push(if i == 0 { "" } else { " UNION ALL " })
            .push("SELECT id FROM (SELECT id FROM tasks AS x INDEXED BY tasks_ranges WHERE schema_name = ")
            .bind(schema.as_str())
            .push(" AND ttype = ")
            .bind(ttype.as_str())
            .push(&format!(" AND {RANGE} = "))
            .bind(state.as_str())
            .push(" AND id > ")
            .bind(after.unwrap_or_default());
        sql = among(sql, filter).push(" ORDER BY id LIMIT ").bind(limit as i64).push(")");
    }
    sql.push(") ORDER BY id LIMIT ").bind(limit as i64).push(") ORDER BY id")
}

/// What a range says already, but for states that are resolved ones in one version alone.
fn among(sql: Sql, filter: &TaskFilter) -> Sql {
    match filter.phase {
        Some(phase) => sql.push(" AND x.phase = ").bind(phase.as_str()),
        None => sql,
    }
}

/// In the order of ids, or of one index that holds little: the tasks that wait, a user's, those
/// that ended without a decision, the one that a sender named.
fn filtered(engine: Engine, filter: &TaskFilter, after: Option<Uuid>, limit: u64) -> Sql {
    // SQLite, which keeps no statistics, would take an index for each of these and sort what it finds
    // there: a plus keeps it from that.
    let (schema, ttype, state) = match engine {
        // What a sender named is found by its id. Of a table that was empty when it was counted, PostgreSQL
        // would take any index as well.
        Engine::Postgres if filter.external_id.is_some() => {
            ("coalesce(schema_name, '')", "coalesce(ttype, '')", "nullif(state, '')")
        }
        Engine::Postgres => ("schema_name", "ttype", "state"),
        Engine::Sqlite => ("+schema_name", "+ttype", "+state"),
    };
    let and = |sql: Sql, column: &str| sql.push(" AND ").push(column);
    let mut sql = Sql::new(engine, SELECT).push(" WHERE true");
    if let Some(id) = after {
        sql = sql.push(" AND id > ").bind(id);
    }
    match filter.phase {
        // In words, so that the index of those is taken.
        Some(Phase::Open) => sql = sql.push(" AND phase = 'open'"),
        Some(Phase::Resolved) => sql = sql.push(" AND phase = 'resolved'"),
        Some(ended) => {
            sql = sql.push(" AND phase NOT IN ('open', 'resolved') AND phase = ").bind(ended.as_str());
        }
        None => {}
    }
    if let Some(schemas) = &filter.schemas {
        let names = schemas.iter().map(|s| s.as_str().into()).collect();
        sql = and(sql, schema).any(Ty::Text, names);
    }
    if let Some(name) = &filter.schema {
        sql = and(sql, schema).push(" = ").bind(name.as_str());
    }
    if let Some(name) = &filter.ttype {
        sql = and(sql, ttype).push(" = ").bind(name.as_str());
    }
    match &filter.state {
        Some(Some(name)) => sql = and(sql, state).push(" = ").bind(name.as_str()),
        Some(None) => sql = and(sql, state).push(" IS NULL"),
        None => {}
    }
    if let Some(user) = filter.assignee {
        sql = sql.push(" AND user_id = ").bind(user);
    }
    if let Some(external_id) = &filter.external_id {
        sql = sql.push(" AND id").any_of(|sql| {
            sql.push("SELECT task_id FROM external_ids WHERE external_id = ").bind(external_id.as_str())
        });
    }
    sql.push(" ORDER BY id LIMIT ").bind(limit as i64)
}
