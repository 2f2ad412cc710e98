//! Writing down what became of attempts, many in one transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::bus::Topic;
use crate::measure;
use crate::realtime::topic::{self, Of, What};
use crate::store::StoreError;
use crate::store::deliveries::{self, Fate, Settled};

/// The most rows of one settlement.
const BATCH: usize = 100;

/// How long a settlement waits for company while attempts come thick; alone, one waits for nobody.
const LINGER: Duration = Duration::from_millis(10);

/// An attempt to settle, and until when its lease can hold.
pub(super) struct Unsettled {
    pub(super) attempt: Settled,
    pub(super) until: Instant,
}

/// Settles what comes; once `stop` says that nothing more will, settles what is left and ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut attempts: mpsc::Receiver<Unsettled>,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut busy = false;
    loop {
        tokio::select! {
            biased;
            count = attempts.recv_many(&mut batch, BATCH) => if count == 0 { return },
            () = stop.cancelled(), if !attempts.is_closed() => { attempts.close(); continue }
        }
        if busy && batch.len() < BATCH {
            let linger =
                async { while batch.len() < BATCH && attempts.recv_many(&mut batch, 1).await > 0 {} };
            let _ = tokio::time::timeout(LINGER, linger).await;
        }
        busy = batch.len() > 1;
        settle(&shared, std::mem::take(&mut batch)).await;
    }
}

async fn settle(shared: &Shared, batch: Vec<Unsettled>) {
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        if try_settle(shared, &part).await.is_err() {
            // The database refuses something of it: the others must not suffer for that.
            let second = part.split_off(part.len() / 2);
            parts.extend([second, part]);
        }
    }
}

/// Something that the database refuses is among several.
struct Refused;

async fn try_settle(shared: &Shared, batch: &[Unsettled]) -> Result<(), Refused> {
    let Some(until) = batch.iter().map(|u| u.until).max() else { return Ok(()) };
    let attempts: Vec<&Settled> = batch.iter().map(|u| &u.attempt).collect();
    let mut pause = Duration::from_millis(5);
    let begun = Instant::now();
    let (mut is_plain, mut plain) = (false, Vec::new());
    let settled = loop {
        let now: Vec<&Settled> = if is_plain { plain.iter().collect() } else { attempts.clone() };
        match deliveries::settle(&shared.db, &shared.registry.current(), &now).await {
            Ok(settled) => break settled,
            Err(StoreError::Data(detail)) if attempts.len() > 1 => {
                tracing::warn!(%detail, attempts = attempts.len(), "the database refused a settlement; splitting it");
                return Err(Refused);
            }
            // What may be odd in it is what a receiver said; without that, it may be kept.
            Err(StoreError::Data(detail)) if !is_plain => {
                tracing::warn!(%detail, delivery = %attempts[0].id, "the database refuses a settlement; leaving out what was answered");
                is_plain = true;
                plain = attempts
                    .iter()
                    .map(|a| Settled { error: None, response: Vec::new(), ..(*a).clone() })
                    .collect();
            }
            // It would be refused for ever, and all others wait behind it.
            Err(StoreError::Data(detail)) => {
                tracing::error!(%detail, delivery = %attempts[0].id, "the database refuses a settlement; the delivery is made again");
                return Ok(());
            }
            // Past its end the lease proves nothing; the delivery is made again, which a receiver
            // that deduplicates does not see.
            Err(error) if Instant::now() >= until => {
                tracing::error!(%error, attempts = attempts.len(), "attempts could not be settled in time");
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(%error, attempts = attempts.len(), "settling again");
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    };
    if settled.held.len() < attempts.len() {
        tracing::warn!(
            lost = attempts.len() - settled.held.len(),
            "leases had run out before their attempts were settled"
        );
    }
    measure::settled(attempts.len(), attempts.len() - settled.held.len(), begun.elapsed());
    measure::breakers(settled.stopped.len(), settled.recovered.len());
    shared.stand_down(&settled.stopped);
    shared.standing.closed(&settled.recovered);
    for endpoint in &settled.stopped {
        tracing::warn!(%endpoint, "an endpoint fails again and again: its deliveries wait until a probe succeeds");
    }
    for endpoint in &settled.recovered {
        tracing::info!(%endpoint, "an endpoint works again");
    }
    if settled.disabled {
        shared.bus.publish(Topic::Registry);
    }
    if settled.events {
        shared.bus.publish(Topic::Log);
        shared.bus.publish(Topic::Due);
    }
    let held: std::collections::HashSet<_> = settled.held.into_iter().collect();
    let mut wake = !settled.stopped.is_empty() || !settled.recovered.is_empty();
    for attempt in attempts.iter().filter(|a| held.contains(&a.id)) {
        log(attempt);
        count(attempt);
        tell(shared, attempt);
        // A delivery that ended lets the next one of its task go.
        wake |= !matches!(attempt.fate, Fate::Retry(_));
    }
    if wake {
        shared.wake.notify_one();
    }
    Ok(())
}

/// Tells those who listen here of an attempt that failed. It is told once, and not kept for who doesn't hear it.
///
/// What it says of an endpoint is for who sees all that goes there: a topic of one schema, or of its task, tells of the
/// endpoints that hear of that schema alone.
fn tell(shared: &Shared, attempt: &Settled) {
    let (next, dead) = match attempt.fate {
        Fate::Delivered => return,
        Fate::Retry(after) => (Some(attempt.started.plus(attempt.duration).plus(after)), None),
        Fate::Dead(reason) => (None, Some(reason)),
    };
    let registry = shared.registry.current();
    let is_its_own = registry
        .endpoint(attempt.endpoint)
        .and_then(|endpoint| endpoint.schemas())
        .is_some_and(|schemas| schemas.iter().all(|schema| *schema == attempt.schema));
    let topics = topic::Topic::all(What::AttemptFailed, &attempt.schema, attempt.task_id)
        .filter(|topic| is_its_own || topic.of == Of::Everything);
    shared.hub.tell(topics, || {
        json!({
            "event_id": attempt.event_id,
            "event_type": attempt.kind.as_str(),
            "task_id": attempt.task_id,
            "schema": attempt.schema,
            "delivery_id": attempt.id,
            "endpoint_id": attempt.endpoint,
            "attempt": attempt.number,
            "started": attempt.started,
            "outcome": attempt.outcome,
            "status": attempt.status,
            "error": attempt.error,
            "next_attempt": next,
            "dead": dead,
        })
        .to_string()
    });
}

fn count(attempt: &Settled) {
    match attempt.fate {
        Fate::Delivered => {
            let ended = attempt.started.plus(attempt.duration);
            measure::delivered(ended.since(attempt.happened));
        }
        Fate::Retry(_) => {}
        Fate::Dead(reason) => measure::dead(reason, 1),
    }
}

fn log(attempt: &Settled) {
    let Settled { id, event_id, endpoint, number, outcome, status, error, .. } = attempt;
    let ms = attempt.duration.as_millis() as u64;
    match attempt.fate {
        Fate::Delivered => {
            tracing::debug!(delivery = %id, event = %event_id, attempt = number, ms, "delivered");
        }
        Fate::Retry(after) => tracing::warn!(
            delivery = %id, event = %event_id, %endpoint, attempt = number, ms, outcome, status, error,
            retry_in_s = after.as_secs(), "an attempt failed"
        ),
        Fate::Dead(reason) => tracing::error!(
            delivery = %id, event = %event_id, %endpoint, attempt = number, ms, outcome, status, error, reason,
            "a delivery is dead: it is given up until it is resent"
        ),
    }
}
