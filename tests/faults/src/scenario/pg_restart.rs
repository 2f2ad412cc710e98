//! PostgreSQL stops at once, as in a crash, recovers and comes back, under load.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::Stage;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let installation = stage.installation.clone();
    stage.serve(&installation).await?;
    stage.begin(Work::Stream);
    for _ in 0..options.rounds.unwrap_or(5) {
        if !stage.expect_progress(300, Duration::from_secs(30)).await? {
            break;
        }
        stage.postgres.as_mut().context("a cluster")?.restart_immediate().await?;
        stage.count("restarts", 1);
    }
    stage.expect_progress(300, Duration::from_secs(30)).await?;
    stage.finish(Vec::new()).await
}
