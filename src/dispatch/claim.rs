//! Finding deliveries that are due and sharing the free places among their endpoints.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Shared;
use crate::bus::Topic;
use crate::store::{Result, deliveries};

/// How often the database is asked without being told to: what a lost wake-up costs at most.
const POLL: Duration = Duration::from_secs(1);

/// The most deliveries that one endpoint gets in a turn, so that others have theirs.
const TURN: usize = 128;

/// Claims until it is told to stop.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut due = shared.bus.subscribe(Topic::Due);
    let mut first = 0;
    loop {
        if let Err(error) = pass(&shared, first).await {
            tracing::warn!(%error, "due deliveries could not be claimed; trying again");
        }
        first = first.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => return,
            // The bus is in `shared`, so that its sender is there.
            _ = due.changed() => {}
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// One look: claims in turns until nothing is due or nobody has room for more. `first` says whose turn
/// comes first, so that it is not always the same endpoint's.
pub(super) async fn pass(shared: &Arc<Shared>, first: usize) -> Result<()> {
    shared.return_leases().await;
    let sendable = shared.sendable_endpoints().await?;
    for endpoint in shared.slots.behind() {
        // What is behind at an endpoint that can't be sent to is no reason to look.
        if !sendable.contains(&endpoint) {
            shared.slots.set_behind(endpoint, false);
        }
    }
    let mut due = deliveries::due_endpoints(&shared.db, &sendable).await?;
    for endpoint in sendable.iter().filter(|e| !due.contains(e) && shared.slots.is_behind(**e)) {
        shared.slots.set_behind(*endpoint, false);
    }
    due.sort_unstable();
    if !due.is_empty() {
        let turns = due.len();
        due.rotate_left(first % turns);
    }
    while !due.is_empty() {
        let mut left = Vec::with_capacity(due.len());
        for endpoint in due {
            if turn(shared, endpoint).await? {
                left.push(endpoint);
            }
        }
        due = left;
    }
    Ok(())
}

/// One endpoint's turn; whether it may have another: not while it takes only what becomes free, or a
/// backlog that is sent as fast as it is claimed would keep all others waiting.
async fn turn(shared: &Arc<Shared>, endpoint: Uuid) -> Result<bool> {
    let places = shared.slots.take(endpoint, TURN);
    if places == 0 {
        shared.slots.set_behind(endpoint, true);
        return Ok(false);
    }
    let claimed = match deliveries::claim(&shared.db, endpoint, places, shared.settings.lease()).await {
        Ok(claimed) => claimed,
        Err(error) => {
            shared.slots.give(endpoint, places);
            return Err(error);
        }
    };
    shared.slots.give(endpoint, places - claimed.len());
    let full = claimed.len() == places;
    shared.slots.set_behind(endpoint, full);
    for leased in claimed {
        shared.admit(leased);
    }
    if full {
        return Ok(places == TURN);
    }
    // Others may be due behind those that wait for an earlier delivery.
    let parked = deliveries::park(&shared.db, endpoint).await?;
    if parked {
        shared.slots.set_behind(endpoint, true);
    }
    Ok(parked)
}
