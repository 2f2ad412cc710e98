//! Reads, one at a time, of a small and a large database in turn.

mod kinds;

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};

use crate::fill;
use crate::statistics::Latency;
use kinds::{KINDS, Kind};

/// Requests of one kind to one server before it is the other's turn; the first turn is a warm-up.
const TURN: usize = 50;
/// A table that is scanned from end to end may take its time.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A server and what its database was filled with.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) tasks: u64,
    /// The last event's number.
    pub(crate) events: u64,
}

/// What is read where.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Reads {
    pub(crate) small: Site,
    pub(crate) large: Site,
    /// Files, or folders of them, that hold the databases.
    pub(crate) files: Vec<PathBuf>,
    /// Requests of each kind to each server.
    pub(crate) requests: usize,
    /// Seconds after which fewer of one kind to one server have to do.
    pub(crate) seconds: f64,
}

/// One kind of read, answered by both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answers {
    pub(crate) name: String,
    /// How many tasks or events an answer held, of the small and of the large one.
    pub(crate) items: (usize, usize),
    /// In milliseconds.
    pub(crate) small: Latency,
    pub(crate) large: Latency,
}

pub(super) async fn run(order: &Reads) -> Result<Vec<Answers>> {
    let mut small = Side::new(&order.small);
    let mut large = Side::new(&order.large);
    let mut all = Vec::new();
    for kind in KINDS {
        order.files.iter().try_for_each(|path| keep_in_memory(path))?;
        small.begin();
        large.begin();
        small.turn(kind, order).await?;
        large.turn(kind, order).await?;
        small.forget();
        large.forget();
        while !(small.is_done(order) && large.is_done(order)) {
            small.turn(kind, order).await?;
            large.turn(kind, order).await?;
        }
        all.push(Answers {
            name: kind.0.to_owned(),
            items: (small.items, large.items),
            small: small.latency(),
            large: large.latency(),
        });
    }
    Ok(all)
}

/// Reads what lies at a path from end to end, so that the system has it in memory: some, virtual machines
/// above all, drop pages that were not used for some seconds although memory is free, and what is compared
/// is the work of a read, not which of the two databases was dropped.
fn keep_in_memory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return path.read_dir()?.try_for_each(|entry| keep_in_memory(&entry?.path()));
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Databases remove files while they work.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let mut page = vec![0; 1 << 20];
    while file.read(&mut page)? > 0 {}
    Ok(())
}

/// One of the two servers, and what is known of the kind that is measured.
struct Side<'a> {
    site: &'a Site,
    client: Client,
    made: u64,
    items: usize,
    /// In milliseconds.
    latencies: Vec<f64>,
}

impl<'a> Side<'a> {
    fn new(site: &'a Site) -> Self {
        let client = Client::new(site.address).with_timeout(TIMEOUT);
        Self { site, client, made: 0, items: 0, latencies: Vec::new() }
    }

    /// Begins with another kind.
    fn begin(&mut self) {
        (self.made, self.items) = (0, 0);
        self.forget();
    }

    /// What was measured so far was the warm-up.
    fn forget(&mut self) {
        self.latencies.clear();
    }

    fn is_done(&self, order: &Reads) -> bool {
        let spent = self.latencies.iter().sum::<f64>() / 1000.0;
        self.latencies.len() >= order.requests || spent > order.seconds
    }

    async fn turn(&mut self, kind: &Kind, order: &Reads) -> Result<()> {
        for _ in 0..TURN {
            if self.is_done(order) {
                break;
            }
            self.read(&(kind.1)(self.site, fill::mix(self.made, 8))).await?;
            self.made += 1;
        }
        Ok(())
    }

    async fn read(&mut self, path: &str) -> Result<()> {
        let path = format!("/api/v1/{path}");
        let request = Request::new("GET", &path, &[("api-key", &self.site.key)]);
        let sent = Instant::now();
        let answer = self.client.send(&request).await.with_context(|| path.clone())?;
        self.latencies.push(sent.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            answer.status == 200,
            "{path} was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(answer.body())
        );
        if self.made == 0 {
            let json = answer.json();
            let list = ["tasks", "events", "history"].into_iter().find_map(|name| json[name].as_array());
            self.items = list.map_or(1, Vec::len);
        }
        Ok(())
    }

    fn latency(&mut self) -> Latency {
        Latency::of(std::mem::take(&mut self.latencies))
    }
}
