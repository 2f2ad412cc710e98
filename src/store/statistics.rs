//! What PostgreSQL believes of the size of tables.
//!
//! It plans by what it last counted, which autovacuum does once a minute at best. A queue that was counted while it
//! was short may hold a hundred thousand by then, and a plan that reads all of it, as is best for three rows, makes of
//! each settlement a matter of seconds. So tables are counted anew as soon as they have grown far beyond that; with it,
//! PostgreSQL plans anew whatever is prepared.

use super::db::{Db, Engine};
use super::error::Result;
use super::row::Row;
use super::sql::Sql;

/// The tables that grow with use.
pub(super) const LARGE: [&str; 8] = [
    "deliveries",
    "finished_deliveries",
    "attempts",
    "events",
    "tasks",
    "idempotency_keys",
    "external_ids",
    "merge_keys",
];

/// Of fewer rows, no plan takes long.
const FEW: i64 = 1_000;

/// How often as many rows as were counted make it worth to count again.
const TIMES: i64 = 4;

/// Counts the tables anew that have grown so much; returns their names. Who else counts one already is not waited
/// for. Nothing on SQLite, which doesn't plan by what there is.
pub async fn count_grown(db: &Db) -> Result<Vec<String>> {
    if db.engine() != Engine::Postgres {
        return Ok(Vec::new());
    }
    let tables: Vec<_> = LARGE.iter().map(|table| format!("'{table}'::regclass::oid")).collect();
    let sql = format!(
        "SELECT c.relname::text AS name FROM pg_class c WHERE c.oid IN ({})
            AND pg_stat_get_live_tuples(c.oid) > greatest({FEW}, {TIMES} * c.reltuples)",
        tables.join(", ")
    );
    let grown = Sql::new(Engine::Postgres, &sql).walks().all(db.read()).await?;
    let grown: Vec<String> = grown.iter().map(|row| row.get("name")).collect::<Result<_>>()?;
    for table in &grown {
        Sql::new(Engine::Postgres, &format!("ANALYZE (SKIP_LOCKED) {table}"))
            .walks()
            .execute(db.write())
            .await?;
    }
    Ok(grown)
}
