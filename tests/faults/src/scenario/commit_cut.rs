//! The connection to the database is cut in a commit: in turn before the database sees it, so that
//! nothing happened, and before the service hears of it, so that everything did. That is done in COMMIT,
//! and in the statement that writes a batch, which for plain posts is the whole transaction.

use std::time::Duration;

use anyhow::Result;
use task_inbox_testkit::proxy::{Statement, Trap};

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::Stage;

const COMMIT: Statement = Statement::Is("COMMIT");
const WRITE: Statement = Statement::Mentions("UPDATE log_head");

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let (proxy, proxied) = stage.proxy().await?;
    stage.serve(&proxied).await?;
    stage.begin(Work::Stream);
    for round in 0..options.rounds.unwrap_or(40) {
        let (statement, trap, what) = match round % 4 {
            0 => (COMMIT, Trap::CutBefore, "commits cut before they arrived"),
            1 => (COMMIT, Trap::CutAfter, "commits cut before their answer"),
            2 => (WRITE, Trap::CutBefore, "writes cut before they arrived"),
            _ => (WRITE, Trap::CutAfter, "writes cut before their answer"),
        };
        if !stage.expect_progress(30, Duration::from_secs(30)).await? {
            break;
        }
        proxy.arm(statement, trap).wait(Duration::from_secs(30)).await?;
        stage.count(what, 1);
    }
    stage.expect_progress(100, Duration::from_secs(30)).await?;
    stage.finish(Vec::new()).await
}
