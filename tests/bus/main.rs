//! Wake-ups between processes, by each way that there is, over the real server: they come, they come again when the
//! server was killed, and whoever was cut off is told to look.

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use task_inbox::bus::{Bus, Kind, Topic};
use task_inbox::store::{Db, Engine};
use task_inbox_testkit::Broker;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use support::TestDatabase;

/// How soon a wake-up must come while all is well: far below the half second in which everybody looks anyway.
const SOON: Duration = Duration::from_millis(250);

/// How soon all must be well again after a server came back.
const AGAIN: Duration = Duration::from_secs(20);

/// One process's bus.
struct Process {
    bus: Bus,
    _stops: DropGuard,
}

impl Process {
    fn start(kind: &Kind, db: &Db) -> Self {
        let stop = CancellationToken::new();
        Self { bus: Bus::start(kind, db, &stop), _stops: stop.drop_guard() }
    }
}

/// Publishes until the other hears it; returns how long the last one took. The first may be lost: nobody listens yet.
async fn until_heard(from: &Process, heard: &mut watch::Receiver<u64>) -> Duration {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < AGAIN, "no wake-up comes");
        heard.mark_unchanged();
        let said = Instant::now();
        from.bus.publish(Topic::Due);
        if tokio::time::timeout(SOON, heard.changed()).await.is_ok_and(|changed| changed.is_ok()) {
            return said.elapsed();
        }
    }
}

async fn wakes(kind: Kind, broker: Option<&mut Broker>) {
    let (_database, db) = TestDatabase::migrated(Engine::Postgres).await;
    let (here, there) = (Process::start(&kind, &db), Process::start(&kind, &db));
    let (mut due, mut log) = (there.bus.subscribe(Topic::Due), there.bus.subscribe(Topic::Log));
    until_heard(&here, &mut due).await;
    // Each that is said by itself is heard, and nothing else is.
    log.mark_unchanged();
    for _ in 0..20 {
        due.mark_unchanged();
        here.bus.publish(Topic::Due);
        tokio::time::timeout(AGAIN, due.changed()).await.expect("it comes").expect("the bus is there");
    }
    assert!(!log.has_changed().expect("the bus is there"));
    let Some(broker) = broker else { return };

    broker.kill().expect("it is killed");
    // Nobody waits for a server that is gone, and nothing is kept for it.
    for _ in 0..1000 {
        here.bus.publish(Topic::Due);
    }
    log.mark_unchanged();
    broker.start().await.expect("it starts");
    // Who was cut off looks at everything.
    tokio::time::timeout(AGAIN, log.changed()).await.expect("it is told to look").expect("the bus is there");
    until_heard(&here, &mut due).await;
    let took = until_heard(&here, &mut due).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_wakes() {
    wakes(Kind::Database, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_wakes_and_may_be_killed() {
    let mut broker = Broker::redis().await.expect("it starts");
    let kind = Kind::parse(&broker.url()).expect("an address");
    wakes(kind, Some(&mut broker)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_wakes_and_may_be_killed() {
    let mut broker = Broker::nats().await.expect("it starts");
    let kind = Kind::parse(&broker.url()).expect("an address");
    wakes(kind, Some(&mut broker)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_found() {
    let mut broker = Broker::redis().await.expect("it starts");
    broker.kill().expect("it is killed");
    let kind = Kind::parse(&broker.url()).expect("an address");
    let (_database, db) = TestDatabase::migrated(Engine::Sqlite).await;
    let (here, there) = (Process::start(&kind, &db), Process::start(&kind, &db));
    let mut due = there.bus.subscribe(Topic::Due);
    here.bus.publish(Topic::Due);
    broker.start().await.expect("it starts");
    until_heard(&here, &mut due).await;
}
