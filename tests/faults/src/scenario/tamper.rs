//! Whoever can write to the database can change the log; `audit verify` must find it, against a
//! checkpoint that was kept outside.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use task_inbox_testkit::Database;

use crate::Options;
use crate::audit::Report;
use crate::collect;
use crate::load::Work;
use crate::stage::Stage;

/// How many events the cut takes off the end, at least.
const TAIL: i64 = 10;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let installation = stage.installation.clone();
    stage.serve(&installation).await?;
    stage.begin(Work::Stream);
    stage.expect_progress(500, Duration::from_mins(1)).await?;
    let mut report = stage.audit(Vec::new()).await?;
    stage.shut_down().await?;

    let checkpoint = installation.cli(&["audit", "checkpoint"]).await?;
    let path = stage.directory().join("checkpoint.json");
    std::fs::write(&path, checkpoint.to_string())?;
    let path = path.display().to_string();
    let last = checkpoint["seq"].as_i64().with_context(|| format!("no seq in {checkpoint}"))?;
    for (number, (what, is_sound, statements)) in tamperings(last).into_iter().enumerate() {
        let copy = copy(&stage, number).await?;
        if !statements.is_empty() {
            copy.execute(&statements).await.with_context(|| format!("can't make {what}"))?;
        }
        let tampered = installation.clone().on(copy);
        let verification = collect::verification(&tampered, Some(&path)).await?;
        if verification.ok == is_sound {
            report.count(if is_sound { "sound copies found sound" } else { "tampered copies found out" }, 1);
        } else {
            report.broken(
                "audit verify tells a tampered log from a sound one",
                format!("{what}: {}", verification.text),
            );
        }
    }
    if report.is_clean() {
        stage.clean_up();
    }
    Ok(report)
}

/// What is done, whether the log is sound afterwards, and how.
fn tamperings(last: i64) -> Vec<(&'static str, bool, String)> {
    let (middle, next) = (last / 2, last / 2 + 1);
    let change = |column: &str| {
        format!(
            "UPDATE events SET {column} = substr({column}, 1, 5)
             || CASE substr({column}, 6, 1) WHEN 'a' THEN 'b' ELSE 'a' END || substr({column}, 7)
             WHERE seq = {middle}"
        )
    };
    let close_up = format!(
        "DELETE FROM events WHERE seq = {middle};
         UPDATE events SET seq = -seq WHERE seq > {middle};
         UPDATE events SET seq = -seq - 1 WHERE seq < 0;
         UPDATE log_head SET seq = seq - 1"
    );
    let cut = format!(
        "DELETE FROM events WHERE seq > (SELECT max(seq) FROM events WHERE head_hash IS NOT NULL AND seq <= {last} - {TAIL});
         UPDATE log_head SET seq = (SELECT max(seq) FROM events),
            hash = (SELECT head_hash FROM events ORDER BY seq DESC LIMIT 1)"
    );
    vec![
        ("an untouched copy", true, String::new()),
        ("a changed byte of a body", false, change("body")),
        ("a changed byte of who acted", false, change("actor")),
        ("a removed row", false, format!("DELETE FROM events WHERE seq = {middle}")),
        ("a removed row, the rest closed up", false, close_up),
        (
            "two swapped rows",
            false,
            format!(
                "UPDATE events SET seq = -1 WHERE seq = {middle};
                 UPDATE events SET seq = {middle} WHERE seq = {next};
                 UPDATE events SET seq = {next} WHERE seq = -1"
            ),
        ),
        ("a cut tail, the head set back", false, cut),
        ("a cut tail, the head as it was", false, format!("DELETE FROM events WHERE seq > {last} - {TAIL}")),
    ]
}

async fn copy(stage: &Stage, number: usize) -> Result<Database> {
    match stage.installation.database() {
        Database::Sqlite(path) => {
            let to: PathBuf = stage.directory().join(format!("copy-{number}.db"));
            Database::copy_file(path, &to)
        }
        Database::Postgres(url) => {
            let cluster = stage.postgres.as_ref().context("a cluster")?;
            let name = url.rsplit('/').next().unwrap_or_default();
            Ok(Database::Postgres(cluster.url(&cluster.copy_database(name).await?)))
        }
    }
}
