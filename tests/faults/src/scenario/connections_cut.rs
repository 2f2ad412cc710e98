//! Every connection to PostgreSQL is cut at once, again and again, under load: by the server, which ends
//! each backend, and by the network before one of two replicas.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::{GOES_ON_WITHIN, Stage};

/// In whatever they are.
const EVERY_BACKEND: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let (proxy, proxied) = stage.proxy().await?;
    stage.serve(&proxied).await?;
    let installation = stage.installation.clone();
    stage.serve(&installation).await?;
    stage.begin(Work::Stream);
    for round in 0..options.rounds.unwrap_or(30) {
        if !stage.expect_progress(100, Duration::from_secs(30)).await? {
            break;
        }
        if round % 2 == 0 {
            let cut = installation.database().execute(EVERY_BACKEND).await?;
            let cut: usize = cut.trim().parse().context("a count")?;
            stage.count("backends ended", cut);
        } else {
            proxy.cut_all();
            stage.count("times that the network cut all connections of a replica", 1);
        }
        let begun = Instant::now();
        if stage.expect_progress(20, GOES_ON_WITHIN).await? {
            stage.count("ms in all until work went on", begun.elapsed().as_millis() as usize);
        }
    }
    stage.expect_progress(100, Duration::from_secs(30)).await?;
    stage.finish(Vec::new()).await
}
