//! The dispatcher: leases deliveries, signs and sends them, settles what became of them.
//!
//! Deliveries come two ways: born leased, out of the commit that made them, and claimed from the
//! database when they are due. Either way a delivery is sent under a lease that the database timed,
//! and settled only if the lease still holds. The rules of signing and retrying are the domain's;
//! nothing here holds a transaction while it waits for a receiver.

mod attempt;
mod claim;
mod replay;
mod settle;
mod slots;
mod standing;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use task_inbox_domain::webhook::breaker::Shown;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::app::targets::Targets;
use crate::app::vault::Vault;
use crate::bus::{Bus, Topic};
use crate::measure;
use crate::outbound::Client;
use crate::realtime::Hub;
use crate::store::commit::Hooks;
use crate::store::deliveries::{self, Leased};
use crate::store::registry::Endpoint;
use crate::store::{Db, RegistryCache, Result};
use settle::Unsettled;
use slots::{Ended, Places, Slots, Weight};
use standing::Standing;

/// How the dispatcher works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The hard end of one attempt, the answer's body included.
    pub deadline: Duration,
    /// How much longer than an attempt its lease runs: time to settle it.
    pub lease_margin: Duration,
    /// The most attempts at once.
    pub concurrency: usize,
    /// The most attempts at once to one endpoint.
    pub per_endpoint: usize,
    /// The most deliveries of an endpoint that wait in memory, leased, for an attempt to end.
    pub line: usize,
    /// What the events that are under way or wait in memory may hold together, in bytes. Beyond it, each endpoint has
    /// one attempt at a time, and what else there is waits in the database alone.
    pub bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            lease_margin: Duration::from_secs(15),
            concurrency: 1024,
            per_endpoint: 128,
            line: 384,
            bytes: 64 << 20,
        }
    }
}

impl Settings {
    /// How long a lease runs.
    pub fn lease(&self) -> Duration {
        self.deadline + self.lease_margin
    }

    /// How long an attempt may take where deliveries wait in line: the last of a full line is sent
    /// before its lease has no time left for an attempt.
    fn patience_of_lines(&self) -> Duration {
        self.lease_margin.mul_f64(self.per_endpoint as f64 / (self.per_endpoint + self.line).max(1) as f64)
    }
}

/// What the dispatcher works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Where deliveries go.
    pub registry: RegistryCache,
    /// Opens endpoints' secrets.
    pub vault: Vault,
    /// The way out.
    pub client: Client,
    /// What sending to each endpoint needs.
    pub targets: Arc<Targets>,
    /// Wake-ups.
    pub bus: Bus,
    /// Those who want to hear of attempts that fail.
    pub hub: Hub,
}

/// How long a shutdown waits for the last settlements. What is lost with them is delivered again.
const SETTLING_AT_SHUTDOWN: Duration = Duration::from_secs(5);

struct Shared {
    db: Db,
    registry: RegistryCache,
    vault: Vault,
    client: Client,
    bus: Bus,
    hub: Hub,
    settings: Settings,
    slots: Slots<Leased>,
    standing: Standing,
    targets: Arc<Targets>,
    /// Something ended: there may be a place, or a successor.
    wake: Notify,
    attempts: TaskTracker,
    /// Where attempts run: a commit that launches them has a runtime of its own.
    runtime: Handle,
    settling: mpsc::Sender<Unsettled>,
    /// Cancels attempts that a shutdown can't wait for.
    cancel: CancellationToken,
    /// Leases that nothing came of and that are to be given back.
    unused: Mutex<Vec<(Uuid, Uuid)>>,
}

/// The running dispatcher. Cheap to clone; hand it to the commit as its [`Hooks`].
#[derive(Clone)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    stop_claiming: CancellationToken,
    stop_settling: CancellationToken,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("in_flight", &self.shared.attempts.len()).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Starts claiming and settling.
    pub fn start(parts: Parts, settings: Settings) -> Self {
        let Parts { db, registry, vault, client, targets, bus, hub } = parts;
        let (settling, unsettled) = mpsc::channel(settings.concurrency * 2);
        let shared = Arc::new(Shared {
            db,
            registry,
            vault,
            client,
            bus,
            hub,
            settings,
            slots: Slots::new(
                settings.concurrency,
                settings.per_endpoint,
                settings.line,
                Weight { most: settings.bytes, of: weight },
            ),
            standing: Standing::default(),
            targets,
            wake: Notify::new(),
            attempts: TaskTracker::new(),
            runtime: Handle::current(),
            settling,
            cancel: CancellationToken::new(),
            unused: Mutex::new(Vec::new()),
        });
        let (stop_claiming, stop_settling) = (CancellationToken::new(), CancellationToken::new());
        let tasks = vec![
            tokio::spawn(claim::run(shared.clone(), stop_claiming.clone())),
            tokio::spawn(replay::run(shared.clone(), stop_claiming.clone())),
            tokio::spawn(settle::run(shared.clone(), unsettled, stop_settling.clone())),
        ];
        Self { shared, stop_claiming, stop_settling, tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// Leases nothing more; what is under way goes on. What waits for a place is given back by
    /// [`Dispatcher::drain`].
    pub fn stop_leasing(&self) {
        let waiting = self.shared.slots.close();
        self.shared.give_back(waiting.iter().map(|leased| (leased.id, leased.token)));
        self.stop_claiming.cancel();
    }

    /// Waits until everything under way is settled, at most until `deadline`, then cancels the rest
    /// and gives its leases back: an interruption costs no attempt.
    pub async fn drain(&self, deadline: Instant) {
        self.stop_leasing();
        let shared = &self.shared;
        // For other replicas, now: attempts may take long.
        shared.return_leases().await;
        shared.attempts.close();
        let deadline = tokio::time::Instant::from_std(deadline);
        if tokio::time::timeout_at(deadline, shared.attempts.wait()).await.is_err() {
            tracing::warn!(attempts = shared.attempts.len(), "cancelling attempts at shutdown");
            shared.cancel.cancel();
            let _ = tokio::time::timeout(SETTLING_AT_SHUTDOWN, shared.attempts.wait()).await;
        }
        self.give_up().await;
        // Every attempt has handed its settlement over.
        self.stop_settling.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = tokio::time::timeout(SETTLING_AT_SHUTDOWN, task).await;
        }
    }

    /// Gives back what a commit has leased since nothing is sent any more.
    pub async fn give_up(&self) {
        self.stop_leasing();
        self.shared.return_leases().await;
    }
}

impl Hooks for Dispatcher {
    fn reserve(&self, endpoint: &Endpoint) -> bool {
        // A rate is kept by claims, which all replicas make from one row.
        let held = endpoint.treatment.rate.is_some() || self.shared.standing.is_open(endpoint.id);
        !held && self.shared.slots.reserve(endpoint.id, places(endpoint))
    }

    fn release(&self, endpoint: Uuid) {
        self.shared.slots.give(endpoint, 1);
    }

    fn committed(&self, leased: Vec<Leased>, events: bool, waiting: bool) {
        for delivery in leased {
            self.shared.admit(delivery);
        }
        if events {
            self.shared.bus.publish(Topic::Log);
        }
        if waiting {
            self.shared.bus.publish(Topic::Due);
        }
    }
}

/// What a delivery holds in memory, in bytes. Endpoints that hear of one event share it until it is sent.
fn weight(leased: &Leased) -> usize {
    leased.event.body.len()
}

/// The places that an endpoint may have. Of a pattern of many hosts, what one does is not held against the others.
fn places(endpoint: &Endpoint) -> Places {
    let most = endpoint.treatment.concurrency.map_or(usize::MAX, |most| most as usize);
    Places { most, are_earned: endpoint.callback_pattern() != Some(true) }
}

impl Shared {
    /// The endpoints that can be sent to: active, and with a key that opens.
    async fn sendable_endpoints(&self) -> Result<Vec<Uuid>> {
        self.targets.endpoints(&self.db, &self.vault, &self.registry.current()).await
    }

    /// Sends a leased delivery, which has a place, in a task of its own.
    fn launch(self: &Arc<Self>, leased: Leased) {
        let shared = self.clone();
        let attempt = async move {
            let endpoint = leased.endpoint;
            let lease = (leased.id, leased.token);
            let bytes = weight(&leased);
            let begun = Instant::now();
            measure::in_flight(shared.attempts.len());
            let sending = AssertUnwindSafe(shared.send(leased)).catch_unwind();
            let done = shared.cancel.run_until_cancelled(sending).await;
            let slow = begun.elapsed() > shared.settings.patience_of_lines();
            let made = match &done {
                // What is another's, a callback's path or a host of a pattern, says nothing of the places.
                Some(Ok(Some(unsettled))) => match unsettled.attempt.shown {
                    Shown::Works => Some(true),
                    Shown::Fails => Some(false),
                    Shown::Nothing => None,
                },
                _ => None,
            };
            match done {
                // Before the place is given up: where settling lags, sending waits for it.
                Some(Ok(Some(unsettled))) => {
                    let _ = shared.settling.send(unsettled).await;
                }
                Some(Ok(None)) => {}
                // The lease runs out by itself: what it does at once, it would do for ever.
                Some(Err(_)) => tracing::error!(delivery = %lease.0, "sending a delivery panicked"),
                None => shared.give_back([lease]),
            }
            for next in shared.slots.leave(endpoint, Ended { works: made, slow, bytes }) {
                shared.launch(next);
            }
            if shared.slots.wants_more(endpoint) {
                shared.wake.notify_one();
            }
        };
        self.attempts.spawn_on(attempt, &self.runtime);
    }

    /// Sends a leased delivery that was promised a place, when it has one.
    fn admit(self: &Arc<Self>, leased: Leased) {
        if let Some(leased) = self.slots.admit(leased.endpoint, leased) {
            self.launch(leased);
        }
    }

    /// Gives back the leases that nothing came of, so that their deliveries are due.
    async fn return_leases(&self) {
        let unused = std::mem::take(&mut *self.unused.lock().unwrap_or_else(PoisonError::into_inner));
        if !unused.is_empty()
            && let Err(error) = deliveries::release(&self.db, &unused).await
        {
            tracing::warn!(%error, leases = unused.len(), "leases could not be given back; they run out by themselves");
        }
    }

    /// Nothing more goes to these endpoints for now: who waits in their lines is given back.
    fn stand_down(&self, endpoints: &[Uuid]) {
        self.standing.opened(endpoints);
        for endpoint in endpoints {
            let waiting = self.slots.empty_line(*endpoint);
            self.give_back(waiting.iter().map(|leased| (leased.id, leased.token)));
        }
    }

    /// Notes leases that [`Shared::return_leases`] gives back.
    fn give_back(&self, leases: impl IntoIterator<Item = (Uuid, Uuid)>) {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).extend(leases);
    }

    /// Makes the attempt, unless the lease is spent or the endpoint takes nothing now.
    async fn send(&self, leased: Leased) -> Option<Unsettled> {
        let until = leased.since + self.settings.lease();
        // It waited too long for a place; or this process was frozen, and others have it by now.
        if Instant::now() + self.settings.deadline > until {
            tracing::debug!(delivery = %leased.id, "a lease was spent before its delivery was sent");
            self.give_back([(leased.id, leased.token)]);
            return None;
        }
        let registry = self.registry.current();
        if registry.holds_deliveries(&leased.event.schema) {
            // Maintenance began while it waited for a place.
            self.give_back([(leased.id, leased.token)]);
            return None;
        }
        let target = match self.targets.get(&self.db, &self.vault, &registry, leased.endpoint).await {
            Ok(Some(target)) => target,
            other => {
                if let Err(error) = other {
                    tracing::warn!(%error, "secrets can't be read");
                }
                self.give_back([(leased.id, leased.token)]);
                return None;
            }
        };
        let deadline = target.timeout.map_or(self.settings.deadline, |own| own.min(self.settings.deadline));
        let attempt = attempt::make(&self.client, &target, &leased, deadline).await;
        Some(Unsettled { attempt, until })
    }
}
