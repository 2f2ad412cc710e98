//! Wake-ups between the tasks of a process and between processes.
//!
//! A wake-up says that a table is worth a look. It carries no data and may be lost: whoever waits
//! for one also looks by itself now and then. The database holds the truth.

mod postgres;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::store::{Db, Engine};

/// What is worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The log has grown.
    Log,
    /// A delivery that nobody has leased is due.
    Due,
    /// A schema, an endpoint or a secret changed.
    Registry,
    /// An API key changed.
    Keys,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 4] = [Self::Log, Self::Due, Self::Registry, Self::Keys];

    const fn letter(self) -> char {
        match self {
            Self::Log => 'l',
            Self::Due => 'd',
            Self::Registry => 'r',
            Self::Keys => 'k',
        }
    }
}

/// The most often that this process tells the others, however much happens.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(10);

/// The bus of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topics: [watch::Sender<u64>; 4],
    /// Topics to tell other processes of; taken by the publishing task.
    outgoing: std::sync::Mutex<[bool; 4]>,
    has_outgoing: Notify,
}

impl Bus {
    /// A bus that reaches this process alone.
    pub fn memory() -> Self {
        Self(Arc::new(Inner {
            topics: std::array::from_fn(|_| watch::channel(0).0),
            outgoing: std::sync::Mutex::new([false; 4]),
            has_outgoing: Notify::new(),
        }))
    }

    /// The bus that fits the database: PostgreSQL's NOTIFY between replicas; memory on SQLite, where
    /// other processes are noticed by looking at the file.
    ///
    /// Its tasks end with `stop`.
    pub fn start(db: &Db, stop: &CancellationToken) -> Self {
        let bus = Self::memory();
        if db.engine() == Engine::Postgres {
            postgres::start(&bus, db, stop);
        }
        bus
    }

    /// Wakes whoever waits for the topic, here and in other processes.
    pub fn publish(&self, topic: Topic) {
        self.wake(topic);
        self.0.outgoing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[topic as usize] = true;
        self.0.has_outgoing.notify_one();
    }

    /// Wakes whoever waits for the topic in this process.
    pub fn wake(&self, topic: Topic) {
        self.0.topics[topic as usize].send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Tells of each wake-up by `changed()`; several may come as one.
    pub fn subscribe(&self, topic: Topic) -> watch::Receiver<u64> {
        self.0.topics[topic as usize].subscribe()
    }

    fn take_outgoing(&self) -> String {
        let taken =
            std::mem::take(&mut *self.0.outgoing.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        Topic::ALL.into_iter().filter(|t| taken[*t as usize]).map(Topic::letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_those_who_wait_for_the_topic() {
        let bus = Bus::memory();
        let (mut log, due) = (bus.subscribe(Topic::Log), bus.subscribe(Topic::Due));
        bus.publish(Topic::Log);
        log.changed().await.expect("the bus is there");
        assert!(!due.has_changed().expect("the bus is there"));
        assert_eq!(bus.take_outgoing(), "l");
        assert_eq!(bus.take_outgoing(), "");
    }
}
