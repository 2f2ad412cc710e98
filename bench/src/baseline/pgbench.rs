//! pgbench's transaction of three inserts: what PostgreSQL does on this machine for whoever writes
//! one request in one transaction.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use task_inbox_testkit::Postgres;

/// Rows shaped like a task, its event and a delivery: as many columns, as many bytes, and only the
/// primary keys, so that the baseline has less to do than the service.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS bench_tasks (
        id uuid PRIMARY KEY, created_at bigint NOT NULL, updated_at bigint NOT NULL, ttype_id uuid NOT NULL,
        schema_name text NOT NULL, ttype text NOT NULL, semver text NOT NULL, state text,
        resolved boolean NOT NULL, phase text NOT NULL, meta text, version bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS bench_events (
        id uuid PRIMARY KEY, kind text NOT NULL, created_at bigint NOT NULL, actor text NOT NULL,
        schema_name text NOT NULL, ttype text, task_id uuid, version bigint, body text, salt bytea,
        digest bytea NOT NULL);
    CREATE TABLE IF NOT EXISTS bench_deliveries (
        id uuid PRIMARY KEY, endpoint_id uuid NOT NULL, event_id uuid NOT NULL, schema_name text NOT NULL,
        task_id uuid, version bigint, attempts integer NOT NULL, due_at bigint NOT NULL, lease_token uuid,
        created_at bigint NOT NULL);
    TRUNCATE bench_tasks, bench_events, bench_deliveries;
    CHECKPOINT;";

// pgbench takes a colon for a variable, even in quotes: hence the dash in the schema.
const TRANSACTION: &str = "\\set now random(1, 1000000000)
BEGIN;
INSERT INTO bench_tasks VALUES (gen_random_uuid(), :now, :now, gen_random_uuid(), 'ti-sample', 'flag-content', '1', NULL, false, 'open', :meta, 1);
INSERT INTO bench_events VALUES (gen_random_uuid(), 'task.created', :now, :actor, 'ti-sample', 'flag-content', gen_random_uuid(), 1, :body, :salt::text::bytea, :salt::text::bytea);
INSERT INTO bench_deliveries VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'ti-sample', gen_random_uuid(), 1, 0, :now, gen_random_uuid(), :now);
COMMIT;
";

/// About what the load generator's posts make of these.
const META: usize = 140;
const BODY: usize = 600;

/// What pgbench measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pgbench {
    /// Transactions per second.
    pub(crate) per_second: f64,
    /// Milliseconds of a transaction, on average.
    pub(crate) latency: f64,
}

/// The longest that it is tried for.
const LONGEST: u64 = 60;

/// pgbench's transactions, on tables that were just emptied.
///
/// On a machine that others use, the time may be over when all connections are open: then twice as
/// much is taken.
pub(crate) async fn pgbench(
    cluster: &Postgres,
    database: &str,
    connections: usize,
    seconds: u64,
    directory: &Path,
) -> Result<Pgbench> {
    let mut seconds = seconds;
    loop {
        match run(cluster, database, connections, seconds, directory).await {
            Err(error) if seconds >= LONGEST => return Err(error),
            Err(_) => seconds *= 2,
            measured => return measured,
        }
    }
}

async fn run(
    cluster: &Postgres,
    database: &str,
    connections: usize,
    seconds: u64,
    directory: &Path,
) -> Result<Pgbench> {
    for statement in TABLES.split(';').filter(|statement| !statement.trim().is_empty()) {
        cluster
            .run("psql", &["-Xqd", database, "-c", "SET client_min_messages = warning", "-c", statement])
            .await?;
    }
    let script = directory.join("three-inserts.sql");
    std::fs::write(&script, TRANSACTION)?;
    let variable = |name: &str, length: usize| format!("{name}={}", "x".repeat(length));
    let output = cluster
        .tool("pgbench")
        .args(["-n", "-M", "prepared", "-j", "1"])
        .args(["-c", &connections.to_string(), "-T", &seconds.to_string()])
        .args(["-D", &variable("meta", META), "-D", &variable("body", BODY)])
        .args(["-D", &variable("salt", 32), "-D", &variable("actor", 40)])
        .arg("-f")
        .arg(&script)
        .arg(database)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let figure = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("no {name:?} in what pgbench printed:\n{text}"))
    };
    Ok(Pgbench { per_second: figure("tps = ")?, latency: figure("latency average = ")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn measures_something() {
        let cluster = Postgres::start().await.unwrap();
        let database = cluster.create_database().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let measured = pgbench(&cluster, &database, 4, 1, directory.path()).await.unwrap();
        assert!(measured.per_second > 0.0 && measured.latency > 0.0, "{measured:?}");
        let sizes = "SELECT octet_length(body) FROM bench_events LIMIT 1";
        assert_eq!(cluster.run("psql", &["-XAtd", &database, "-c", sizes]).await.unwrap().trim(), "600");
    }
}
