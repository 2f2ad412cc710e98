//! The composition root: makes every part, hands each what it needs, and ends them in order.
//!
//! [`serve`] runs a server; [`open`] gives a command what it needs to work on the same database
//! beside a running one.

mod announce;
mod check;
mod condition;
mod database;
mod findings;
mod housekeeping;
mod master_key;
mod mounts;
mod reach;
mod watch;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use check::{check, examine};
pub use condition::clock;
pub use database::{connect, lock};
pub use findings::{Finding, Status};
pub use master_key::file as master_key_file;
pub use reach::{place, reach};

use crate::app::guards::Guards;
use crate::app::targets::Targets;
use crate::app::{App, KeyCache, Vault};
use crate::bus::Bus;
use crate::config::{Config, Role};
use crate::dispatch::{self, Dispatcher};
use crate::export;
use crate::http;
use crate::outbound::{self, Policy};
use crate::realtime::Tail;
use crate::store::commit::{self, Commit, Hooks, NoHooks};
use crate::store::secrets::{self, StoredSecret};
use crate::store::{Engine, RegistryCache, TaskReader, deliveries};
use crate::timers;
use announce::Announce;

/// How long a shutdown may take before what is under way is cancelled.
const DRAIN: Duration = Duration::from_secs(20);

/// How long the background tasks and the database's connections have to end.
const LAST_THINGS: Duration = Duration::from_secs(3);

/// How long that may take in all, also with a database that does not answer: with the last things, shorter than the
/// 30 s after which orchestrators kill.
const END: Duration = Duration::from_secs(26);

/// How long listeners to topics have to go elsewhere, from when they are told to. Nothing but their connections ends if
/// the process is killed before.
const FAREWELL: Duration = Duration::from_secs(30);

/// Runs a server until a signal stops it.
///
/// # Errors
///
/// Whatever keeps it from starting, with what to do about it.
pub async fn serve(config: &Config) -> anyhow::Result<()> {
    let stop = crate::shutdown::on_signal().context("signals can't be listened to")?;
    crate::measure::collect();
    let db = database::connect(&config.database_url).await?;
    let _alone = database::lock(&db)?;
    database::prepare(&db, config).await?;
    let vault = master_key::for_server(config)?;
    let registry = RegistryCache::load(&db).await?;
    let keys = KeyCache::load(&db).await?;
    let background = CancellationToken::new();
    let bus = Bus::start(&config.bus, &db, &background);
    let tail = Tail::start(&db, &bus, stop.clone(), &background);
    let (client, targets) = (client(config)?, Arc::new(Targets::default()));
    if let Some(url) = &config.export_url {
        export::start(db.clone(), tail.clone(), url.clone(), stop.clone());
    }
    if db.engine() == Engine::Sqlite {
        // A server that was killed left them.
        let released = deliveries::release_all(&db).await.context("what was under way can't be taken up")?;
        if released > 0 {
            tracing::info!(released, "webhooks that were under way when the last server ended go out again");
        }
    }
    let dispatcher = if config.has(Role::Dispatcher) {
        check_secrets(&secrets::all(&db).await?, &vault)?;
        let parts = dispatch::Parts {
            db: db.clone(),
            registry: registry.clone(),
            vault: vault.clone(),
            client: client.clone(),
            targets: targets.clone(),
            bus: bus.clone(),
            hub: tail.hub().clone(),
        };
        Some(Dispatcher::start(parts, dispatch_settings(config)))
    } else {
        None
    };
    let hooks: Arc<dyn Hooks> = match &dispatcher {
        Some(dispatcher) => Arc::new(dispatcher.clone()),
        None => Arc::new(Announce(bus.clone())),
    };
    let settings =
        commit::Settings { lease: dispatch_settings(config).lease(), ..commit::Settings::default() };
    let commit = Commit::start(db.clone(), registry.clone(), hooks, settings).await?;
    let reader = TaskReader::start(&db);
    let policy = policy(config);
    let app = App {
        db: db.clone(),
        reader,
        commit,
        registry,
        keys,
        vault,
        bus,
        policy,
        client,
        targets,
        guards: Guards::default(),
        tail,
    };
    let watching = tokio::spawn(watch::run(app.clone(), background.clone()));
    let timing = config.has(Role::Timers).then(|| tokio::spawn(timers::run(app.clone(), stop.clone())));
    tokio::spawn(housekeeping::count(db.clone(), background.clone()));
    let housekeeping = tokio::spawn(housekeeping::run(
        db.clone(),
        app.registry.clone(),
        config.keep_deliveries,
        background.clone(),
    ));

    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("can't listen on {}; set TASK_INBOX_LISTEN to another address", config.listen)
    })?;
    announce(&listener)?;
    let http_settings = http::Settings {
        trusted_proxies: config.trusted_proxies.clone(),
        docs: config.docs,
        api: config.has(Role::Api),
        metrics: config.metrics,
        ..http::Settings::default()
    };
    let router = http::router(app.clone(), http_settings);
    let serving = tokio::spawn(http::serve(listener, router, stop.clone()));
    for name in &config.unused {
        tracing::warn!("{name} is set and has no effect in this version");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");

    stop.cancelled().await;
    let told = Instant::now();
    // Both at once: a request that hangs must not take the attempts' time to end by themselves.
    let requests = async {
        let served = serving.await;
        if let Some(timing) = timing {
            let _ = timing.await;
        }
        app.commit.close().await;
        served
    };
    let deliveries = async {
        if let Some(dispatcher) = &dispatcher {
            dispatcher.stop_leasing();
            dispatcher.drain(Instant::now() + DRAIN).await;
        }
    };
    let last_things = async {
        background.cancel();
        let _ = tokio::join!(watching, housekeeping);
        if let Err(error) = app.keys.write_uses(&db).await {
            tracing::debug!(%error, "last uses of keys were lost");
        }
        db.clone().close().await
    };
    let ending = async {
        let (served, ()) = tokio::join!(requests, deliveries);
        // The last commit may have leased deliveries after that.
        if let Some(dispatcher) = &dispatcher {
            dispatcher.give_up().await;
        }
        served.context("the HTTP server broke")
    };
    // Nothing is lost by not waiting for a database that is gone: what was acknowledged is durable,
    // and leases run out.
    let served = tokio::time::timeout(END, ending).await;
    if served.is_err() {
        tracing::warn!("stopped without waiting any longer for what was under way");
    }
    let farewell = FAREWELL.saturating_sub(told.elapsed());
    if tokio::time::timeout(farewell, app.tail.hub().emptied()).await.is_err() {
        tracing::info!(listeners = app.tail.hub().len(), "some listen on that were told to go elsewhere");
    }
    match tokio::time::timeout(LAST_THINGS, last_things).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the database's connections could not be closed"),
        Err(_) => tracing::warn!("the database did not answer while its connections were being closed"),
    }
    if let Ok(served) = served {
        served??;
    }
    tracing::info!("stopped");
    Ok(())
}

/// A ring that opens nothing is another installation's. One key that doesn't open, of many, must not keep the
/// endpoints of all others waiting.
fn check_secrets(secrets: &[StoredSecret], vault: &Vault) -> anyhow::Result<()> {
    let open = |s: &StoredSecret| vault.open(s.id, &s.master_key_id, &s.ciphertext).err().map(|e| (s.id, e));
    let mut refused: Vec<_> = secrets.iter().filter_map(open).collect();
    if refused.len() == secrets.len()
        && let Some((_, error)) = refused.pop()
    {
        return Err(error.into());
    }
    for (id, error) in refused {
        tracing::error!(
            %error,
            "the webhook key {id} can't be used; end it with `task-inbox revoke_webhook_key {id}`, or rotate it; if it \
             holds an endpoint's headers, say them again (`task-inbox endpoints update`)"
        );
    }
    Ok(())
}

/// The way out.
fn client(config: &Config) -> anyhow::Result<outbound::Client> {
    let settings = dispatch_settings(config);
    let limits = outbound::Limits {
        deadline: settings.deadline,
        // What goes out at once comes back at once: with fewer places the rest would connect anew
        // for each burst.
        max_idle_per_host: settings.per_endpoint,
        ..outbound::Limits::default()
    };
    let agent = concat!("task-inbox/", env!("CARGO_PKG_VERSION"));
    Ok(outbound::Client::new(policy(config), limits, agent)?)
}

fn dispatch_settings(config: &Config) -> dispatch::Settings {
    dispatch::Settings {
        deadline: config.delivery_deadline,
        lease_margin: config.lease_margin,
        ..dispatch::Settings::default()
    }
}

fn policy(config: &Config) -> Policy {
    let policy = Policy::new(config.allow_nets.iter().copied());
    if config.dev { policy.open_loopback() } else { policy }
}

/// The first line on stdout: what starts a server waits for it.
fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on http://{}", listener.local_addr()?)?;
    Ok(stdout.flush()?)
}

/// What a command works with, beside a running server or without one.
///
/// # Errors
///
/// A database that is not there, or not up to date; a master key that doesn't read.
pub async fn open(config: &Config) -> anyhow::Result<App> {
    database::must_exist(&config.database_url)?;
    let db = database::connect(&config.database_url).await?;
    database::must_be_current(&db).await?;
    let vault = master_key::for_command(config)?;
    let registry = RegistryCache::load(&db).await?;
    let keys = KeyCache::load(&db).await?;
    // A running server notices what a command wrote by looking at the log's head.
    let commit =
        Commit::start(db.clone(), registry.clone(), Arc::new(NoHooks), commit::Settings::default()).await?;
    let bus = Bus::memory();
    let end = CancellationToken::new();
    Ok(App {
        reader: TaskReader::start(&db),
        tail: Tail::start(&db, &bus, end.clone(), &end),
        db,
        commit,
        registry,
        keys,
        vault,
        bus,
        policy: policy(config),
        client: client(config)?,
        targets: Arc::default(),
        guards: Guards::default(),
    })
}

/// Ends what [`open`] made.
pub async fn close(app: App) -> anyhow::Result<()> {
    app.tail.end();
    app.commit.close().await;
    Ok(app.db.close().await?)
}
