//! Which webhooks were seen before.
//!
//! Delivery is at least once: an answer that got lost makes the sender repeat, with the same
//! `webhook-id`. This memory is bounded and lost on a restart. A real application keeps the ids in
//! its database, in the transaction that does what the webhook asks for.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// How many ids are remembered: the retries of one event span days, but few events fail.
pub(crate) const CAPACITY: usize = 100_000;

/// The last ids, oldest forgotten first.
pub(crate) struct Seen {
    capacity: usize,
    ids: HashSet<Arc<str>>,
    oldest_first: VecDeque<Arc<str>>,
}

impl Seen {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, ids: HashSet::new(), oldest_first: VecDeque::new() }
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Remembers an id; one that is known keeps its place.
    pub(crate) fn insert(&mut self, id: &str) {
        if self.contains(id) {
            return;
        }
        let id: Arc<str> = id.into();
        self.ids.insert(Arc::clone(&id));
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > self.capacity
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_once_inserted() {
        let mut seen = Seen::new(10);
        assert!(!seen.contains("evt_1"));
        seen.insert("evt_1");
        assert!(seen.contains("evt_1"));
        assert!(!seen.contains("evt_2"));
    }

    #[test]
    fn the_oldest_is_forgotten_and_memory_is_bounded() {
        let mut seen = Seen::new(3);
        for n in 0..10 {
            seen.insert(&format!("evt_{n}"));
            seen.insert(&format!("evt_{n}"));
        }
        let known: Vec<_> = (0..10).filter(|n| seen.contains(&format!("evt_{n}"))).collect();
        assert_eq!(known, [7, 8, 9]);
        assert_eq!(seen.ids.len(), 3);
        assert_eq!(seen.oldest_first.len(), 3);
    }
}
