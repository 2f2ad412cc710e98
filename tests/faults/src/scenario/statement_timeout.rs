//! Somebody sets a `statement_timeout` of next to nothing, in a running system. Some statements are cut off
//! and repeated; while somebody else holds the log's head, all of them are, and calls are refused with
//! 503. Once the setting is gone, work goes on by itself.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::Options;
use crate::audit::{REFUSED, Report};
use crate::load::Work;
use crate::stage::Stage;

/// Which statements of the service come through, and which don't, changes from one to the next.
const TIMEOUTS: [&str; 3] = ["1ms", "3ms", "10ms"];
/// How long some are cut off.
const SOME: Duration = Duration::from_secs(3);
/// Longer than a batch is repeated before its members hear of it, in seconds.
const ALL: &str = "SELECT pg_sleep(7)";

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let installation = stage.installation.clone();
    for _ in 0..2 {
        stage.serve(&installation).await?;
    }
    let url = installation.database().url();
    let database = url.rsplit('/').next().unwrap_or_default().to_owned();
    stage.begin(Work::Stream);
    for round in 0..options.rounds.unwrap_or(6).div_ceil(2) as usize {
        if !stage.expect_progress(100, Duration::from_secs(30)).await? {
            break;
        }
        let low = format!("ALTER SYSTEM SET statement_timeout = '{}'", TIMEOUTS[round % TIMEOUTS.len()]);
        execute(&stage, "postgres", &[&low, RELOAD]).await?;
        tokio::time::sleep(SOME).await;
        execute(&stage, &database, &["BEGIN", "SELECT seq FROM log_head FOR UPDATE", ALL, "ROLLBACK"])
            .await?;
        execute(&stage, "postgres", &["ALTER SYSTEM RESET statement_timeout", RELOAD]).await?;
        stage.count("times that statements were cut off", 1);
        stage.expect_progress(100, Duration::from_secs(10)).await?;
    }
    stage.expect_progress(100, Duration::from_secs(30)).await?;
    let log = stage.postgres.as_ref().context("a cluster")?.log()?;
    let cut_off = log.matches("canceling statement due to statement timeout").count();
    stage.count("statements cut off", cut_off);
    if cut_off == 0 {
        stage.broken("the scenario cuts statements off", "PostgreSQL's log tells of none");
    }
    let report = stage.audit(Vec::new()).await?;
    if report.counted(REFUSED) == 0 {
        stage.broken("the scenario cuts every statement off", "no call was refused");
    }
    Ok(stage.conclude(report))
}

/// Tells those that are connected, too.
const RELOAD: &str = "SELECT pg_reload_conf()";

/// Runs statements one after the other on a connection that nothing cuts off.
async fn execute(stage: &Stage, database: &str, statements: &[&str]) -> Result<()> {
    let cluster = stage.postgres.as_ref().context("a cluster")?;
    let mut psql =
        vec!["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", "SET statement_timeout = 0"];
    psql.extend(statements.iter().flat_map(|statement| ["-c", *statement]));
    cluster.run("psql", &psql).await?;
    Ok(())
}
