//! What replicas wake each other by is broken at random under load: Redis and NATS are killed and started again, and of
//! PostgreSQL the connections that LISTEN are ended. A wake-up may be lost, an event never: it costs latency while it
//! lasts, and nobody has to do anything for that to end.
//!
//! One replica takes all calls and sends nothing; the other sends every webhook, and is read from. So nothing reaches
//! a receiver, nor the stream that is timed, before the other replica heard of it.

mod probe;

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use task_inbox_testkit::{Broker, Database, Receiver};

use crate::Options;
use crate::audit::Report;
use crate::load::Work;
use crate::stage::Stage;
use probe::{Figures, Probe};

/// Few: what is timed is the bus, and not the wait for a processor.
const CLIENTS: usize = 2;
/// How often latency is taken before and after.
const SAMPLES: usize = 100;
/// How often it is taken for one look at whether all is well.
const LOOK: usize = 30;
/// What half of all may take at most: who is not woken looks twice a second, and each event finds that it just has.
const WOKEN: Duration = Duration::from_millis(150);
/// What half of all may take when it is over, if it took less than half of that before: what a busy machine adds.
const WELL: Duration = Duration::from_millis(100);
/// How long it may take until all is well: the way back is a connection's time-out at most, and the machine may be busy.
const RECOVERY: Duration = Duration::from_secs(30);

/// What can be broken.
enum Bus {
    /// A server beside the database.
    Broker(&'static str, Broker),
    /// PostgreSQL itself.
    Listeners,
}

/// The connections that wait for a NOTIFY, in this database.
const LISTENERS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE query LIKE 'LISTEN %' AND datname = current_database() AND pid <> pg_backend_pid()";

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let buses = [
        Bus::Broker("redis", Broker::redis().await?),
        Bus::Broker("nats", Broker::nats().await?),
        Bus::Listeners,
    ];
    for bus in buses {
        // Each has files of its own, where they are kept.
        let keep = options.keep.as_ref().map(|directory| directory.join(bus.name()));
        report.merge(try_bus(&Options { keep, ..options.clone() }, bus).await?);
    }
    Ok(report)
}

async fn try_bus(options: &Options, mut bus: Bus) -> Result<Report> {
    let options = Options { clients: options.clients.or(Some(CLIENTS)), ..options.clone() };
    let time = Duration::from_secs(options.seconds.unwrap_or(120));
    let mut stage = Stage::build(&options).await?;
    let installation = stage.installation.clone().with("TASK_INBOX_BUS", &bus.url());
    let writing = stage.serve(&installation.clone().with("TASK_INBOX_ROLES", "api,realtime")).await?;
    let told = stage.serve(&installation).await?;
    stage.only_read_from(told);
    let (from, to) = (stage.server(writing)?.address(), stage.server(told)?.address());
    let mut probe = Probe::start(from, to, &stage.keys[0]).await?;
    stage.begin(Work::Stream);
    stage.expect_progress(100, Duration::from_secs(30)).await?;

    if until_well(&mut probe, &stage.receiver, [WOKEN; 2]).await?.is_none() {
        stage.broken("replicas wake each other", format!("{}: they don't", bus.name()));
    }
    let before = probe.times(SAMPLES).await?;
    let (broken, meanwhile) =
        break_and_probe(&mut bus, &installation.database().clone(), &mut probe, time, options.seed).await?;
    let usual = before.came(&stage.receiver);
    let recovered = until_well(&mut probe, &stage.receiver, usual.map(well)).await?;
    let after = probe.times(SAMPLES).await?;
    stage.expect_progress(50, Duration::from_secs(30)).await?;

    let report = stage.audit(probe.calls()).await?;
    let name = bus.name();
    let what = if matches!(bus, Bus::Listeners) { "connections ended" } else { "times killed" };
    println!("bus {name}: {broken} {what} in {} s", time.as_secs());
    let phases = [before, meanwhile, after].map(|probes| probes.came(&stage.receiver));
    for (place, what) in ["a stream", "a webhook"].into_iter().enumerate() {
        let [before, meanwhile, after] = phases.map(|came| came[place]);
        println!("  from an answer to {what}: before {before}; meanwhile {meanwhile}; after {after}");
    }
    match recovered {
        Some(took) => println!("  {:.1} s after the last fault all was well again", took.as_secs_f64()),
        None => stage.broken("latency recovers by itself", format!("{name}: it was {usual:?} before")),
    }
    if broken == 0 {
        stage.broken("there is a bus to break", format!("no connection to {name} was found"));
    }
    stage.count("buses killed, or connections to them", broken);
    Ok(stage.conclude(report))
}

/// What half of all may take afterwards.
fn well(before: Figures) -> Duration {
    WELL.max(before.median * 2).min(WOKEN)
}

/// Probes until half of the events came to the stream, and half of the webhooks, in these times; returns how long that
/// took, or none if it takes too long.
async fn until_well(probe: &mut Probe, receiver: &Receiver, most: [Duration; 2]) -> Result<Option<Duration>> {
    let begun = Instant::now();
    while begun.elapsed() < RECOVERY {
        let came = probe.times(LOOK).await?.came(receiver);
        if came.iter().zip(most).all(|(came, most)| came.median <= most) {
            return Ok(Some(begun.elapsed()));
        }
    }
    Ok(None)
}

/// Breaks the bus again and again for a time, and probes meanwhile.
async fn break_and_probe(
    bus: &mut Bus,
    database: &Database,
    probe: &mut Probe,
    time: Duration,
    seed: u64,
) -> Result<(usize, probe::Probes)> {
    let is_over = Cell::new(false);
    let breaking = async {
        let mut rng = StdRng::seed_from_u64(seed);
        let (until, mut broken) = (Instant::now() + time, 0);
        while Instant::now() < until {
            broken += bus.break_once(database, &mut rng).await?;
        }
        is_over.set(true);
        Ok(broken)
    };
    tokio::try_join!(breaking, probe.times_until(|| is_over.get()))
}

impl Bus {
    fn name(&self) -> &'static str {
        match self {
            Self::Broker(name, _) => name,
            Self::Listeners => "postgres",
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Broker(_, broker) => broker.url(),
            Self::Listeners => "postgres".to_owned(),
        }
    }

    /// Breaks it at a random point; it is back for a random time before that. Returns how much was broken: a server, or
    /// so many connections.
    async fn break_once(&mut self, database: &Database, rng: &mut StdRng) -> Result<usize> {
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..2000))).await;
        match self {
            Self::Broker(_, broker) => {
                broker.kill()?;
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..2000))).await;
                broker.start().await?;
                Ok(1)
            }
            Self::Listeners => database.execute(LISTENERS).await?.trim().parse().context("a count"),
        }
    }
}
