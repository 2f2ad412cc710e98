//! Working on jobs that send again, step by step, beside everything else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Shared;
use crate::app::replays::wants;
use crate::bus::Topic;
use crate::store::Result;
use crate::store::replays::{self, Step};

/// How often the database is asked for jobs: nobody waits for one as for a webhook.
const POLL: Duration = Duration::from_secs(1);

/// The most deliveries of an endpoint that may wait before a job makes more: what is made far ahead of being
/// sent only lies in the way.
const MOST_WAITING: i64 = 5_000;

/// Works until it is told to stop.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let rest = match pass(&shared).await {
            // As long as its steps took, so that it never has more than half of the database's time.
            Ok(true) => begun.elapsed().min(POLL),
            Ok(false) => POLL,
            Err(error) => {
                tracing::warn!(%error, "jobs that send again can't be looked for; trying again");
                POLL
            }
        };
        stop.run_until_cancelled(tokio::time::sleep(rest)).await;
    }
}

/// One step of each job; whether one has more to do right now.
pub(super) async fn pass(shared: &Shared) -> Result<bool> {
    let mut more = false;
    for id in replays::running(&shared.db).await? {
        match step(shared, id).await {
            Ok(went) => more |= went,
            // The others go on.
            Err(error) => tracing::warn!(replay = %id, %error, "a replay could not go on; trying again"),
        }
    }
    Ok(more)
}

/// One step of a job; whether it has more to do right now.
async fn step(shared: &Shared, id: Uuid) -> Result<bool> {
    let registry = shared.registry.current();
    let Some(job) = replays::get(&shared.db, id).await? else { return Ok(false) };
    if replays::count_waiting(&shared.db, job.endpoint_id, MOST_WAITING).await? >= MOST_WAITING {
        return Ok(false);
    }
    let step = replays::step(&shared.db, id, |l| wants(&registry, job.endpoint_id, l)).await?;
    if matches!(step, Step::Went(made) if made > 0) {
        shared.bus.publish(Topic::Due);
    }
    Ok(matches!(step, Step::Went(_)))
}
