//! Places for attempts: how many may run at once, in all and for each endpoint; and each endpoint's
//! line, where leased deliveries wait for a place.
//!
//! The cap for each endpoint is what keeps one that hangs from taking every place. An endpoint begins with two
//! places and has twice as many after each delivery that it takes, half as many after each that it doesn't: one
//! that never answers, or answers what costs much to read, has no more than two attempts at work. The line takes
//! up what a batch brings more than there are places, so that it need not be looked for in the database; what is
//! too much for the memory is looked for there all the same.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// How many places an endpoint has of which nothing good is known.
const FIRST: usize = 2;

/// How an attempt ended, as far as its endpoint's places depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Whether it showed that the endpoint works; `None`: it was not made, or showed nothing.
    pub(super) works: Option<bool>,
    /// It took so long that who waits in the endpoint's line would wait in vain.
    pub(super) slow: bool,
    /// What it held in memory, in bytes.
    pub(super) bytes: usize,
}

/// The places that an endpoint may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The most that it wants itself.
    pub(super) most: usize,
    /// Whether it begins with few.
    pub(super) are_earned: bool,
}

/// What may be under way and stand in all lines together, by weight: so many in number may still be more than there
/// is memory for. One endpoint has no more of it than it leaves to all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight<T> {
    /// In bytes. Promises are not weighed: what they bring may go beyond it, and nothing is promised after that.
    pub(super) most: usize,
    /// What one holds in memory, in bytes.
    pub(super) of: fn(&T) -> usize,
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
    weight: Weight<T>,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    free: usize,
    /// Promised, and in the lines of all endpoints.
    waiting: usize,
    /// What is under way and in the lines of all endpoints, in bytes.
    bytes: usize,
    endpoints: HashMap<Uuid, Endpoint<T>>,
    closed: bool,
}

/// What is used of what all endpoints share.
#[derive(Clone, Copy)]
struct Used {
    free: usize,
    waiting: usize,
    bytes: usize,
}

impl<T> State<T> {
    fn used(&self) -> Used {
        Used { free: self.free, waiting: self.waiting, bytes: self.bytes }
    }
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
    /// What is under way to it and in its line, in bytes.
    bytes: usize,
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
            bytes: 0,
            slow: false,
            behind: false,
        }
    }
}

impl<T> Endpoint<T> {
    /// One of which nothing is known.
    fn first(places: Places) -> Self {
        let window = if places.are_earned { FIRST } else { usize::MAX };
        Self { window, ..Self::default() }
    }

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
    /// no more than `total`, and no more than the weight, for all endpoints together.
    pub(super) fn new(total: usize, per_endpoint: usize, line: usize, weight: Weight<T>) -> Self {
        Self {
            per_endpoint,
            quick: total / 8,
            line,
            lines: total,
            weight,
            state: Mutex::new(State {
                free: total,
                waiting: 0,
                bytes: 0,
                endpoints: HashMap::new(),
                closed: false,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more places an endpoint may take: up to its cap, and never more than half of what it
    /// holds and what is free together, so that it takes many endpoints that hang to leave no place for
    /// one that works.
    fn share(&self, endpoint: &Endpoint<T>, used: Used) -> usize {
        let free = used.free;
        if endpoint.in_flight > 0 && !self.bears(endpoint, used) {
            return 0;
        }
        // One for each there is, or what stands in its line would stand there until its lease is over.
        let kept = if endpoint.slow && endpoint.in_flight > 0 { self.quick } else { 0 };
        let free = free.saturating_sub(kept);
        let half = (endpoint.in_flight + free).div_ceil(2);
        half.min(self.cap(endpoint)).min(endpoint.window).saturating_sub(endpoint.in_flight).min(free)
    }

    /// Whether an endpoint may hold more than it does, by weight.
    fn bears(&self, endpoint: &Endpoint<T>, used: Used) -> bool {
        endpoint.bytes < self.weight.most.saturating_sub(used.bytes)
    }

    fn cap(&self, endpoint: &Endpoint<T>) -> usize {
        endpoint.cap.min(self.per_endpoint)
    }

    /// How many more leases are of use to an endpoint: its share of the places, and of the lines, which
    /// is at most half of what is left, too. A slow endpoint has no line.
    fn room(&self, endpoint: &Endpoint<T>, used: Used) -> usize {
        let held = endpoint.waiting();
        let left = if self.bears(endpoint, used) { self.lines.saturating_sub(used.waiting) } else { 0 };
        // Fewer places move a line more slowly.
        let longest = (self.line * self.cap(endpoint)).div_ceil(self.per_endpoint);
        let line = if endpoint.slow || left == 0 { 0 } else { longest.min((held + left).div_ceil(2)) };
        (self.share(endpoint, used) + line).saturating_sub(held)
    }

    /// Promises one place or one in the line, for a delivery that is just being made, unless older
    /// ones wait in the database.
    pub(super) fn reserve(&self, endpoint: Uuid, places: Places) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let used = state.used();
        let entry = state.endpoints.entry(endpoint).or_insert_with(|| Endpoint::first(places));
        entry.cap = places.most;
        if entry.behind || self.room(entry, used) == 0 {
            // What gets no place now will wait in the database.
            entry.behind = true;
            return false;
        }
        entry.promised += 1;
        state.waiting += 1;
        true
    }

    /// Promises up to `wanted` to deliveries that wait in the database; returns how many.
    pub(super) fn take(&self, endpoint: Uuid, places: Places, wanted: usize) -> usize {
        let mut state = self.state();
        if state.closed {
            return 0;
        }
        let used = state.used();
        let entry = state.endpoints.entry(endpoint).or_insert_with(|| Endpoint::first(places));
        entry.cap = places.most;
        let taken = wanted.min(self.room(entry, used));
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
        let (used, closed) = (state.used(), state.closed);
        let bytes = (self.weight.of)(&delivery);
        let entry = state.endpoints.entry(endpoint).or_default();
        let promised = usize::from(entry.promised > 0);
        entry.promised -= promised;
        let waits = closed || !entry.line.is_empty() || self.share(entry, used) == 0;
        entry.bytes += bytes;
        let admitted = if waits {
            entry.line.push_back(delivery);
            None
        } else {
            entry.in_flight += 1;
            Some(delivery)
        };
        state.waiting = state.waiting - promised + usize::from(waits);
        state.bytes += bytes;
        state.free -= usize::from(!waits);
        admitted
    }

    /// Gives a place back after an attempt; returns who has it now: the next of this endpoint's line, or of
    /// others'.
    pub(super) fn leave(&self, endpoint: Uuid, ended: Ended) -> Vec<T> {
        let mut state = self.state();
        state.free += 1;
        state.bytes = state.bytes.saturating_sub(ended.bytes);
        if let Some(entry) = state.endpoints.get_mut(&endpoint) {
            entry.bytes = entry.bytes.saturating_sub(ended.bytes);
            entry.in_flight = entry.in_flight.saturating_sub(1);
            if let Some(works) = ended.works {
                entry.slow = ended.slow;
                let window = if works {
                    entry.window.saturating_mul(2)
                } else {
                    entry.window.min(self.per_endpoint) / 2
                };
                entry.window = window.clamp(FIRST, self.per_endpoint.max(FIRST));
            }
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
        let used = state.used();
        let entry = state.endpoints.get_mut(&endpoint)?;
        if self.share(entry, used) == 0 {
            return None;
        }
        let delivery = entry.line.pop_front()?;
        entry.in_flight += 1;
        state.free -= 1;
        state.waiting -= 1;
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
            let room = self.room(entry, state.used());
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
        let bytes = waiting.iter().map(self.weight.of).sum();
        entry.bytes = entry.bytes.saturating_sub(bytes);
        if entry.is_idle() {
            state.endpoints.remove(&endpoint);
        }
        state.waiting -= waiting.len();
        state.bytes = state.bytes.saturating_sub(bytes);
        waiting
    }

    /// Promises nothing more and moves nobody up; returns those who wait in the lines.
    pub(super) fn close(&self) -> Vec<T> {
        let mut state = self.state();
        state.closed = true;
        let waiting: Vec<T> =
            state.endpoints.values_mut().flat_map(|endpoint| std::mem::take(&mut endpoint.line)).collect();
        state.waiting -= waiting.len();
        // Of each endpoint it is not counted out: nothing is promised any more.
        let bytes = waiting.iter().map(self.weight.of).sum::<usize>();
        state.bytes = state.bytes.saturating_sub(bytes);
        waiting
    }
}

#[cfg(test)]
mod tests;
