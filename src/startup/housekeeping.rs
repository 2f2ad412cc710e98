//! Taking away what has had its time, now and then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Db, endpoints, housekeeping};

/// How often; more often where little is kept.
const INTERVAL: Duration = Duration::from_secs(30);

/// Keeps house until it is stopped; what fails is left for the next time.
pub(super) async fn run(db: Db, keep: Duration, stop: CancellationToken) {
    let interval = INTERVAL.min(keep.max(Duration::from_secs(1)));
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        match housekeeping::expire_idempotency_keys(&db).await {
            Ok(0) => {}
            Ok(expired) => tracing::debug!(expired, "idempotency keys are over"),
            Err(error) => tracing::warn!(%error, "idempotency keys that are over can't be removed"),
        }
        match housekeeping::remove_ended_secrets(&db).await {
            Ok(0) => {}
            Ok(ended) => tracing::debug!(ended, "webhook keys are over"),
            Err(error) => tracing::warn!(%error, "webhook keys that are over can't be removed"),
        }
        // It may take its time; what it leaves is found the next time.
        match stop.run_until_cancelled(housekeeping::remove_old_deliveries(&db, keep)).await {
            None | Some(Ok(0)) => {}
            Some(Ok(rows)) => tracing::debug!(rows, "old deliveries and attempts are removed"),
            Some(Err(error)) => tracing::warn!(%error, "old deliveries can't be removed"),
        }
        match stop.run_until_cancelled(housekeeping::give_up_on_disabled(&db, keep)).await {
            None | Some(Ok(0)) => {}
            Some(Ok(ended)) => {
                tracing::warn!(ended, "deliveries to endpoints that stay disabled are given up")
            }
            Some(Err(error)) => tracing::warn!(%error, "what waits for disabled endpoints can't be given up"),
        }
        match stop.run_until_cancelled(endpoints::sweep(&db)).await {
            None | Some(Ok(0)) => {}
            Some(Ok(withdrawn)) => tracing::info!(withdrawn, "deliveries to removed endpoints are withdrawn"),
            Some(Err(error)) => tracing::warn!(%error, "removed endpoints can't be taken away"),
        }
        match housekeeping::truncate_wal(&db).await {
            Ok(true) => tracing::debug!("cut off the write-ahead log"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the write-ahead log can't be cut off"),
        }
    }
}
