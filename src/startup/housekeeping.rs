//! Taking away what has had its time, now and then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::measure;
use crate::store::{Db, Engine, RegistryCache, Result, endpoints, housekeeping, statistics};

/// How often; more often where little is kept.
const INTERVAL: Duration = Duration::from_secs(30);

/// How often it is seen whether tables have grown.
const COUNT: Duration = Duration::from_secs(1);

/// How long deliveries wait for an endpoint that is disabled, at least, however little is kept of what ended.
const LEAST_WAIT: Duration = Duration::from_hours(30 * 24);

/// Keeps house until it is stopped; what fails is left for the next time.
pub(super) async fn run(db: Db, registry: RegistryCache, keep: Duration, stop: CancellationToken) {
    let interval = INTERVAL.min(keep.max(Duration::from_secs(1)));
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        tell("idempotency keys that are over", Some(housekeeping::expire_idempotency_keys(&db).await));
        tell("webhook keys that are over", Some(housekeeping::remove_ended_secrets(&db).await));
        // These may take their time; what they leave is found the next time.
        let old = stop.run_until_cancelled(housekeeping::remove_old_deliveries(&db, keep)).await;
        tell("old deliveries and attempts", old);
        let known = registry.current();
        let waiting = endpoints::give_up(&db, &known, keep.max(LEAST_WAIT));
        let waiting = stop.run_until_cancelled(waiting).await;
        if let Some(Ok(ended @ 1..)) = waiting {
            tracing::warn!(ended, "deliveries to endpoints that stay disabled are given up");
            measure::dead("endpoint_disabled", ended);
        }
        tell("what waits for endpoints that stay disabled", waiting);
        tell("what waits for removed endpoints", stop.run_until_cancelled(endpoints::sweep(&db)).await);
        match housekeeping::truncate_wal(&db).await {
            Ok(true) => tracing::debug!("cut off the write-ahead log"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the write-ahead log can't be cut off"),
        }
    }
}

/// Has tables counted that have grown far beyond what the database knows, until it is stopped.
pub(super) async fn count(db: Db, stop: CancellationToken) {
    if db.engine() != Engine::Postgres {
        return;
    }
    while stop.run_until_cancelled(tokio::time::sleep(COUNT)).await.is_some() {
        match statistics::count_grown(&db).await {
            Ok(grown) if grown.is_empty() => {}
            Ok(grown) => tracing::debug!(?grown, "tables have grown; they were counted"),
            Err(error) => tracing::debug!(%error, "tables can't be counted"),
        }
    }
}

/// Says what became of taking something away; `None`: it was stopped.
fn tell(what: &'static str, outcome: Option<Result<u64>>) {
    match outcome {
        None | Some(Ok(0)) => {}
        Some(Ok(rows)) => tracing::debug!(what, rows, "tidied up"),
        Some(Err(error)) => tracing::warn!(what, %error, "can't tidy up"),
    }
}
