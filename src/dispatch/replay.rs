//! Working on jobs that send again, step by step, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

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
        match pass(&shared).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a replay could not go on; trying again"),
        }
        stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
    }
}

/// One step of each job; whether one has more to do right now.
pub(super) async fn pass(shared: &Shared) -> Result<bool> {
    let mut more = false;
    for id in replays::running(&shared.db).await? {
        let registry = shared.registry.current();
        let Some(job) = replays::get(&shared.db, id).await? else { continue };
        if replays::count_waiting(&shared.db, job.endpoint_id, MOST_WAITING).await? >= MOST_WAITING {
            continue;
        }
        if let Step::Went(made) =
            replays::step(&shared.db, id, |l| wants(&registry, job.endpoint_id, l)).await?
        {
            more = true;
            if made > 0 {
                shared.bus.publish(Topic::Due);
            }
        }
    }
    Ok(more)
}
