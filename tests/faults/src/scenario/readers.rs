//! Many readers of the log, by pages and by streams, that break off at random while others write: each sees every event
//! once and in order.

use std::time::Duration;

use anyhow::Result;

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::{Engine, Stage};

const READERS: usize = 50;
const WRITERS: usize = 4;
/// Calls that a round waits for; each that is acknowledged is an event, or was one before.
const CALLS: u64 = 1000;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let options = Options { clients: options.clients.or(Some(WRITERS)), ..options.clone() };
    let mut stage = Stage::build(&options).await?;
    let installation = stage.installation.clone();
    stage.serve(&installation).await?;
    if options.engine == Engine::Postgres {
        stage.serve(&installation).await?;
    }
    stage.begin_with(Work::Stream, READERS);
    for _ in 0..options.rounds.unwrap_or(5) {
        if !stage.expect_progress(CALLS, Duration::from_mins(2)).await? {
            break;
        }
    }
    stage.finish(Vec::new()).await
}
