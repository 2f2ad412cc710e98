//! SIGTERM during a burst: what is under way comes to its end, nothing more is taken, the process ends
//! with 0 in its time, and no webhook is sent a second time for it.

use std::time::{Duration, Instant};

use anyhow::Result;
use task_inbox_testkit::receiver::Behaviour;

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::{DEADLINE, Engine, Stage};

/// An attempt may be at its beginning; the settlement and the connections follow.
const ENDS_WITHIN: Duration = DEADLINE.saturating_add(Duration::from_secs(8));
/// How long answers of the receiver take, so that attempts are under way at any time.
const ANSWERS_IN: Duration = Duration::from_millis(300);

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let installation = stage.installation.clone();
    let mut places = vec![stage.serve(&installation).await?];
    if options.engine == Engine::Postgres {
        places.push(stage.serve(&installation).await?);
    }
    stage.receiver.behave(Behaviour::Slow(200, ANSWERS_IN));
    stage.begin(Work::Stream);
    for round in 0..options.rounds.unwrap_or(10) as usize {
        if !stage.expect_progress(100, Duration::from_secs(30)).await? {
            break;
        }
        let arrived = stage.receiver.count() + 20;
        stage.receiver.wait_for_count(arrived, Duration::from_secs(10)).await;
        let place = places[round % places.len()];
        let begun = Instant::now();
        let ended = stage.terminate(place, Duration::from_secs(30)).await?;
        let took = begun.elapsed();
        stage.count("terminations", 1);
        stage.count("ms that they took in all", took.as_millis() as usize);
        if ended.code() != Some(0) || took > ENDS_WITHIN {
            stage.broken("a terminated server drains and ends with 0", format!("{ended} after {took:?}"));
        }
        stage.start_again(place).await?;
    }
    stage.expect_progress(50, Duration::from_secs(30)).await?;
    stage.receiver.behave(Behaviour::Answer(200));
    let report = stage.audit(Vec::new()).await?;
    let again = stage.repeated_arrivals();
    if again > 0 {
        stage.broken("a drained server leaves nothing to be sent again", format!("{again} webhooks were"));
    }
    Ok(stage.conclude(report))
}
