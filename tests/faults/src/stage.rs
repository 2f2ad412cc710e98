//! What every scenario stands on: a database, the service on it under load, a receiver, readers of
//! the log; and the end that all have in common, the audit.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::Value;
use task_inbox_testkit::postgres::url_at;
use task_inbox_testkit::signature::Secret;
use task_inbox_testkit::{Database, Installation, Postgres, Proxy, Receiver, Server};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::audit::{Report, judge};
use crate::journal::{Call, Reading, Run};
use crate::load::{Key, Load, Plan, Work};
use crate::reader::Readers;
use crate::{Options, collect, schema};

/// How long a lease is here: long enough to work, short enough to see it run out.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
const DEADLINE: &str = "2s";
const LEASE_MARGIN: &str = "1s";
/// Several keys, so that the same decision by another actor is another decision.
const KEYS: usize = 4;
const READERS: usize = 3;
/// Clients, where a scenario or its caller doesn't say otherwise.
const CLIENTS: usize = 8;
/// How long deliveries may take to come to an end when nothing is in their way.
const DRAIN: Duration = Duration::from_mins(3);

/// A database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// The scene of a scenario.
pub(crate) struct Stage {
    pub(crate) options: Options,
    pub(crate) installation: Installation,
    pub(crate) receiver: Receiver,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) keys: Vec<Key>,
    pub(crate) load: Option<Load>,
    /// The replicas, by place; none where one was killed.
    servers: Vec<Option<Server>>,
    addresses: watch::Sender<Vec<SocketAddr>>,
    readers: Option<Readers>,
    report: Report,
    directory: PathBuf,
    /// The same, if it is a temporary one.
    scratch: Option<TempDir>,
}

impl Stage {
    /// Sets up the database, the schema, keys and the receiver. Nothing serves yet.
    pub(crate) async fn build(options: &Options) -> Result<Self> {
        let (directory, mut scratch) = if let Some(kept) = &options.keep {
            (std::path::absolute(kept)?, None)
        } else {
            let scratch = tempfile::Builder::new().prefix("task-inbox-faults-").tempdir()?;
            (scratch.path().to_owned(), Some(scratch))
        };
        std::fs::create_dir_all(&directory)?;
        let (postgres, database) = match options.engine {
            Engine::Sqlite => (None, Database::Sqlite(directory.join("task-inbox.db"))),
            Engine::Postgres => {
                let cluster = Postgres::start().await?;
                let name = cluster.create_database().await?;
                let database = Database::Postgres(cluster.url(&name));
                (Some(cluster), database)
            }
        };
        let installation = Installation::new(&directory, database)?
            .with("TASK_INBOX_DELIVERY_DEADLINE", DEADLINE)
            .with("TASK_INBOX_LEASE_MARGIN", LEASE_MARGIN)
            .with("TASK_INBOX_ALLOW_NETS", "127.0.0.0/8");
        let receiver = Receiver::start().await?;
        let keys = install(&installation, &receiver, &directory).await?;
        if let Some(scratch) = &mut scratch {
            // Until the audit has passed.
            scratch.disable_cleanup(true);
        }
        Ok(Self {
            options: options.clone(),
            installation,
            receiver,
            postgres,
            keys,
            load: None,
            servers: Vec::new(),
            addresses: watch::Sender::new(Vec::new()),
            readers: None,
            report: Report::default(),
            directory,
            scratch,
        })
    }

    /// Where the run's files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A proxy before the database, and the installation as it looks through it.
    pub(crate) async fn proxy(&self) -> Result<(Proxy, Installation)> {
        let cluster = self.postgres.as_ref().context("only PostgreSQL is reached by network")?;
        let proxy = Proxy::start(cluster.address()).await?;
        let name = self.installation.database().url();
        let name = name.rsplit('/').next().unwrap_or_default();
        let database = Database::Postgres(url_at(proxy.address(), name));
        Ok((proxy, self.installation.clone().on(database)))
    }

    /// Starts one more replica and sends load its way; returns its place.
    pub(crate) async fn serve(&mut self, installation: &Installation) -> Result<usize> {
        let place = self.servers.len();
        let server = installation.serve(&format!("server-{place}")).await?;
        self.servers.push(Some(server));
        self.announce(None);
        Ok(place)
    }

    /// `kill -9`, then a start on the same database.
    pub(crate) async fn kill_and_restart(&mut self, place: usize) -> Result<()> {
        if let Some(server) = self.servers[place].take() {
            self.announce(None);
            server.kill9().await?;
        }
        self.servers[place] = Some(self.installation.serve(&format!("server-{place}")).await?);
        self.announce(None);
        Ok(())
    }

    /// The server at a place.
    pub(crate) fn server(&mut self, place: usize) -> Result<&mut Server> {
        self.servers[place].as_mut().context("the server is not running")
    }

    /// Tells clients and readers which replicas there are, but for one that is left out.
    pub(crate) fn announce(&self, without: Option<usize>) {
        let running = self.servers.iter().enumerate().filter(|(place, _)| Some(*place) != without);
        let addresses = running.filter_map(|(_, server)| Some(server.as_ref()?.address())).collect();
        self.addresses.send_replace(addresses);
    }

    /// What a load needs to know.
    pub(crate) fn plan(&self, work: Work) -> Plan {
        Plan { work, keys: self.keys.clone(), addresses: self.addresses.subscribe(), seed: self.options.seed }
    }

    /// Starts the load and the readers.
    pub(crate) fn begin(&mut self, work: Work) {
        self.load = Some(Load::start(&self.plan(work), self.options.clients.unwrap_or(CLIENTS)));
        self.readers = Some(Readers::start(READERS, &self.keys[0].secret, &self.addresses.subscribe()));
    }

    /// The running load.
    pub(crate) fn load(&self) -> Result<&Load> {
        self.load.as_ref().context("no load is running")
    }

    /// Waits until the service does its work; a rule is broken if it doesn't.
    pub(crate) async fn expect_progress(&mut self, calls: u64, within: Duration) -> Result<bool> {
        let progresses = self.load()?.progress(calls, within).await;
        if !progresses {
            let how = format!("{calls} calls were not acknowledged within {within:?}");
            self.broken("the service goes on after a fault", how);
        }
        Ok(progresses)
    }

    /// Notes that a rule of the scenario's own was broken.
    pub(crate) fn broken(&mut self, rule: &'static str, how: impl Into<String>) {
        self.report.broken(rule, how);
    }

    /// Adds to a figure of the report.
    pub(crate) fn count(&mut self, what: &'static str, by: usize) {
        self.report.count(what, by);
    }

    /// Ends the load, lets deliveries come to their end, collects, judges. `more` are calls that
    /// the scenario made itself.
    pub(crate) async fn finish(mut self, more: Vec<Call>) -> Result<Report> {
        let report = self.audit(more).await?;
        if report.is_clean() {
            self.clean_up();
        }
        Ok(report)
    }

    /// What [`Stage::finish`] does, where the scenario goes on after it.
    pub(crate) async fn audit(&mut self, more: Vec<Call>) -> Result<Report> {
        let mut calls = match self.load.take() {
            Some(load) => load.finish().await?,
            None => Vec::new(),
        };
        calls.extend(more);
        let drained = self.drain().await?;
        self.count("milliseconds until every delivery was settled", drained.as_millis() as usize);
        let readings = match self.readers.take() {
            Some(readers) => readers.finish().await,
            None => Vec::new(),
        };
        let run = self.collect(calls, readings).await?;
        run.save(&self.directory)?;
        let mut report = judge(&run);
        report.merge(std::mem::take(&mut self.report));
        Ok(report)
    }

    /// Removes the run's files, unless they are to be kept.
    pub(crate) fn clean_up(mut self) {
        if let Some(mut scratch) = self.scratch.take() {
            scratch.disable_cleanup(false);
        }
    }

    /// Ends every replica in good order.
    pub(crate) async fn shut_down(&mut self) -> Result<()> {
        self.addresses.send_replace(Vec::new());
        for server in self.servers.drain(..).flatten() {
            server.terminate(Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    async fn drain(&self) -> Result<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < DRAIN && collect::live_deliveries(self.installation.database()).await? > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(begun.elapsed())
    }

    async fn collect(&self, calls: Vec<Call>, readings: Vec<Reading>) -> Result<Run> {
        let address = *self.addresses.borrow().first().context("a server is needed to ask")?;
        let (key, database) = (&self.keys[0].secret, self.installation.database());
        Ok(Run {
            calls,
            readings,
            events: collect::events(address, key).await?,
            tasks: collect::tasks(address, key).await?,
            arrivals: self.receiver.inspect(|journal| journal.iter().map(collect::arrival).collect()),
            deliveries: collect::deliveries(database).await?,
            attempts: collect::attempts(database).await?,
            verification: collect::verification(&self.installation, None).await?,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(scratch) = &self.scratch {
            println!("kept for a closer look: {}", scratch.path().display());
        }
    }
}

async fn install(installation: &Installation, receiver: &Receiver, directory: &Path) -> Result<Vec<Key>> {
    installation.cli(&["migrate", "up"]).await?;
    let file = directory.join("faults.yml");
    std::fs::write(&file, schema::file(|path| receiver.url(path)))?;
    installation.cli(&["taskschema", &file.display().to_string()]).await?;
    let text = |value: &Value, field: &str| {
        value[field].as_str().map(str::to_owned).with_context(|| format!("no {field} in {value}"))
    };
    for (place, (ttype, path)) in schema::TYPES.iter().enumerate() {
        let mut arguments = vec!["webhook_key", schema::NAME];
        if place > 0 {
            arguments.extend(["--type", ttype]);
        }
        let secret = text(&installation.cli(&arguments).await?, "key")?;
        receiver.expect_secret(path, Secret::parse(&secret).context("webhook_key gives a whsec_ secret")?);
    }
    let mut keys = Vec::new();
    for number in 0..KEYS {
        let name = format!("load-{number}");
        let mut arguments = vec!["api_key", "--name", &name];
        for permission in ["tasks:write", "tasks:read", "tasks:resolve"] {
            arguments.extend(["--permission", permission]);
        }
        let made = installation.cli(&arguments).await?;
        keys.push(Key { id: text(&made, "id")?, secret: text(&made, "key")? });
    }
    Ok(keys)
}
