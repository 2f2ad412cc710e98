//! SIGKILL of one of two, then of three, dispatching replicas at random points under load: the others go
//! on at once, and take over what it had leased.

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::{GOES_ON_WITHIN, Stage};

/// What the replicas that are left must acknowledge before the killed one is back.
const MEANWHILE: u64 = 20;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    for replicas in [2, 3] {
        // Each has files of its own, where they are kept.
        let keep = options.keep.as_ref().map(|directory| directory.join(format!("{replicas}-replicas")));
        report.merge(kill(&Options { keep, ..options.clone() }, replicas).await?);
    }
    Ok(report)
}

async fn kill(options: &Options, replicas: usize) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let mut rng = StdRng::seed_from_u64(options.seed + replicas as u64);
    let installation = stage.installation.clone();
    for _ in 0..replicas {
        stage.serve(&installation).await?;
    }
    stage.begin(Work::Stream);
    for _ in 0..options.rounds.unwrap_or(50) {
        if !stage.expect_progress(50, Duration::from_secs(30)).await? {
            break;
        }
        // The random point.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..500))).await;
        let victim = rng.random_range(0..replicas);
        stage.kill(victim).await?;
        stage.count(if replicas == 2 { "kills of one of two" } else { "kills of one of three" }, 1);
        stage.expect_progress(MEANWHILE, GOES_ON_WITHIN).await?;
        stage.start_again(victim).await?;
    }
    stage.expect_progress(50, Duration::from_secs(30)).await?;
    stage.finish(Vec::new()).await
}
