//! Following the log for as long as somebody in this process wants to know how it goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use task_inbox_domain::EventType;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{Bus, Topic};
use crate::store::log::{self, EventFilter, Logged, ReadError};
use crate::store::{Db, StoreError};

/// How often the log is looked at without being told to: what a lost wake-up costs at most.
const POLL: Duration = Duration::from_millis(500);

/// How many events one look reads.
const PAGE: u64 = 500;

/// The follower of the log of one process. Cheap to clone. While nobody listens, nothing is read.
#[derive(Clone, Debug)]
pub struct Tail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    state: Mutex<State>,
    /// Somebody listens.
    wanted: Notify,
    /// The process begins to end: whoever waits is to be answered now.
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// Everything up to this event was told; none while nobody listens.
    told: Option<i64>,
    /// Who listens to a task; `None` is the whole log.
    listeners: HashMap<Option<Uuid>, Listeners>,
}

/// Those who listen to one thing.
#[derive(Debug)]
struct Listeners {
    /// The last event that concerns it, as far as was told.
    last: watch::Sender<i64>,
    count: usize,
}

/// Hears of what happens to a task, or to the whole log, from when it was made.
#[derive(Debug)]
pub struct Listener {
    tail: Tail,
    what: Option<Uuid>,
    last: watch::Receiver<i64>,
}

impl Tail {
    /// Starts following. Its task ends with `background`; whoever waits, with `stop`.
    pub fn start(db: &Db, bus: &Bus, stop: CancellationToken, background: &CancellationToken) -> Self {
        let tail =
            Self(Arc::new(Inner { db: db.clone(), state: Mutex::default(), wanted: Notify::new(), stop }));
        tokio::spawn(background.clone().run_until_cancelled_owned(tail.clone().run(bus.clone())));
        tail
    }

    /// Listens to a task, or to the whole log. What is read of it after this returns, and changes after that, is told.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn listen(&self, what: Option<Uuid>) -> Result<Listener, StoreError> {
        let listener = self.enter(what);
        if self.state().told.is_none() {
            // Before what the listener reads: nothing that comes after it is passed over.
            let head = log::head(&self.0.db).await?.seq;
            self.state().told.get_or_insert(head);
            self.0.wanted.notify_one();
        }
        Ok(listener)
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.state().listeners.values().map(|listeners| listeners.count).sum()
    }

    /// Whether the process begins to end.
    pub fn is_ending(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    fn enter(&self, what: Option<Uuid>) -> Listener {
        let mut state = self.state();
        let listeners = state
            .listeners
            .entry(what)
            .or_insert_with(|| Listeners { last: watch::Sender::new(0), count: 0 });
        listeners.count += 1;
        Listener { tail: self.clone(), what, last: listeners.last.subscribe() }
    }

    fn leave(&self, what: Option<Uuid>) {
        let mut state = self.state();
        if let Some(listeners) = state.listeners.get_mut(&what) {
            listeners.count -= 1;
            if listeners.count == 0 {
                state.listeners.remove(&what);
            }
        }
        if state.listeners.is_empty() {
            state.told = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self, bus: Bus) {
        let mut grown = bus.subscribe(Topic::Log);
        loop {
            let Some(told) = self.state().told else {
                self.0.wanted.notified().await;
                continue;
            };
            grown.borrow_and_update();
            let more = match self.look(told).await {
                Ok(more) => more,
                Err(error) => {
                    tracing::warn!(%error, "the log can't be followed; trying again");
                    false
                }
            };
            if !more {
                // The bus is in `self`'s process for as long as it runs.
                let _ = tokio::time::timeout(POLL, grown.changed()).await;
            }
        }
    }

    /// Tells of what came after `told`; whether there may be more.
    async fn look(&self, told: i64) -> Result<bool, StoreError> {
        let wants_tasks = self.state().listeners.keys().any(Option::is_some);
        if !wants_tasks {
            let head = log::head(&self.0.db).await?.seq;
            self.tell(&[], head, head < told);
            return Ok(false);
        }
        match log::read(&self.0.db, told, &EventFilter::default(), PAGE).await {
            Ok(page) => {
                let more = page.seen > told;
                self.tell(&page.events, page.seen, false);
                Ok(more)
            }
            // What was trimmed, or comes from before a restore, is not known: everybody looks.
            Err(ReadError::BelowFloor { floor: seq } | ReadError::AheadOfLog { head: seq }) => {
                self.tell(&[], seq, true);
                Ok(true)
            }
            Err(ReadError::Store(error)) => Err(error),
        }
    }

    /// Tells who listens; `all` where it isn't known whom it concerns.
    fn tell(&self, events: &[Logged], seen: i64, all: bool) {
        let mut state = self.state();
        if state.told.is_none() {
            return;
        }
        // Tasks that are gone with their schema end no wait by an event of their own.
        let all = all || events.iter().any(|l| l.event.kind == EventType::SchemaRemoved);
        state.told = Some(seen);
        if all {
            state.listeners.values().for_each(|listeners| listeners.tell(seen));
            return;
        }
        if let Some(listeners) = state.listeners.get(&None) {
            listeners.tell(seen);
        }
        for logged in events {
            if let Some(listeners) = logged.event.task_id.and_then(|task| state.listeners.get(&Some(task))) {
                listeners.tell(logged.seq);
            }
        }
    }
}

impl Listeners {
    fn tell(&self, seq: i64) {
        self.last.send_if_modified(|last| std::mem::replace(last, seq) != seq);
    }
}

impl Listener {
    /// Waits until something happened since this was last called, or since the listener was made. `false`: the process
    /// begins to end.
    pub async fn changed(&mut self) -> bool {
        let tail = self.tail.clone();
        // The sender stays for as long as there is a listener.
        tail.0.stop.run_until_cancelled(self.last.changed()).await.is_some()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tail.leave(self.what);
    }
}
