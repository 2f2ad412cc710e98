//! What this process knows of endpoints that are not to be sent to right now: their breaker is open, or
//! their rate is used up. The rows of the database decide; this saves asking them for each delivery.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::store::{Db, Result, deliveries};

/// How old what is known of breakers may be: another replica may have opened or closed one.
const FRESH: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct State {
    /// When the next probe of each open breaker may go, by this process's clock; none: not known yet.
    open: HashMap<Uuid, Option<Instant>>,
    /// When each rate lets something through again.
    paced: HashMap<Uuid, Instant>,
    read: Option<Instant>,
    /// The registry that rates were kept by.
    registry: i64,
}

#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<State>);

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads how endpoints are doing, if that is not known. `registry` is its number: with another, rates may
    /// be others.
    pub(super) async fn refresh(&self, db: &Db, registry: i64) -> Result<()> {
        {
            let mut state = self.state();
            let now = Instant::now();
            if state.registry != registry {
                state.registry = registry;
                state.paced.clear();
                state.read = None;
            }
            state.paced.retain(|_, until| *until > now);
            if state.read.is_some_and(|read| read.elapsed() < FRESH) {
                return Ok(());
            }
        }
        let asked = Instant::now();
        let failing = deliveries::failing(db).await?;
        let open = failing.into_iter().filter_map(|(id, (health, now))| {
            let until = health.open_until?;
            Some((id, Some(asked + until.since(now))))
        });
        let mut state = self.state();
        state.open = open.collect();
        state.read = Some(asked);
        Ok(())
    }

    /// Whether an endpoint's breaker is open.
    pub(super) fn is_open(&self, endpoint: Uuid) -> bool {
        self.state().open.contains_key(&endpoint)
    }

    /// Whether an endpoint may be asked for: a probe of an open one when it is due, of one with a rate what it
    /// lets through.
    pub(super) fn lets_look(&self, endpoint: Uuid) -> bool {
        let (state, now) = (self.state(), Instant::now());
        let probe_due = state.open.get(&endpoint).is_none_or(|until| until.is_some_and(|until| until <= now));
        probe_due && state.paced.get(&endpoint).is_none_or(|until| *until <= now)
    }

    /// Breakers opened: whether and when a probe may go is read from the database next.
    pub(super) fn opened(&self, endpoints: &[Uuid]) {
        let mut state = self.state();
        state.open.extend(endpoints.iter().map(|id| (*id, None)));
        state.read = None;
    }

    /// Breakers closed.
    pub(super) fn closed(&self, endpoints: &[Uuid]) {
        let mut state = self.state();
        for id in endpoints {
            state.open.remove(id);
        }
    }

    /// A probe was sent, or somebody else's is under way.
    pub(super) fn probed(&self, endpoint: Uuid) {
        let mut state = self.state();
        if let Some(until) = state.open.get_mut(&endpoint) {
            *until = None;
        }
    }

    /// An endpoint's rate is used up for so long.
    pub(super) fn paced(&self, endpoint: Uuid, wait: Duration) {
        self.state().paced.insert(endpoint, Instant::now() + wait);
    }

    /// When the next of the rates lets something through.
    pub(super) fn next_pace(&self) -> Option<Instant> {
        self.state().paced.values().min().copied()
    }
}
