//! Following the log for as long as somebody in this process wants to know how it goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use task_inbox_domain::EventType;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hub::Hub;
use super::recent::Recent;
use crate::bus::{Bus, Topic};
use crate::store::log::{self, EventFilter, Logged, Page, ReadError};
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
    hub: Hub,
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
    /// The last events up to that one.
    recent: Recent,
    /// Who listens to what.
    listeners: HashMap<Wanted, Listeners>,
}

/// What somebody wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// That the log has grown.
    Growth,
    /// That something happened to this task.
    Task(Uuid),
    /// What happens, for the hub's topics.
    Topics,
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
    what: Wanted,
    last: watch::Receiver<i64>,
}

impl Tail {
    /// Starts following. Its task ends with `background`; whoever waits, with `stop`.
    pub fn start(db: &Db, bus: &Bus, stop: CancellationToken, background: &CancellationToken) -> Self {
        let tail = Self(Arc::new(Inner {
            db: db.clone(),
            hub: Hub::default(),
            state: Mutex::default(),
            wanted: Notify::new(),
            stop: stop.clone(),
        }));
        tokio::spawn(background.clone().run_until_cancelled_owned(tail.clone().run(bus.clone())));
        let hub = tail.0.hub.clone();
        tokio::spawn(background.clone().run_until_cancelled_owned(async move {
            stop.cancelled_owned().await;
            hub.end();
        }));
        tail
    }

    /// Lets whoever waits be answered now, as when the process begins to end.
    pub fn end(&self) {
        self.0.stop.cancel();
    }

    /// The listeners to topics, which are told of what happens while somebody listens to [`Wanted::Topics`].
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// Listens. What is read after this returns, and changes after that, is told.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn listen(&self, what: Wanted) -> Result<Listener, StoreError> {
        let listener = self.enter(what);
        if self.state().told.is_none() {
            // Before what the listener reads: nothing that comes after it is passed over.
            let head = log::head(&self.0.db).await?.seq;
            let mut state = self.state();
            if state.told.is_none() {
                state.told = Some(head);
                state.recent = Recent::since(head);
            }
            self.0.wanted.notify_one();
        }
        Ok(listener)
    }

    /// What came after an event, if it is in memory; the page ends at what was told last. Who asks listens to
    /// [`Wanted::Growth`].
    pub fn page(&self, after: i64, filter: &EventFilter, limit: u64) -> Option<Page> {
        let found = {
            let state = self.state();
            state.told?;
            state.recent.page(after, filter, limit)?
        };
        Some(found.into())
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.state().listeners.values().map(|listeners| listeners.count).sum()
    }

    /// Whether the process begins to end.
    pub fn is_ending(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    fn enter(&self, what: Wanted) -> Listener {
        let mut state = self.state();
        let listeners = state
            .listeners
            .entry(what)
            .or_insert_with(|| Listeners { last: watch::Sender::new(0), count: 0 });
        listeners.count += 1;
        Listener { tail: self.clone(), what, last: listeners.last.subscribe() }
    }

    fn leave(&self, what: Wanted) {
        let mut state = self.state();
        if let Some(listeners) = state.listeners.get_mut(&what) {
            listeners.count -= 1;
            if listeners.count == 0 {
                state.listeners.remove(&what);
            }
        }
        if state.listeners.is_empty() {
            state.told = None;
            state.recent = Recent::default();
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
        match log::read(&self.0.db, told, &EventFilter::default(), PAGE).await {
            Ok(page) => {
                let more = page.seen > told;
                self.tell(told, page.events.into_iter().map(Arc::new).collect(), page.seen);
                Ok(more)
            }
            // What was trimmed, or comes from before a restore, is not known: everybody looks.
            Err(ReadError::BelowFloor { floor: seq } | ReadError::AheadOfLog { head: seq }) => {
                self.lose(told, seq);
                Ok(true)
            }
            Err(ReadError::Store(error)) => Err(error),
        }
    }

    /// Tells of these events, the next ones after `told`; if it is still that: everybody may have left meanwhile, and
    /// somebody come.
    fn tell(&self, told: i64, events: Vec<Arc<Logged>>, seen: i64) {
        let mut state = self.state();
        if state.told != Some(told) {
            return;
        }
        state.told = Some(seen);
        for logged in &events {
            state.recent.push(logged);
        }
        self.0.hub.publish(&events);
        // Tasks that are gone with their schema end no wait by an event of their own.
        if events.iter().any(|l| l.event.kind == EventType::SchemaRemoved) {
            state.listeners.values().for_each(|listeners| listeners.tell(seen));
            return;
        }
        if let Some(listeners) = state.listeners.get(&Wanted::Growth) {
            listeners.tell(seen);
        }
        for logged in events {
            let task = logged.event.task_id.map(Wanted::Task);
            if let Some(listeners) = task.and_then(|task| state.listeners.get(&task)) {
                listeners.tell(logged.seq);
            }
        }
    }

    /// Tells everybody to look: what happened isn't known.
    fn lose(&self, told: i64, seq: i64) {
        let mut state = self.state();
        if state.told == Some(told) {
            state.told = Some(seq);
            state.recent = Recent::since(seq);
            self.0.hub.lose();
            state.listeners.values().for_each(|listeners| listeners.tell(seq));
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
