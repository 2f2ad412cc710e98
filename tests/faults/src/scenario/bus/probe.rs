//! Latency, one event after another: from the answer to a post at one replica until a stream at another has it, and
//! until its webhook arrives.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use task_inbox_testkit::Receiver;
use task_inbox_testkit::receiver::Arrival;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::journal::Call;
use crate::load::{Key, post_until_acknowledged};
use crate::reader::Stream;

/// How long an event may be on its way before something is wrong: many times as long as without any wake-up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two posts, so that each finds the replicas at rest but for the load.
const PAUSE: Duration = Duration::from_millis(10);

/// Posts to one replica and follows a stream of another.
pub(super) struct Probe {
    writing: SocketAddr,
    key: Key,
    /// When each event came by the stream, by its task's marker.
    streamed: mpsc::UnboundedReceiver<(String, Instant)>,
    calls: Vec<Call>,
    posts: usize,
    /// Follows the stream, and ends with this.
    _following: JoinSet<()>,
}

/// One post.
struct Post {
    marker: String,
    answered: Instant,
    to_stream: Duration,
}

/// Posts of one phase.
pub(super) struct Probes(Vec<Post>);

/// How long something took, of many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) median: Duration,
    p99: Duration,
    most: Duration,
    count: usize,
}

impl Probe {
    /// Opens the stream, which lasts: no bus that breaks ends it.
    pub(super) async fn start(writing: SocketAddr, told: SocketAddr, key: &Key) -> Result<Self> {
        let mut stream = Stream::open(told, &key.secret, None).await?;
        let (sender, streamed) = mpsc::unbounded_channel();
        let mut following = JoinSet::new();
        following.spawn(async move {
            while let Ok(Some(block)) = stream.next().await {
                let marker = block.event.as_ref().and_then(marker);
                if marker.is_some_and(|marker| sender.send((marker, Instant::now())).is_err()) {
                    break;
                }
            }
        });
        let (calls, posts) = (Vec::new(), 0);
        Ok(Self { writing, key: key.clone(), streamed, calls, posts, _following: following })
    }

    /// So many posts.
    pub(super) async fn times(&mut self, count: usize) -> Result<Probes> {
        let mut left = count;
        self.times_until(|| {
            left -= 1;
            left == 0
        })
        .await
    }

    /// Posts until told; at least one.
    pub(super) async fn times_until(&mut self, mut is_over: impl FnMut() -> bool) -> Result<Probes> {
        let mut posts = Vec::new();
        loop {
            posts.push(self.post().await?);
            if is_over() {
                return Ok(Probes(posts));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn post(&mut self) -> Result<Post> {
        self.posts += 1;
        let marker = format!("probe-{}", self.posts);
        self.calls.extend(post_until_acknowledged(self.writing, &self.key, &marker).await?);
        let answered = Instant::now();
        let came = async {
            loop {
                let (seen, at) = self.streamed.recv().await.context("the stream ended")?;
                if seen == marker {
                    return anyhow::Ok(at);
                }
            }
        };
        let came =
            tokio::time::timeout(PATIENCE, came).await.context("an event never came by a stream")??;
        // It may come before the answer does.
        Ok(Post { marker, answered, to_stream: came.saturating_duration_since(answered) })
    }

    /// All calls that it made, for the audit.
    pub(super) fn calls(self) -> Vec<Call> {
        self.calls
    }
}

impl Probes {
    /// From the answer to the stream, and to the webhook.
    pub(super) fn came(&self, receiver: &Receiver) -> [Figures; 2] {
        let arrivals = receiver.inspect(arrivals);
        let to_webhook = |post: &Post| {
            let came = arrivals.get(&post.marker);
            came.map_or(PATIENCE, |came| came.saturating_duration_since(post.answered))
        };
        [
            Figures::of(self.0.iter().map(|post| post.to_stream).collect()),
            Figures::of(self.0.iter().map(to_webhook).collect()),
        ]
    }
}

impl Figures {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at =
            |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or_default();
        Self { median: at(50), p99: at(99), most: at(100), count: times.len() }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let Self { median, p99, most, count } = *self;
        write!(f, "median {:.1} ms, p99 {:.1}, most {:.1} (of {count})", ms(median), ms(p99), ms(most))
    }
}

/// When the webhook of each post was first taken.
fn arrivals(journal: &[Arrival]) -> HashMap<String, Instant> {
    let mut arrivals = HashMap::new();
    for arrival in journal.iter().filter(|arrival| arrival.status == Some(200)) {
        if let Some(marker) = serde_json::from_slice(&arrival.body).ok().as_ref().and_then(marker) {
            arrivals.entry(marker).or_insert(arrival.at);
        }
    }
    arrivals
}

/// Which post made an event, if one did.
fn marker(event: &Value) -> Option<String> {
    let created = event["type"] == crate::journal::CREATED;
    created.then(|| event["data"]["task"]["meta"]["marker"].as_str().map(str::to_owned))?
}
