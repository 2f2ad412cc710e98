//! Places for attempts: how many may run at once, in all and for each endpoint.
//!
//! The cap for each endpoint is what keeps one that hangs from taking every place.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Counts places. All of it is one short critical section.
#[derive(Debug)]
pub(super) struct Slots {
    per_endpoint: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    endpoints: HashMap<Uuid, Endpoint>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Endpoint {
    in_flight: usize,
    /// Deliveries wait in the database: a new one must not pass them.
    behind: bool,
}

impl Slots {
    pub(super) fn new(total: usize, per_endpoint: usize) -> Self {
        Self {
            per_endpoint,
            state: Mutex::new(State { free: total, endpoints: HashMap::new(), closed: false }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more places an endpoint with `in_flight` attempts may take: up to its cap, and never
    /// more than half of what it holds and what is free together, so that it takes many endpoints
    /// that hang to leave no place for one that works.
    fn share(&self, in_flight: usize, free: usize) -> usize {
        let half = (in_flight + free).div_ceil(2);
        half.min(self.per_endpoint).saturating_sub(in_flight).min(free)
    }

    /// Takes one place for a delivery that is just being made, unless older ones wait.
    pub(super) fn reserve(&self, endpoint: Uuid) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let free = state.free;
        let entry = state.endpoints.entry(endpoint).or_default();
        if entry.behind || self.share(entry.in_flight, free) == 0 {
            // What gets no place now will wait in the database.
            entry.behind = true;
            return false;
        }
        entry.in_flight += 1;
        state.free -= 1;
        true
    }

    /// Takes up to `wanted` places for deliveries that wait; returns how many.
    pub(super) fn take(&self, endpoint: Uuid, wanted: usize) -> usize {
        let mut state = self.state();
        if state.closed {
            return 0;
        }
        let free = state.free;
        let entry = state.endpoints.entry(endpoint).or_default();
        let taken = wanted.min(self.share(entry.in_flight, free));
        entry.in_flight += taken;
        state.free -= taken;
        taken
    }

    /// Gives places back.
    pub(super) fn give(&self, endpoint: Uuid, count: usize) {
        let mut state = self.state();
        if let Some(entry) = state.endpoints.get_mut(&endpoint) {
            entry.in_flight = entry.in_flight.saturating_sub(count);
            if entry.in_flight == 0 && !entry.behind {
                state.endpoints.remove(&endpoint);
            }
        }
        state.free += count;
    }

    /// Notes whether deliveries of an endpoint are left waiting.
    pub(super) fn set_behind(&self, endpoint: Uuid, behind: bool) {
        self.state().endpoints.entry(endpoint).or_default().behind = behind;
    }

    /// Whether deliveries of an endpoint wait for a place.
    pub(super) fn is_behind(&self, endpoint: Uuid) -> bool {
        self.state().endpoints.get(&endpoint).is_some_and(|e| e.behind)
    }

    /// The endpoints of which deliveries are known to wait.
    pub(super) fn behind(&self) -> Vec<Uuid> {
        self.state().endpoints.iter().filter(|(_, e)| e.behind).map(|(id, _)| *id).collect()
    }

    /// How many places are free.
    pub(super) fn free(&self) -> usize {
        self.state().free
    }

    /// Gives out no more places.
    pub(super) fn close(&self) {
        self.state().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_never_takes_every_place() {
        let slots = Slots::new(10, 4);
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(slots.take(a, 100), 4);
        assert_eq!(slots.take(b, 100), 3, "half of the six that were left");
        assert_eq!(slots.free(), 3);
        slots.give(a, 4);
        assert_eq!(slots.free(), 7);
    }

    #[test]
    fn many_that_hang_leave_a_place() {
        let slots = Slots::new(1024, 128);
        for hanging in 1..=12 {
            while slots.take(Uuid::from_u128(hanging), 32) > 0 {}
        }
        assert!(slots.reserve(Uuid::from_u128(99)), "{} are free", slots.free());
    }

    #[test]
    fn a_new_delivery_never_passes_those_that_wait() {
        let slots = Slots::new(10, 1);
        let a = Uuid::from_u128(1);
        assert!(slots.reserve(a));
        assert!(!slots.reserve(a), "over the cap");
        slots.give(a, 1);
        assert!(!slots.reserve(a), "one waits in the database");
        slots.set_behind(a, false);
        assert!(slots.reserve(a));
    }

    #[test]
    fn closed_slots_give_nothing() {
        let slots = Slots::new(10, 10);
        slots.close();
        assert!(!slots.reserve(Uuid::nil()));
        assert_eq!(slots.take(Uuid::nil(), 1), 0);
    }
}
