//! The last events of the log, for all who follow it closely.

use std::collections::VecDeque;
use std::sync::Arc;

use task_inbox_domain::EventType;

use crate::store::log::{EventFilter, Logged, Page};

/// The most events that are kept.
const MOST: usize = 2_000;

/// The most bytes of their bodies.
const MOST_BYTES: usize = 8 << 20;

/// As much as a page holds, if it is not a single event.
const PAGE_BYTES: usize = 4 << 20;

/// Every event after a number, without a gap, up to what was read last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    after: i64,
    events: VecDeque<Arc<Logged>>,
    bytes: usize,
}

impl Recent {
    /// Nothing yet of what comes after this number.
    pub(super) fn since(after: i64) -> Self {
        Self { after, ..Self::default() }
    }

    /// Adds the next event.
    pub(super) fn push(&mut self, logged: &Arc<Logged>) {
        self.bytes += logged.event.body.len();
        self.events.push_back(logged.clone());
        // Whose events its name's next bearer may not show is looked up where they are read.
        if logged.event.kind == EventType::SchemaRemoved {
            *self = Self::since(logged.seq);
        }
        while self.events.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.event.body.len();
            self.after = oldest.seq;
        }
    }

    /// What comes after a number, if all of that is here: the events and where the page ends.
    pub(super) fn page(&self, after: i64, filter: &EventFilter, limit: u64) -> Option<Found> {
        let first = usize::try_from(after - self.after).ok().filter(|first| *first <= self.events.len())?;
        let mut found = Found { events: Vec::new(), seen: after };
        let mut bytes = 0;
        for logged in self.events.range(first..) {
            if filter.lets_through(&logged.event) {
                bytes += logged.event.body.len();
                let is_full = found.events.len() as u64 >= limit || bytes > PAGE_BYTES;
                if is_full && !found.events.is_empty() {
                    break;
                }
                found.events.push(logged.clone());
            }
            found.seen = logged.seq;
        }
        Some(found)
    }
}

/// A page, of which nothing is copied yet.
pub(super) struct Found {
    events: Vec<Arc<Logged>>,
    seen: i64,
}

impl From<Found> for Page {
    fn from(found: Found) -> Self {
        Self { events: found.events.iter().map(|logged| (**logged).clone()).collect(), seen: found.seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use task_inbox_domain::{Event, Timestamp};
    use uuid::Uuid;

    fn logged(seq: i64, kind: EventType, size: usize) -> Arc<Logged> {
        let event = Event {
            id: Uuid::now_v7(),
            kind,
            created: Timestamp::default(),
            actor: "cli".to_owned(),
            schema: if seq % 2 == 0 { "even" } else { "odd" }.to_owned(),
            ttype: None,
            task_id: None,
            version: None,
            body: "x".repeat(size),
        };
        Arc::new(Logged { seq, event })
    }

    fn page(recent: &Recent, after: i64, filter: &EventFilter, limit: u64) -> Option<(Vec<i64>, i64)> {
        let page = Page::from(recent.page(after, filter, limit)?);
        Some((page.events.iter().map(|l| l.seq).collect(), page.seen))
    }

    fn all() -> EventFilter {
        EventFilter::default()
    }

    #[test]
    fn tells_what_it_has_all_of() {
        let mut recent = Recent::since(10);
        assert_eq!(page(&recent, 10, &all(), 5), Some((vec![], 10)));
        for seq in 11..=20 {
            recent.push(&logged(seq, EventType::TaskCreated, 1));
        }
        assert_eq!(page(&recent, 10, &all(), 3), Some((vec![11, 12, 13], 13)));
        assert_eq!(page(&recent, 18, &all(), 3), Some((vec![19, 20], 20)));
        assert_eq!(page(&recent, 20, &all(), 3), Some((vec![], 20)));
        assert_eq!(page(&recent, 9, &all(), 3), None, "before it");
        assert_eq!(page(&recent, 21, &all(), 3), None, "behind it");
        let even = EventFilter { schema: Some("even".to_owned()), ..all() };
        assert_eq!(page(&recent, 10, &even, 2), Some((vec![12, 14], 15)), "it moves past what is left out");
        assert_eq!(page(&recent, 16, &even, 2), Some((vec![18, 20], 20)));
        let none = EventFilter { schema: Some("none".to_owned()), ..all() };
        assert_eq!(page(&recent, 10, &none, 2), Some((vec![], 20)));
    }

    #[test]
    fn keeps_the_last_ones() {
        let mut recent = Recent::since(0);
        for seq in 1..=MOST as i64 + 5 {
            recent.push(&logged(seq, EventType::TaskCreated, 1));
        }
        assert_eq!(page(&recent, 4, &all(), 1), None);
        assert_eq!(page(&recent, 5, &all(), 1), Some((vec![6], 6)));
        let mut heavy = Recent::since(0);
        for seq in 1..=5 {
            heavy.push(&logged(seq, EventType::TaskCreated, MOST_BYTES / 3));
        }
        assert_eq!(page(&heavy, 1, &all(), 9), None);
        assert_eq!(page(&heavy, 2, &all(), 9), Some((vec![3], 3)), "a page holds less");
        heavy.push(&logged(6, EventType::TaskCreated, 2 * MOST_BYTES));
        assert_eq!(page(&heavy, 6, &all(), 9), Some((vec![], 6)));
        assert_eq!(page(&heavy, 5, &all(), 9), None);
    }

    #[test]
    fn begins_anew_where_a_schema_was_removed() {
        let mut recent = Recent::since(0);
        for seq in 1..=3 {
            recent.push(&logged(seq, EventType::TaskCreated, 1));
        }
        recent.push(&logged(4, EventType::SchemaRemoved, 1));
        recent.push(&logged(5, EventType::TaskCreated, 1));
        assert_eq!(page(&recent, 3, &all(), 9), None);
        assert_eq!(page(&recent, 4, &all(), 9), Some((vec![5], 5)));
    }
}
