//! The connection to the database is cut in COMMIT: in turn before the database sees it, so that
//! nothing happened, and before the service hears of it, so that everything did.

use std::time::Duration;

use anyhow::Result;
use task_inbox_testkit::proxy::{Statement, Trap};

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::Stage;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let (proxy, proxied) = stage.proxy().await?;
    stage.serve(&proxied).await?;
    stage.begin(Work::Stream);
    for round in 0..options.rounds.unwrap_or(40) {
        let (trap, what) = if round % 2 == 0 {
            (Trap::CutBefore, "commits cut before they arrived")
        } else {
            (Trap::CutAfter, "commits cut before their answer")
        };
        if !stage.expect_progress(30, Duration::from_secs(30)).await? {
            break;
        }
        proxy.arm(Statement::Is("COMMIT"), trap).wait(Duration::from_secs(30)).await?;
        stage.count(what, 1);
    }
    stage.expect_progress(100, Duration::from_secs(30)).await?;
    stage.finish(Vec::new()).await
}
