//! Makes time-outs happen.
//!
//! Each second the tasks are looked for whose time is over: an index holds those alone that have one, so that it costs
//! next to nothing while there are none. Every replica with the role looks; the commit lets each task end once.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError, timeouts};

/// How often to look.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until it is stopped.
pub async fn run(app: App, stop: CancellationToken) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        // What is under way is committed or not, whether or not somebody waits for it.
        let Some(outcome) = stop.run_until_cancelled(timeouts::end_due(&app)).await else { return };
        match &outcome {
            // Maintenance may begin between the look and the commit.
            Ok(0) | Err(AppError::Maintenance { .. }) => {}
            Ok(ended) => tracing::info!(ended, "nobody decided these tasks in time"),
            Err(error) if !failing => tracing::warn!(%error, "time-outs can't be made to happen"),
            Err(error) => tracing::debug!(%error, "time-outs can't be made to happen"),
        }
        failing = outcome.is_err();
    }
}
