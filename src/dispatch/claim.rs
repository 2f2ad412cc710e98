//! Finding deliveries that are due and sharing the free places among their endpoints.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Shared, places};
use crate::bus::Topic;
use crate::measure;
use crate::store::deliveries::Claimed;
use crate::store::registry::{Endpoint, Held};
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
            () = tokio::time::sleep_until(next_look(&shared).into()) => {}
        }
    }
}

/// When to look without being told to: after a while, or when a rate lets something through.
fn next_look(shared: &Shared) -> Instant {
    let poll = Instant::now() + POLL;
    shared.standing.next_pace().map_or(poll, |pace| pace.min(poll))
}

/// One look: claims in turns until nothing is due or nobody has room for more. `first` says whose turn
/// comes first, so that it is not always the same endpoint's.
pub(super) async fn pass(shared: &Arc<Shared>, first: usize) -> Result<()> {
    shared.return_leases().await;
    let registry = shared.registry.current();
    let sendable: HashSet<Uuid> = shared.sendable_endpoints().await?.into_iter().collect();
    shared.standing.refresh(&shared.db, registry.number).await?;
    for endpoint in shared.slots.behind() {
        // What is behind at an endpoint that can't be sent to is no reason to look.
        if !sendable.contains(&endpoint) {
            shared.slots.set_behind(endpoint, false);
        }
    }
    let looked_at: Vec<Uuid> = sendable.iter().copied().filter(|e| shared.standing.lets_look(*e)).collect();
    let mut due = deliveries::due_endpoints(&shared.db, &looked_at, registry.held_schemas()).await?;
    let found: HashSet<Uuid> = due.iter().copied().collect();
    for endpoint in looked_at.iter().filter(|e| !found.contains(e) && shared.slots.is_behind(**e)) {
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
    let registry = shared.registry.current();
    let Some(known) = registry.endpoint(endpoint) else { return Ok(false) };
    let open = shared.standing.is_open(endpoint);
    let places = shared.slots.take(endpoint, places(known), if open { 1 } else { TURN });
    if places == 0 {
        shared.slots.set_behind(endpoint, true);
        return Ok(false);
    }
    let begun = Instant::now();
    let held_schemas = registry.held_schemas();
    let found = find(shared, known, open, places, held_schemas).await;
    let Ok(Claimed { leased: claimed, wait }) = found else {
        shared.slots.give(endpoint, places);
        return found.map(|_| false);
    };
    measure::claimed(claimed.len(), begun.elapsed());
    shared.slots.give(endpoint, places - claimed.len());
    let full = claimed.len() == places;
    if let Some(wait) = wait {
        shared.standing.paced(endpoint, wait);
    }
    // What a breaker or a rate holds back is looked for in its time.
    let held = open || known.treatment.rate.is_some();
    shared.slots.set_behind(endpoint, full && !held);
    for leased in claimed {
        shared.admit(leased);
    }
    if open || wait.is_some() {
        return Ok(false);
    }
    if full {
        return Ok(places == TURN);
    }
    // Others may be due behind those that wait for an earlier delivery.
    let parked = deliveries::park(&shared.db, endpoint, held_schemas).await?;
    if parked && !held {
        shared.slots.set_behind(endpoint, true);
    }
    Ok(parked)
}

/// Leases what an endpoint may be sent now.
async fn find(
    shared: &Shared,
    endpoint: &Endpoint,
    open: bool,
    places: usize,
    held: &Held,
) -> Result<Claimed> {
    let (db, lease) = (&shared.db, shared.settings.lease());
    if open {
        shared.standing.probed(endpoint.id);
        return Ok(Claimed { leased: deliveries::probe(db, endpoint.id, lease, held).await?, wait: None });
    }
    match endpoint.treatment.rate {
        Some(rate) => deliveries::claim_paced(db, endpoint.id, rate, places, lease, held).await,
        None => {
            Ok(Claimed { leased: deliveries::claim(db, endpoint.id, places, lease, held).await?, wait: None })
        }
    }
}
