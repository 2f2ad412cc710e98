//! The disk that the SQLite file is on fills up under load: writes are refused with 503, reads go on, and
//! once there is room, work goes on by itself.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use task_inbox_testkit::Database;
use task_inbox_testkit::http::{Answer, Client, Request};

use crate::audit::{REFUSED, Report};
use crate::load::Work;
use crate::stage::Stage;
use crate::{Options, alone, site::Site};

/// Room for what the load writes in the rounds that have room.
const DISK: u64 = 256 << 20;
/// Longer than a batch is repeated before its members hear of it.
const LASTS: Duration = Duration::from_secs(8);

pub(super) async fn run(options: &Options) -> Result<Report> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("disk");
    let disk = alone::small_disk(&folder, DISK)?;
    let site = Site { disk: Some(folder.clone()), ..Site::default() };
    let mut stage = Stage::build_at(options, site).await?;
    let installation = stage.installation.clone();
    let place = stage.serve(&installation).await?;
    stage.begin(Work::Stream);
    for _ in 0..options.rounds.unwrap_or(6).div_ceil(2) {
        if !stage.expect_progress(100, Duration::from_secs(30)).await? {
            break;
        }
        let ballast = folder.join("ballast");
        // Again and again: the database's files are cut shorter at times.
        let until = Instant::now() + LASTS;
        let mut filling = File::create(&ballast)?;
        while Instant::now() < until {
            fill(&mut filling)?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stage.count("times that the disk was full", 1);
        reads_go_on(&mut stage, place).await?;
        drop(filling);
        std::fs::remove_file(&ballast)?;
        stage.expect_progress(100, Duration::from_secs(10)).await?;
    }
    stage.expect_progress(100, Duration::from_secs(30)).await?;
    let report = stage.audit(Vec::new()).await?;
    if report.counted(REFUSED) == 0 {
        stage.broken("the scenario fills the disk", "no call was refused");
    }
    stage.shut_down().await?;
    sound(&mut stage, &folder).await?;
    let report = stage.conclude(report);
    drop(disk);
    Ok(report)
}

/// Takes all the room that is left.
fn fill(file: &mut File) -> Result<()> {
    for size in [64 * 1024, 512] {
        let piece = vec![0; size];
        loop {
            match file.write(&piece) {
                Ok(written) if written > 0 => {}
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

async fn reads_go_on(stage: &mut Stage, place: usize) -> Result<()> {
    let (address, key) = (stage.server(place)?.address(), stage.keys[0].secret.clone());
    let mut client = Client::new(address).with_timeout(Duration::from_secs(5));
    for path in ["/api/v1/tasks/?limit=5", "/api/v1/events?limit=5", "/health/live"] {
        let answer = client.send(&Request::new("GET", path, &[("api-key", &key)])).await;
        if !answer.as_ref().is_ok_and(Answer::is_success) {
            stage.broken("reads go on while the disk is full", format!("{path}: {answer:?}"));
        }
    }
    Ok(())
}

/// Whether SQLite finds its file in order.
async fn sound(stage: &mut Stage, folder: &Path) -> Result<()> {
    let Database::Sqlite(file) = stage.installation.database() else { return Ok(()) };
    ensure!(file.starts_with(folder), "the database is not on the small disk");
    let output =
        tokio::process::Command::new("sqlite3").arg(file).arg("PRAGMA integrity_check").output().await?;
    let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if told != "ok" {
        stage.broken("SQLite finds its file sound", told);
    }
    Ok(())
}
