//! Wake-ups between the tasks of a process and between processes.
//!
//! A wake-up says that a table is worth a look. It carries no data and may be lost: whoever waits
//! for one also looks by itself now and then. The database holds the truth.

mod nats;
mod postgres;
mod redis;
mod remote;

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

/// How processes wake each other.
#[derive(Clone, Debug, Default)]
pub enum Kind {
    /// As fits the database: PostgreSQL's NOTIFY between replicas, none on SQLite.
    #[default]
    Database,
    /// They don't: each looks by itself, twice a second.
    Memory,
    /// By Redis Pub/Sub.
    Redis(Box<::redis::Client>),
    /// By NATS, at this address.
    Nats(String),
}

impl Kind {
    /// Reads `memory`, `postgres`, `redis://...`, `rediss://...`, `nats://...` or `tls://...`.
    ///
    /// # Errors
    ///
    /// Says what is wrong, without the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        match (text, scheme) {
            ("memory", _) => Ok(Self::Memory),
            ("postgres", _) => Ok(Self::Database),
            (_, Some("redis" | "rediss")) => {
                let client = ::redis::Client::open(text);
                client
                    .map(|client| Self::Redis(Box::new(client)))
                    .map_err(|_| "is no address of a Redis server".to_owned())
            }
            (_, Some("nats" | "tls")) => {
                let address = text.parse::<async_nats::ServerAddr>();
                address
                    .map(|_| Self::Nats(text.to_owned()))
                    .map_err(|_| "is no address of a NATS server".to_owned())
            }
            _ => Err(
                "must be memory, postgres, redis://{host}, rediss://{host}, nats://{host} or tls://{host}"
                    .to_owned(),
            ),
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

    /// Starts a bus of a kind. A server that it goes by need not be there: until it is, everybody looks by
    /// themselves. Its tasks end with `stop`.
    pub fn start(kind: &Kind, db: &Db, stop: &CancellationToken) -> Self {
        let bus = Self::memory();
        match kind {
            // Other processes are noticed by looking at the database.
            Kind::Memory => {}
            Kind::Database if db.engine() == Engine::Sqlite => {}
            Kind::Database => remote::start(&bus, db.clone(), stop),
            Kind::Redis(client) => remote::start(&bus, (**client).clone(), stop),
            Kind::Nats(url) => remote::start(&bus, nats::Nats(url.clone()), stop),
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
