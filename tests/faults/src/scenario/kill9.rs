//! SIGKILL at random points under load. The receiver, the clients and the readers live on.

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::Stage;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let mut rng = StdRng::seed_from_u64(options.seed);
    let installation = stage.installation.clone();
    let server = stage.serve(&installation).await?;
    stage.begin(Work::Stream);
    for _ in 0..options.rounds.unwrap_or(30) {
        if !stage.expect_progress(50, Duration::from_secs(30)).await? {
            break;
        }
        // The random point.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..500))).await;
        stage.kill_and_restart(server).await?;
        stage.count("kills", 1);
    }
    stage.expect_progress(50, Duration::from_secs(30)).await?;
    stage.finish(Vec::new()).await
}
