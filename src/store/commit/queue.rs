//! The queue in front of the database, and what to do when a batch fails.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::batch::{self, Done, Failed, Prepared};
use super::member::{CommitError, Member, Reply};
use crate::measure;
use crate::store::deliveries::Leased;
use crate::store::registry::{Endpoint, Registry};
use crate::store::{Db, Engine, RegistryCache, Result, StoreError, log};

/// What the dispatcher does for the commit: a delivery that it has a free place for is leased to
/// it in the transaction that makes it, and is sent without being looked for.
pub trait Hooks: Send + Sync + 'static {
    /// Takes a place for a delivery to this endpoint, if there is one and nothing older waits.
    fn reserve(&self, endpoint: &Endpoint) -> bool;
    /// Gives a place back.
    fn release(&self, endpoint: Uuid);
    /// A batch is durable. `leased` are the deliveries in reserved places; `events` tells whether
    /// the log has grown, `waiting` whether deliveries were made that nobody has leased.
    fn committed(&self, leased: Vec<Leased>, events: bool, waiting: bool);
}

/// For a process without a dispatcher: every delivery waits for one.
#[derive(Clone, Copy, Debug)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn reserve(&self, _: &Endpoint) -> bool {
        false
    }

    fn release(&self, _: Uuid) {}

    fn committed(&self, _: Vec<Leased>, _: bool, _: bool) {}
}

/// The patience of a batch that follows one which found no database: enough to go through pooled
/// connections that broke when it went away.
const IMPATIENCE: Duration = Duration::from_millis(300);

/// How the commit works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a delivery that is born leased belongs to this process.
    pub lease: Duration,
    /// The most members of one transaction.
    pub max_batch: usize,
    /// The most members that may wait; one more is refused as overload.
    pub queue: usize,
    /// How long answers are kept under their idempotency keys.
    pub idempotency_ttl: Duration,
    /// How long a batch that meets contention or an unreachable database is tried again, and how
    /// long a commit whose outcome is unknown is looked up, before its members hear of it.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            max_batch: 512,
            queue: 8192,
            idempotency_ttl: Duration::from_hours(48),
            patience: Duration::from_secs(5),
        }
    }
}

pub(super) struct Context {
    pub(super) db: Db,
    pub(super) registry: RegistryCache,
    pub(super) hooks: Arc<dyn Hooks>,
    pub(super) settings: Settings,
    /// The last batch found no database, or no room in it: until one does, none is waited for long.
    down: AtomicBool,
}

struct Queued {
    member: Member,
    reply: oneshot::Sender<std::result::Result<Reply, CommitError>>,
}

/// The way into the group commit. Cheap to clone.
#[derive(Clone)]
pub struct Commit {
    queue: mpsc::Sender<Queued>,
    /// Answered when the last batch is done.
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
    closing: tokio_util::sync::CancellationToken,
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Commit {
    /// Starts the thread that owns the queue.
    pub async fn start(
        db: Db,
        registry: RegistryCache,
        hooks: Arc<dyn Hooks>,
        settings: Settings,
    ) -> Result<Self> {
        let (queue, waiting) = mpsc::channel(settings.queue);
        let closing = tokio_util::sync::CancellationToken::new();
        let context = Context { db, registry, hooks, settings, down: AtomicBool::new(false) };
        let ended = own_thread(context, waiting, closing.clone()).await?;
        Ok(Self { queue, ended: Arc::new(Mutex::new(Some(ended))), closing })
    }

    /// How many members wait.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Hands a member over and waits until it is durable or refused.
    ///
    /// A caller that stops waiting takes nothing back: the member goes on with its batch.
    pub async fn submit(&self, member: Member) -> std::result::Result<Reply, CommitError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || CommitError::Unavailable("the service is stopping".to_owned());
        self.queue.try_send(Queued { member, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer.await.unwrap_or_else(|_| {
            Err(CommitError::Unavailable("the commit broke off; whether it was done is not known".to_owned()))
        })
    }

    /// Commits what waits and takes no more.
    pub async fn close(&self) {
        self.closing.cancel();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            let _ = ended.await;
        }
    }
}

/// Runs the queue's owner on a thread with a runtime of its own; answers when it has ended.
///
/// Everybody waits for it: its statements must not stand in a line behind requests that are being
/// read and answered, each time that the database has said something.
async fn own_thread(
    mut context: Context,
    queue: mpsc::Receiver<Queued>,
    closing: tokio_util::sync::CancellationToken,
) -> Result<oneshot::Receiver<()>> {
    let failed = |e: std::io::Error| StoreError::Unavailable(format!("the commit's thread: {e}"));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // SQLite speaks through channels: without sockets to watch, its answers wake the thread cheaply.
    let runtime = match context.db.engine() {
        Engine::Sqlite => runtime.enable_time(),
        Engine::Postgres => runtime.enable_all(),
    };
    let runtime = runtime.build().map_err(failed)?;
    let (opening, opened) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let owner = async move {
        match context.db.for_this_runtime().await {
            Ok(db) => context.db = db,
            Err(error) => return drop(opening.send(Err(error))),
        }
        let _ = opening.send(Ok(()));
        let db = context.db.clone();
        work(context, queue, closing).await;
        db.leave_runtime().await;
        let _ = end.send(());
    };
    std::thread::Builder::new()
        .name("commit".to_owned())
        .spawn(move || runtime.block_on(owner))
        .map_err(failed)?;
    opened.await.map_err(|_| StoreError::Unavailable("the commit's thread ended".to_owned()))??;
    Ok(ended)
}

async fn work(
    context: Context,
    mut queue: mpsc::Receiver<Queued>,
    closing: tokio_util::sync::CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = queue.recv_many(&mut batch, context.settings.max_batch) => if count == 0 { return },
            () = closing.cancelled(), if !queue.is_closed() => { queue.close(); continue }
        }
        // What one batch meets must not end the commit for all that come after it.
        let batch = AssertUnwindSafe(commit(&context, std::mem::take(&mut batch)));
        if batch.catch_unwind().await.is_err() {
            tracing::error!("a batch panicked; whether it was done is not known");
        }
    }
}

/// Commits a batch, whatever it takes, and answers every member.
async fn commit(context: &Context, queued: Vec<Queued>) {
    // The batch runs under one registry. A member that was prepared under an older one is sent
    // back to be prepared again; one under a newer one shows that the newest is known.
    let Some(registry) = queued.iter().map(|q| &q.member.registry).max_by_key(|r| r.number).cloned() else {
        return;
    };
    let (current, stale): (Vec<_>, Vec<_>) =
        queued.into_iter().partition(|q| q.member.registry.number == registry.number);
    for queued in stale {
        let _ = queued.reply.send(Err(CommitError::RegistryMoved));
    }
    let mut groups = vec![current];
    while let Some(group) = groups.pop() {
        let members: Vec<&Member> = group.iter().map(|q| &q.member).collect();
        match persist(context, &registry, &members).await {
            Ok(done) => {
                context.hooks.committed(done.leased, done.events, done.waiting);
                for (queued, outcome) in group.into_iter().zip(done.outcomes) {
                    let _ = queued.reply.send(outcome);
                }
            }
            Err(Refused::Data(detail)) if group.len() > 1 => {
                tracing::warn!(%detail, members = group.len(), "the database refused a batch; splitting it");
                let mut first = group;
                let second = first.split_off(first.len() / 2);
                // Popped from the end: the older half goes first.
                groups.push(second);
                groups.push(first);
            }
            Err(refused) => {
                for queued in group {
                    let _ = queued.reply.send(Err(refused.for_member()));
                }
            }
        }
    }
}

enum Refused {
    RegistryMoved,
    Data(String),
    Full(String),
    Unavailable(String),
}

impl Refused {
    fn for_member(&self) -> CommitError {
        match self {
            Self::RegistryMoved => CommitError::RegistryMoved,
            Self::Data(detail) => CommitError::Data(detail.clone()),
            Self::Full(detail) => CommitError::Full(detail.clone()),
            Self::Unavailable(detail) => CommitError::Unavailable(detail.clone()),
        }
    }
}

/// Runs a batch until it is done or can't be.
async fn persist(
    context: &Context,
    registry: &Registry,
    members: &[&Member],
) -> std::result::Result<Done, Refused> {
    let patience = if context.down.load(Ordering::Relaxed) { IMPATIENCE } else { context.settings.patience };
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(2);
    loop {
        let begun = Instant::now();
        let error = match batch::run(context, registry, members).await {
            Ok(done) => {
                measure::committed(members.len(), begun.elapsed());
                context.down.store(false, Ordering::Relaxed);
                return Ok(done);
            }
            Err(Failed::RegistryMoved) => {
                if let Err(error) = context.registry.refresh(&context.db).await {
                    tracing::warn!(%error, "schemas changed and can't be read");
                }
                return Err(Refused::RegistryMoved);
            }
            Err(Failed::Before(StoreError::Data(detail))) => return Err(Refused::Data(detail)),
            Err(Failed::Before(error)) => error,
            Err(Failed::InCommit(error, prepared)) => {
                tracing::warn!(%error, "the connection broke in a commit; looking whether it was done");
                match look_up(context, &prepared, deadline).await {
                    Ok(Some(first_seq)) => return Ok(prepared.done(first_seq)),
                    Ok(None) => {
                        prepared.release(context);
                        error
                    }
                    Err(error) => {
                        // The leases that it may hold run out by themselves.
                        prepared.release(context);
                        return Err(Refused::Unavailable(error.to_string()));
                    }
                }
            }
        };
        if Instant::now() >= deadline {
            let is_down = matches!(error, StoreError::Unavailable(_) | StoreError::Full(_));
            context.down.store(is_down, Ordering::Relaxed);
            return Err(match error {
                StoreError::Full(detail) => Refused::Full(detail),
                other => Refused::Unavailable(other.to_string()),
            });
        }
        tracing::debug!(%error, "repeating a batch");
        // Two replicas in each other's way must not meet again at the same moment.
        tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Whether a commit whose answer was lost was done: the number of its first event, if so.
///
/// The head's lock is taken first. Whoever held it in that commit holds it until its end, so that
/// what is not there under the lock will never be.
async fn look_up(context: &Context, prepared: &Prepared, deadline: Instant) -> Result<Option<i64>> {
    let ids = prepared.event_ids();
    let Some(first) = ids.first() else { return Ok(None) };
    loop {
        match try_look_up(&context.db, &ids).await {
            Ok(found) => return Ok(found.iter().find(|(id, _)| id == first).map(|(_, seq)| *seq)),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "looking again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn try_look_up(db: &Db, ids: &[Uuid]) -> Result<Vec<(Uuid, i64)>> {
    let transaction = db.begin().await?;
    log::lock_head(db.engine(), &transaction).await?;
    let found = log::present(db.engine(), &transaction, ids).await?;
    transaction.rollback().await?;
    Ok(found)
}
