//! The composition root: everything is made here and handed down, and taken apart in order.
//!
//! Starting: database, registry, keys, bus, dispatcher, commit, API. Stopping has two phases: no new
//! requests and no new leases, and everything under way is finished; then, at a deadline, the rest
//! is cancelled, which costs a delivery no attempt.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{App, KeyCache, Vault};
use crate::bus::{Bus, Topic};
use crate::config::{Config, Role};
use crate::dispatch::{self, Dispatcher};
use crate::outbound::{Client, Limits, Policy};
use crate::store::commit::{Commit, Hooks, NoHooks, Settings};
use crate::store::{Db, Engine, RegistryCache, housekeeping, log};
use crate::{http, shutdown};

/// How often the database is asked whether another process changed something.
const WATCH: Duration = Duration::from_millis(500);

/// How often the last uses of keys are written.
const WRITE_USES: Duration = Duration::from_secs(5);

/// How often what has had its time is taken away.
const KEEP_HOUSE: Duration = Duration::from_secs(30);

/// How long deliveries that are under way may take once the process is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Serves until a signal says to stop.
///
/// The first line on standard output is `listening on http://{address}`.
///
/// # Errors
///
/// What keeps it from starting, in words that say what to do.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = shutdown::on_signal().context("can't listen for signals")?;
    let db = connect(&config).await?;
    let _lock = lock_sqlite(&db)?;
    if config.dev || config.migrate {
        for name in db.migrate_up().await.context("can't migrate the database")? {
            tracing::info!(name, "migrated");
        }
    }
    check_schema(&db).await?;
    let vault = config.vault(&db)?;
    let parts = Parts::open(&config, db, vault, &stop).await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {} (TASK_INBOX_LISTEN)", config.listen))?;
    let address = listener.local_addr()?;
    // A pipe that nobody reads must not end the service.
    let _ = writeln!(std::io::stdout(), "listening on http://{address}").and_then(|()| std::io::stdout().flush());
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");

    let settings = http::Settings { trusted_proxies: config.trusted_proxies.clone(), ..http::Settings::default() };
    let router = http::router(parts.app.clone(), settings);
    let served = http::serve(listener, router, stop.clone()).await;
    stop.cancel();
    parts.close().await;
    tracing::info!("stopped");
    Ok(served?)
}

/// Connects to the database.
///
/// # Errors
///
/// An address that can't be used, a database that doesn't answer.
pub async fn connect(config: &Config) -> anyhow::Result<Db> {
    Db::connect(&config.database_url).await.context("can't open the database (DATABASE_URL)")
}

/// Refuses a database whose schema is not this binary's.
///
/// # Errors
///
/// One that is older, with the command that brings it up to date; one that is newer.
pub async fn check_schema(db: &Db) -> anyhow::Result<()> {
    let pending = db.pending_migrations().await.context(
        "the database was made by a newer version of task-inbox, or by another program; run that version",
    )?;
    if !pending.is_empty() {
        bail!("the database's schema is not up to date ({} to apply): run `task-inbox migrate up`", pending.len());
    }
    Ok(())
}

/// The use cases over a database, for a command that runs beside a server.
///
/// # Errors
///
/// A database that can't be opened or is not up to date.
pub async fn open(config: &Config) -> anyhow::Result<App> {
    let db = connect(config).await?;
    check_schema(&db).await?;
    let vault = config.vault(&db)?;
    let registry = RegistryCache::load(&db).await?;
    let commit = Commit::start(db.clone(), registry.clone(), Arc::new(NoHooks), Settings::default());
    let bus = Bus::start(&db, &CancellationToken::new());
    let keys = KeyCache::load(&db).await?;
    Ok(App { db, commit, registry, keys, vault, bus, policy: policy(config) })
}

/// What runs in a serving process.
struct Parts {
    app: App,
    dispatcher: Option<Dispatcher>,
    background: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Parts {
    async fn open(config: &Config, db: Db, vault: Vault, stop: &CancellationToken) -> anyhow::Result<Self> {
        let registry = RegistryCache::load(&db).await?;
        let keys = KeyCache::load(&db).await?;
        let background = CancellationToken::new();
        let bus = Bus::start(&db, &background);
        let settings = dispatch::Settings {
            deadline: config.delivery_deadline,
            lease_margin: config.lease_margin,
            ..dispatch::Settings::default()
        };
        let dispatcher = if config.roles.contains(&Role::Dispatcher) {
            let limits = Limits { deadline: config.delivery_deadline, ..Limits::default() };
            let user_agent = concat!("task-inbox/", env!("CARGO_PKG_VERSION"));
            let parts = dispatch::Parts {
                db: db.clone(),
                registry: registry.clone(),
                vault: vault.clone(),
                client: Client::new(policy(config), limits, user_agent)?,
                bus: bus.clone(),
            };
            Some(Dispatcher::start(parts, settings))
        } else {
            None
        };
        let hooks: Arc<dyn Hooks> = match &dispatcher {
            Some(dispatcher) => Arc::new(dispatcher.clone()),
            None => Arc::new(Announcing(bus.clone())),
        };
        let commit_settings = Settings { lease: settings.lease(), ..Settings::default() };
        let commit = Commit::start(db.clone(), registry.clone(), hooks, commit_settings);
        let app = App { db, commit, registry, keys, vault, bus, policy: policy(config) };
        if let Some(dispatcher) = dispatcher.clone() {
            // The first phase of stopping begins with the signal, beside the API's own.
            let stop = stop.clone();
            tokio::spawn(async move {
                stop.cancelled().await;
                dispatcher.stop_leasing();
            });
        }
        let tasks = vec![
            tokio::spawn(background.clone().run_until_cancelled_owned(watch(app.clone())).map_done()),
            tokio::spawn(background.clone().run_until_cancelled_owned(write_uses(app.clone())).map_done()),
            tokio::spawn(background.clone().run_until_cancelled_owned(keep_house(app.db.clone())).map_done()),
        ];
        Ok(Self { app, dispatcher, background, tasks })
    }

    async fn close(self) {
        self.app.commit.close().await;
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.drain(Instant::now() + DRAIN).await;
        }
        self.background.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        if let Err(error) = self.app.keys.write_uses(&self.app.db).await {
            tracing::debug!(%error, "the last uses of keys were not written");
        }
        if let Err(error) = self.app.db.close().await {
            tracing::debug!(%error, "the database was not closed in order");
        }
    }
}

/// Forgets what a future gives.
trait MapDone: Future + Sized {
    async fn map_done(self) {
        self.await;
    }
}

impl<F: Future> MapDone for F {}

/// A process that only takes requests tells the dispatchers of others.
struct Announcing(Bus);

impl Hooks for Announcing {
    fn reserve(&self, _: uuid::Uuid) -> bool {
        false
    }

    fn release(&self, _: uuid::Uuid) {}

    fn committed(&self, _: Vec<crate::store::deliveries::Leased>, events: bool, waiting: bool) {
        if events {
            self.0.publish(Topic::Log);
        }
        if waiting {
            self.0.publish(Topic::Due);
        }
    }
}

fn policy(config: &Config) -> Policy {
    let policy = Policy::new(config.allow_nets.iter().copied());
    if config.dev { policy.open_loopback() } else { policy }
}

/// Follows what other processes change, told by the bus or found by looking.
async fn watch(app: App) {
    let (mut registry, mut keys) = (app.bus.subscribe(Topic::Registry), app.bus.subscribe(Topic::Keys));
    let mut seen = 0;
    loop {
        match log::head(&app.db).await {
            Ok(head) => {
                if head.registry != app.registry.current().number {
                    if let Err(error) = app.registry.refresh(&app.db).await {
                        tracing::error!(%error, "schemas and endpoints can't be read");
                    }
                    // An endpoint may have got what its deliveries waited for.
                    app.bus.wake(Topic::Due);
                }
                if head.keys != app.keys.number()
                    && let Err(error) = app.keys.refresh(&app.db).await
                {
                    tracing::error!(%error, "API keys can't be read");
                }
                if head.seq != seen {
                    seen = head.seq;
                    app.bus.wake(Topic::Log);
                }
            }
            Err(error) => tracing::warn!(%error, "the database can't be watched"),
        }
        tokio::select! {
            _ = registry.changed() => {}
            _ = keys.changed() => {}
            () = tokio::time::sleep(WATCH) => {}
        }
    }
}

async fn write_uses(app: App) {
    loop {
        tokio::time::sleep(WRITE_USES).await;
        if let Err(error) = app.keys.write_uses(&app.db).await {
            tracing::debug!(%error, "the last uses of keys will be written later");
        }
    }
}

async fn keep_house(db: Db) {
    loop {
        tokio::time::sleep(KEEP_HOUSE).await;
        if let Err(error) = housekeeping::expire_idempotency_keys(&db).await {
            tracing::debug!(%error, "idempotency keys will be taken away later");
        }
        if let Err(error) = housekeeping::truncate_wal(&db).await {
            tracing::debug!(%error, "the write-ahead log will be cut off later");
        }
    }
}

/// Holds off a second server on the same file; the lock goes with the process.
fn lock_sqlite(db: &Db) -> anyhow::Result<Option<std::fs::File>> {
    let (Engine::Sqlite, Some(file)) = (db.engine(), db.sqlite_file()) else { return Ok(None) };
    let path = format!("{file}.lock");
    let lock = std::fs::File::create(&path).with_context(|| format!("can't make {path}"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(std::fs::TryLockError::WouldBlock) => bail!(
            "another task-inbox serves {file} already; stop it, or use PostgreSQL for more than one"
        ),
        Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {path}")),
    }
}
