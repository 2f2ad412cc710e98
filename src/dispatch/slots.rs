//! Places for attempts: how many may run at once, in all and for each endpoint; and each endpoint's
//! line, where leased deliveries wait for a place.
//!
//! The cap for each endpoint is what keeps one that hangs from taking every place. An endpoint begins with two
//! places and has twice as many after each delivery that it takes, half as many after each that it doesn't: one
//! that never answers, or answers what costs much to read, has no more than two attempts at work. The line takes
//! up what a batch brings more than there are places, so that it need not be looked for in the database.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// How many places an endpoint has of which nothing good is known.
const FIRST: usize = 2;

/// How an attempt ended, as far as its endpoint's places depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Whether it was delivered; `None`: it was not made.
    pub(super) delivered: Option<bool>,
    /// It took so long that who waits in the endpoint's line would wait in vain.
    pub(super) slow: bool,
}

/// Counts places and keeps the lines of `T`. Each operation is one short critical section.
#[derive(Debug)]
pub(super) struct Slots<T> {
    per_endpoint: usize,
    /// Places that are kept from endpoints which answer slowly, so that many of them leave some for the others.
    quick: usize,
    line: usize,
    /// What all lines hold together, so that many endpoints that hang don't fill the memory.
    lines: usize,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    free: usize,
    /// Promised, and in the lines of all endpoints.
    waiting: usize,
    endpoints: HashMap<Uuid, Endpoint<T>>,
    closed: bool,
}

#[derive(Debug)]
struct Endpoint<T> {
    /// The most places that it wants itself.
    cap: usize,
    /// How many it may have by what its last attempts came to.
    window: usize,
    in_flight: usize,
    /// Promised to deliveries that are being made or claimed: a place, or one in the line.
    promised: usize,
    line: VecDeque<T>,
    /// Its last attempt took so long that who waits in its line would wait in vain.
    slow: bool,
    /// Deliveries wait in the database: a new one must not pass them.
    behind: bool,
}

impl<T> Default for Endpoint<T> {
    fn default() -> Self {
        Self {
            cap: usize::MAX,
            window: FIRST,
            in_flight: 0,
            promised: 0,
            line: VecDeque::new(),
            slow: false,
            behind: false,
        }
    }
}

impl<T> Endpoint<T> {
    /// How many leases wait or may come.
    fn waiting(&self) -> usize {
        self.promised + self.line.len()
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting() == 0 && !self.behind
    }
}

impl<T> Slots<T> {
    /// `total` places, of which an endpoint takes at most `per_endpoint`; at most `line` more wait, and
    /// no more than `total` for all endpoints together.
    pub(super) fn new(total: usize, per_endpoint: usize, line: usize) -> Self {
        Self {
            per_endpoint,
            quick: total / 8,
            line,
            lines: total,
            state: Mutex::new(State { free: total, waiting: 0, endpoints: HashMap::new(), closed: false }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more places an endpoint may take: up to its cap, and never more than half of what it
    /// holds and what is free together, so that it takes many endpoints that hang to leave no place for
    /// one that works.
    fn share(&self, endpoint: &Endpoint<T>, free: usize) -> usize {
        let free = if endpoint.slow { free.saturating_sub(self.quick) } else { free };
        let half = (endpoint.in_flight + free).div_ceil(2);
        half.min(self.cap(endpoint)).min(endpoint.window).saturating_sub(endpoint.in_flight).min(free)
    }

    fn cap(&self, endpoint: &Endpoint<T>) -> usize {
        endpoint.cap.min(self.per_endpoint)
    }

    /// How many more leases are of use to an endpoint: its share of the places, and of the lines, which
    /// is at most half of what is left, too. A slow endpoint has no line.
    fn room(&self, endpoint: &Endpoint<T>, free: usize, waiting: usize) -> usize {
        let held = endpoint.waiting();
        let left = self.lines.saturating_sub(waiting);
        // Fewer places move a line more slowly.
        let longest = (self.line * self.cap(endpoint)).div_ceil(self.per_endpoint);
        let line = if endpoint.slow { 0 } else { longest.min((held + left).div_ceil(2)) };
        (self.share(endpoint, free) + line).saturating_sub(held)
    }

    /// Promises one place or one in the line, for a delivery that is just being made, unless older
    /// ones wait in the database. `cap` is the endpoint's own.
    pub(super) fn reserve(&self, endpoint: Uuid, cap: Option<usize>) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let (free, waiting) = (state.free, state.waiting);
        let entry = state.endpoints.entry(endpoint).or_default();
        entry.cap = cap.unwrap_or(usize::MAX);
        if entry.behind || self.room(entry, free, waiting) == 0 {
            // What gets no place now will wait in the database.
            entry.behind = true;
            return false;
        }
        entry.promised += 1;
        state.waiting += 1;
        true
    }

    /// Promises up to `wanted` to deliveries that wait in the database; returns how many.
    pub(super) fn take(&self, endpoint: Uuid, cap: Option<usize>, wanted: usize) -> usize {
        let mut state = self.state();
        if state.closed {
            return 0;
        }
        let (free, waiting) = (state.free, state.waiting);
        let entry = state.endpoints.entry(endpoint).or_default();
        entry.cap = cap.unwrap_or(usize::MAX);
        let taken = wanted.min(self.room(entry, free, waiting));
        entry.promised += taken;
        state.waiting += taken;
        taken
    }

    /// Takes promises back that nothing came of.
    pub(super) fn give(&self, endpoint: Uuid, count: usize) {
        let mut state = self.state();
        if let Some(entry) = state.endpoints.get_mut(&endpoint) {
            let given = count.min(entry.promised);
            entry.promised -= given;
            if entry.is_idle() {
                state.endpoints.remove(&endpoint);
            }
            state.waiting -= given;
        }
    }

    /// Keeps a promise: returns the delivery if it has a place now, and puts it in the line if not, or if
    /// nothing is sent any more.
    pub(super) fn admit(&self, endpoint: Uuid, delivery: T) -> Option<T> {
        let mut state = self.state();
        let (free, closed) = (state.free, state.closed);
        let entry = state.endpoints.entry(endpoint).or_default();
        let promised = usize::from(entry.promised > 0);
        entry.promised -= promised;
        let waits = closed || !entry.line.is_empty() || self.share(entry, free) == 0;
        let admitted = if waits {
            entry.line.push_back(delivery);
            None
        } else {
            entry.in_flight += 1;
            Some(delivery)
        };
        state.waiting = state.waiting - promised + usize::from(waits);
        state.free -= usize::from(!waits);
        admitted
    }

    /// Gives a place back after an attempt; returns who has it now: the next of this endpoint's line, or of
    /// others'.
    pub(super) fn leave(&self, endpoint: Uuid, ended: Ended) -> Vec<T> {
        let mut state = self.state();
        state.free += 1;
        if let Some(entry) = state.endpoints.get_mut(&endpoint) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            entry.slow = ended.slow;
            entry.window = match ended.delivered {
                Some(true) => (entry.window * 2).min(self.per_endpoint.max(FIRST)),
                Some(false) => (entry.window / 2).max(FIRST),
                None => entry.window,
            };
            if entry.is_idle() {
                state.endpoints.remove(&endpoint);
            }
        }
        if state.closed {
            return Vec::new();
        }
        let own: Vec<T> = std::iter::from_fn(|| self.advance(&mut state, endpoint)).collect();
        if !own.is_empty() {
            return own;
        }
        // Who found all places taken has nobody of its own to wait for.
        let others: Vec<Uuid> =
            state.endpoints.iter().filter(|(_, e)| !e.line.is_empty()).map(|(id, _)| *id).collect();
        others.into_iter().filter_map(|other| self.advance(&mut state, other)).collect()
    }

    /// The first of an endpoint's line, if it has a place now.
    fn advance(&self, state: &mut State<T>, endpoint: Uuid) -> Option<T> {
        let free = state.free;
        let entry = state.endpoints.get_mut(&endpoint)?;
        if self.share(entry, free) == 0 {
            return None;
        }
        let delivery = entry.line.pop_front()?;
        entry.in_flight += 1;
        state.waiting -= 1;
        state.free -= 1;
        Some(delivery)
    }

    /// Notes whether deliveries of an endpoint are left waiting in the database.
    pub(super) fn set_behind(&self, endpoint: Uuid, behind: bool) {
        let mut state = self.state();
        let entry = state.endpoints.entry(endpoint).or_default();
        entry.behind = behind;
        if entry.is_idle() {
            state.endpoints.remove(&endpoint);
        }
    }

    /// Whether deliveries of an endpoint wait in the database.
    pub(super) fn is_behind(&self, endpoint: Uuid) -> bool {
        self.state().endpoints.get(&endpoint).is_some_and(|e| e.behind)
    }

    /// Whether it is worth looking in the database for deliveries of an endpoint: some wait there, and
    /// there is room for as many as wait here, so that few looks find many.
    pub(super) fn wants_more(&self, endpoint: Uuid) -> bool {
        let state = self.state();
        state.endpoints.get(&endpoint).is_some_and(|entry| {
            let room = self.room(entry, state.free, state.waiting);
            entry.behind && room > 0 && room >= entry.waiting()
        })
    }

    /// The endpoints of which deliveries are known to wait in the database.
    pub(super) fn behind(&self) -> Vec<Uuid> {
        self.state().endpoints.iter().filter(|(_, e)| e.behind).map(|(id, _)| *id).collect()
    }

    /// Empties an endpoint's line: nobody in it is to be sent now.
    pub(super) fn empty_line(&self, endpoint: Uuid) -> Vec<T> {
        let mut state = self.state();
        let Some(entry) = state.endpoints.get_mut(&endpoint) else { return Vec::new() };
        let waiting: Vec<T> = std::mem::take(&mut entry.line).into();
        if entry.is_idle() {
            state.endpoints.remove(&endpoint);
        }
        state.waiting -= waiting.len();
        waiting
    }

    /// Promises nothing more and moves nobody up; returns those who wait in the lines.
    pub(super) fn close(&self) -> Vec<T> {
        let mut state = self.state();
        state.closed = true;
        let waiting: Vec<T> =
            state.endpoints.values_mut().flat_map(|endpoint| std::mem::take(&mut endpoint.line)).collect();
        state.waiting -= waiting.len();
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const QUICK: Ended = Ended { delivered: Some(true), slow: false };
    const SLOW: Ended = Ended { delivered: Some(true), slow: true };

    /// Of which much good is known: endpoints have as many places as their caps let them.
    fn proven(total: usize, per_endpoint: usize, line: usize) -> Slots<usize> {
        let slots = Slots::new(total, per_endpoint, line);
        for endpoint in (1..=60).chain([99, 999]).map(Uuid::from_u128) {
            // Kept by what waits for it in the database.
            let entry = Endpoint { window: usize::MAX / 4, behind: false, ..Endpoint::default() };
            slots.state().endpoints.insert(endpoint, entry);
        }
        slots
    }

    /// Brings in so many; returns how many run.
    fn bring(slots: &Slots<usize>, endpoint: Uuid, count: usize) -> usize {
        let taken = slots.take(endpoint, None, count);
        (0..taken).filter_map(|number| slots.admit(endpoint, number)).count()
    }

    #[test]
    fn one_endpoint_never_takes_every_place() {
        let slots = proven(10, 4, 0);
        assert_eq!(bring(&slots, A, 100), 4);
        assert_eq!(bring(&slots, B, 100), 3, "half of the six that were left");
        assert!(slots.leave(A, QUICK).is_empty());
        assert_eq!(bring(&slots, A, 100), 1);
    }

    #[test]
    fn an_endpoints_own_cap_holds_with_a_shorter_line() {
        let slots = proven(100, 10, 20);
        assert_eq!(slots.take(A, Some(2), 100), 2 + 4);
        assert_eq!((0..6).filter_map(|number| slots.admit(A, number)).count(), 2);
        assert_eq!(slots.leave(A, QUICK), [2]);
        assert_eq!(slots.empty_line(A), [3, 4, 5]);
        assert!(slots.leave(A, QUICK).is_empty());
        assert_eq!(slots.take(A, None, 100), 9 + 20, "one is under way, and it is as any other");
    }

    #[test]
    fn many_that_hang_leave_a_place() {
        let slots = proven(1024, 128, 384);
        for hanging in 1..=12 {
            while bring(&slots, Uuid::from_u128(hanging), 32) > 0 {}
        }
        assert!(slots.reserve(Uuid::from_u128(99), None));
        assert_eq!(slots.admit(Uuid::from_u128(99), 7), Some(7));
    }

    #[test]
    fn many_that_are_slow_leave_places_for_the_quick() {
        let slots = proven(1024, 128, 0);
        for slow in 1..=60 {
            let endpoint = Uuid::from_u128(slow);
            // Nothing is known of it at first; one of two tells, while the other is under way.
            bring(&slots, endpoint, 2);
            slots.leave(endpoint, SLOW);
            bring(&slots, endpoint, 128);
        }
        // Less one for each, from when nothing was known of it.
        let free = slots.state().free;
        assert!(free >= 1024 / 8 - 60, "{free}");
        assert_eq!(bring(&slots, Uuid::from_u128(999), 32), 32);
    }

    #[test]
    fn places_are_earned_by_deliveries() {
        let slots = Slots::new(1024, 128, 384);
        assert_eq!(bring(&slots, A, 100), 2, "nothing is known of it");
        for moved_up in [3, 5, 9] {
            assert_eq!(slots.leave(A, QUICK).len(), moved_up, "twice as many are under way");
        }
        let failed = Ended { delivered: Some(false), slow: false };
        for _ in 0..10 {
            slots.leave(A, failed);
        }
        assert_eq!(slots.state().endpoints[&A].window, 2, "and lost by failures");
        let unmade = Ended { delivered: None, slow: false };
        slots.leave(A, unmade);
        assert_eq!(slots.state().endpoints[&A].window, 2);
    }

    #[test]
    fn the_line_moves_up_in_its_order() {
        let slots = proven(10, 1, 2);
        assert!(slots.reserve(A, None) && slots.reserve(A, None) && slots.reserve(A, None));
        assert!(!slots.reserve(A, None), "the line is full");
        assert_eq!(slots.admit(A, 1), Some(1));
        assert_eq!(slots.admit(A, 2), None);
        assert_eq!(slots.admit(A, 3), None);
        assert_eq!(slots.leave(A, QUICK), [2]);
        assert_eq!(slots.leave(A, QUICK), [3]);
        assert!(slots.leave(A, QUICK).is_empty());
    }

    #[test]
    fn the_lines_are_shared() {
        let slots = proven(16, 1, 12);
        let leases: Vec<usize> =
            (1..=6).map(|endpoint| slots.take(Uuid::from_u128(endpoint), None, 100)).collect();
        assert_eq!(leases[..3], [9, 5, 2], "a place, and half of what the lines have left");
        assert!(leases.iter().all(|count| *count > 0), "nobody is left without: {leases:?}");
        assert!(leases.iter().sum::<usize>() <= 16 + 6);
    }

    #[test]
    fn a_slow_endpoint_has_no_line() {
        let slots = proven(10, 1, 4);
        assert_eq!(bring(&slots, A, 2), 1);
        assert_eq!(slots.leave(A, SLOW), [1]);
        assert_eq!(slots.take(A, None, 100), 0);
        assert!(slots.leave(A, QUICK).is_empty());
        assert_eq!(slots.take(A, None, 100), 5, "it was quick again");
    }

    #[test]
    fn a_place_goes_to_another_line_if_its_own_is_empty() {
        let slots = proven(1, 1, 1);
        assert!(slots.reserve(A, None) && slots.reserve(B, None));
        assert_eq!(slots.admit(A, 1), Some(1));
        assert_eq!(slots.admit(B, 2), None, "no place in all");
        assert_eq!(slots.leave(A, QUICK), [2]);
    }

    #[test]
    fn a_new_delivery_never_passes_those_that_wait() {
        let slots = proven(10, 1, 0);
        assert!(slots.reserve(A, None));
        assert_eq!(slots.admit(A, 1), Some(1));
        assert!(!slots.reserve(A, None), "over the cap");
        assert!(slots.leave(A, QUICK).is_empty());
        assert!(!slots.reserve(A, None), "one waits in the database");
        assert!(slots.wants_more(A));
        slots.set_behind(A, false);
        assert!(slots.reserve(A, None));
    }

    #[test]
    fn the_database_is_asked_again_once_half_of_the_line_is_free() {
        let slots = proven(10, 1, 4);
        assert_eq!(bring(&slots, A, 5), 1);
        slots.set_behind(A, true);
        assert!(!slots.wants_more(A));
        slots.leave(A, QUICK);
        assert!(!slots.wants_more(A));
        slots.leave(A, QUICK);
        assert!(slots.wants_more(A));
    }

    #[test]
    fn closed_slots_promise_nothing_and_give_up_their_lines() {
        let slots = proven(10, 1, 3);
        bring(&slots, A, 3);
        assert_eq!(slots.close(), [1, 2]);
        assert!(!slots.reserve(B, None));
        assert_eq!(slots.take(B, None, 1), 0);
        assert!(slots.leave(A, QUICK).is_empty());
        assert_eq!(slots.admit(B, 9), None, "there is a place, but nothing is sent any more");
        assert_eq!(slots.close(), [9]);
    }
}
