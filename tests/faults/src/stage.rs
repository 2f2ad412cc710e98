//! What every scenario stands on: a database, the service on it under load, a receiver, readers of
//! the log; and the end that all have in common, the audit.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use task_inbox_testkit::postgres::url_at;
use task_inbox_testkit::{Database, Installation, Postgres, Proxy, Receiver, Server};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::audit::{Report, judge};
use crate::journal::{Arrival, Call, Reading, Run};
use crate::load::{Key, Load, Plan, Work};
use crate::reader::Readers;
use crate::site::{Neighbour, Site, install};
use crate::{Options, collect};

/// How long a lease is here: long enough to work, short enough to see it run out.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// The hard end of an attempt.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
/// How long what is left may stand still when something breaks: the time-outs on locks and idle
/// transactions are 2 s; as much again for a busy machine.
pub(crate) const GOES_ON_WITHIN: Duration = Duration::from_secs(4);
const LEASE_MARGIN: &str = "1s";
const READERS: usize = 4;
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
    pub(crate) neighbours: Vec<Neighbour>,
    /// Neighbours that never recover.
    lost: Vec<String>,
    /// The replicas, by place; none where one was killed.
    servers: Vec<Option<Server>>,
    addresses: watch::Sender<Vec<SocketAddr>>,
    /// Those of them that clients write to.
    written: watch::Sender<Vec<SocketAddr>>,
    /// A replica that is read from alone.
    read_only: Option<usize>,
    readers: Option<Readers>,
    report: Report,
    directory: PathBuf,
    /// The same, if it is a temporary one.
    scratch: Option<TempDir>,
}

impl Stage {
    /// Sets up the database, the schema, keys and the receiver. Nothing serves yet.
    pub(crate) async fn build(options: &Options) -> Result<Self> {
        Self::build_at(options, Site::default()).await
    }

    /// The same at a site of the scenario's choice. Where the receiver is not on loopback, nothing on
    /// loopback can be reached.
    pub(crate) async fn build_at(options: &Options, site: Site) -> Result<Self> {
        let (directory, mut scratch) = if let Some(kept) = &options.keep {
            (std::path::absolute(kept)?, None)
        } else {
            let scratch = tempfile::Builder::new().prefix("task-inbox-faults-").tempdir()?;
            (scratch.path().to_owned(), Some(scratch))
        };
        std::fs::create_dir_all(&directory)?;
        let (postgres, database) = match options.engine {
            Engine::Sqlite => {
                let folder = site.disk.as_deref().unwrap_or(&directory);
                (None, Database::Sqlite(folder.join("task-inbox.db")))
            }
            Engine::Postgres => {
                let cluster = Postgres::start().await?;
                let name = cluster.create_database().await?;
                let database = Database::Postgres(cluster.url(&name));
                (Some(cluster), database)
            }
        };
        let installation = Installation::new(&directory, database)?
            .with("TASK_INBOX_DELIVERY_DEADLINE", &format!("{}s", DEADLINE.as_secs()))
            .with("TASK_INBOX_LEASE_MARGIN", LEASE_MARGIN);
        let installation = if site.receiver.is_loopback() {
            installation.with("TASK_INBOX_ALLOW_NETS", "127.0.0.0/8")
        } else {
            installation.in_production()
        };
        let receiver = Receiver::start_at((site.receiver, 0).into()).await?;
        let keys = install(&installation, &receiver, &site.neighbours, &directory).await?;
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
            neighbours: site.neighbours,
            lost: Vec::new(),
            servers: Vec::new(),
            addresses: watch::Sender::new(Vec::new()),
            written: watch::Sender::new(Vec::new()),
            read_only: None,
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
        self.kill(place).await?;
        self.start_again(place).await
    }

    /// `kill -9`. Clients go to those that are left.
    pub(crate) async fn kill(&mut self, place: usize) -> Result<()> {
        if let Some(server) = self.servers[place].take() {
            self.announce(None);
            server.kill9().await?;
        }
        Ok(())
    }

    /// SIGTERM. Clients hear of the end like everybody: by its connections' end.
    pub(crate) async fn terminate(&mut self, place: usize, within: Duration) -> Result<ExitStatus> {
        let server = self.servers[place].take().context("the server is not running")?;
        server.terminate(within).await
    }

    /// Starts one that ended, on the same database.
    pub(crate) async fn start_again(&mut self, place: usize) -> Result<()> {
        self.servers[place] = Some(self.installation.serve(&format!("server-{place}")).await?);
        self.announce(None);
        Ok(())
    }

    /// Lets a neighbour never recover: what is to go there need not arrive.
    pub(crate) fn give_up(&mut self, neighbour: &str) {
        self.lost.push(neighbour.to_owned());
    }

    /// The server at a place.
    pub(crate) fn server(&mut self, place: usize) -> Result<&mut Server> {
        self.servers[place].as_mut().context("the server is not running")
    }

    /// Tells clients and readers which replicas there are, but for one that is left out.
    pub(crate) fn announce(&self, without: Option<usize>) {
        let but_for = |left_out: &[Option<usize>]| {
            let running =
                self.servers.iter().enumerate().filter(|(place, _)| !left_out.contains(&Some(*place)));
            running.filter_map(|(_, server)| Some(server.as_ref()?.address())).collect()
        };
        self.addresses.send_replace(but_for(&[without]));
        self.written.send_replace(but_for(&[without, self.read_only]));
    }

    /// Lets no client write to a replica: what happens, it hears from the others.
    pub(crate) fn only_read_from(&mut self, place: usize) {
        self.read_only = Some(place);
        self.announce(None);
    }

    /// What a load needs to know.
    pub(crate) fn plan(&self, work: Work) -> Plan {
        Plan { work, keys: self.keys.clone(), addresses: self.written.subscribe(), seed: self.options.seed }
    }

    /// Starts the load and the readers.
    pub(crate) fn begin(&mut self, work: Work) {
        self.begin_with(work, READERS);
    }

    /// Starts the load and so many readers.
    pub(crate) fn begin_with(&mut self, work: Work, readers: usize) {
        self.load = Some(Load::start(&self.plan(work), self.options.clients.unwrap_or(CLIENTS)));
        self.readers = Some(Readers::start(readers, &self.keys[0].secret, &self.addresses.subscribe()));
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
        Ok(self.conclude(report))
    }

    /// Adds what was noted since the audit, and removes the run's files if nothing was wrong.
    pub(crate) fn conclude(mut self, mut report: Report) -> Report {
        report.merge(std::mem::take(&mut self.report));
        if report.is_clean() {
            self.clean_up();
        }
        report
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
        self.written.send_replace(Vec::new());
        for server in self.servers.drain(..).flatten() {
            server.terminate(Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    async fn drain(&self) -> Result<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < DRAIN
            && collect::live_deliveries(self.installation.database(), &self.lost).await? > 0
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(begun.elapsed())
    }

    /// How many webhooks arrived that had arrived before.
    pub(crate) fn repeated_arrivals(&self) -> usize {
        self.receiver.inspect(|journal| {
            let mut seen = HashSet::new();
            journal.iter().filter(|arrival| !seen.insert(&arrival.webhook_id)).count()
        })
    }

    /// What arrived anywhere, in order.
    fn arrivals(&self) -> Vec<Arrival> {
        let others = self.neighbours.iter().filter_map(|neighbour| neighbour.receiver.as_ref());
        let mut arrivals: Vec<_> = std::iter::once(&self.receiver)
            .chain(others)
            .flat_map(|receiver| {
                receiver.inspect(|journal| {
                    journal.iter().map(|seen| (seen.at, collect::arrival(seen))).collect::<Vec<_>>()
                })
            })
            .collect();
        arrivals.sort_by_key(|(at, _)| *at);
        arrivals.into_iter().map(|(_, arrival)| arrival).collect()
    }

    async fn collect(&self, calls: Vec<Call>, readings: Vec<Reading>) -> Result<Run> {
        let address = *self.addresses.borrow().first().context("a server is needed to ask")?;
        let (key, database) = (&self.keys[0].secret, self.installation.database());
        Ok(Run {
            calls,
            readings,
            events: collect::events(address, key).await?,
            tasks: collect::tasks(address, key).await?,
            arrivals: self.arrivals(),
            deliveries: collect::deliveries(database).await?,
            attempts: collect::attempts(database).await?,
            lost: collect::lost(database, &self.lost).await?,
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
