//! Thousands of listeners to topics, a hundred to each task, and decisions about those tasks at a steady rate.
//!
//! Decisions and listeners are in this one process, so that both ends of a latency are read off one clock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::machine;
use crate::stage::{SCHEMA, TYPES};

/// After this time without work, memory is what it is.
const SETTLE: Duration = Duration::from_secs(5);
/// How many connect at once.
const CONNECTING: usize = 64;
/// Decisions that are under way at once.
const DECIDING: usize = 8;
/// How long what was told last may be on its way.
const SOON: Duration = Duration::from_secs(20);
/// Seconds that are not counted.
const WARM_UP: u64 = 3;

/// Where, how many, and how much they are told.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Listen {
    /// The server that decisions go to.
    pub(crate) address: SocketAddr,
    /// The one that is listened to, of the same database; and its process.
    pub(crate) told: SocketAddr,
    pub(crate) server: u32,
    pub(crate) key: String,
    /// Listeners to each task.
    pub(crate) each: usize,
    /// Tasks.
    pub(crate) tasks: usize,
    /// Decisions a second.
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
}

/// What it took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listened {
    /// Milliseconds from a decision's PATCH to its message, of a hundredth of all messages, evenly.
    pub(crate) told: Vec<f64>,
    /// All messages, and how many there should have been.
    pub(crate) messages: u64,
    pub(crate) expected: u64,
    /// Bytes of the server before the first listener, with all of them at rest, and after the load.
    pub(crate) before: u64,
    pub(crate) at_rest: u64,
    pub(crate) after: u64,
    /// CPU seconds of the server for each second of load.
    pub(crate) cpu: f64,
}

impl Listened {
    /// Refuses a run in which something was not told.
    pub(crate) fn must_be_whole(&self) -> Result<()> {
        ensure!(self.messages == self.expected, "{} messages came, of {}", self.messages, self.expected);
        Ok(())
    }
}

type Socket = WebSocketStream<TcpStream>;

/// What the listeners share, on one thread.
#[derive(Default)]
struct Heard {
    /// When each decision was sent, by task and version.
    sent: HashMap<(usize, u64), Instant>,
    told: Vec<f64>,
    messages: u64,
    counted: bool,
}

pub(super) async fn run(order: &Listen) -> Result<Listened> {
    LocalSet::new().run_until(listen(order)).await
}

async fn listen(order: &Listen) -> Result<Listened> {
    let mut client = Client::new(order.address);
    let mut tasks = Vec::new();
    for _ in 0..order.tasks {
        tasks.push(post(&mut client, &order.key).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let before = machine::memory(order.server)?;
    let heard = Rc::new(RefCell::new(Heard::default()));
    let token = token(&mut client, &order.key).await?;
    let places: Vec<usize> = (0..order.tasks).flat_map(|task| vec![task; order.each]).collect();
    for some in places.chunks(CONNECTING) {
        let connecting = some.iter().map(|task| connect(order.told, &tasks[*task], &token));
        for (socket, task) in futures_util::future::join_all(connecting).await.into_iter().zip(some) {
            tokio::task::spawn_local(hear(socket?, *task, heard.clone()));
        }
    }
    tokio::time::sleep(SETTLE).await;
    let at_rest = machine::memory(order.server)?;

    decide(order, &tasks, &heard, 0, WARM_UP * order.rate).await?;
    heard.borrow_mut().counted = true;
    let (cpu, begun) = (machine::cpu_of_tree(order.server)?, Instant::now());
    let decisions = order.seconds * order.rate;
    decide(order, &tasks, &heard, WARM_UP * order.rate, decisions).await?;
    let cpu = (machine::cpu_of_tree(order.server)? - cpu) / begun.elapsed().as_secs_f64();

    let expected = (WARM_UP * order.rate + decisions) * order.each as u64;
    let begun = Instant::now();
    while heard.borrow().messages < expected && begun.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let after = machine::memory(order.server)?;
    let heard = heard.borrow();
    Ok(Listened {
        told: heard.told.iter().step_by(100).copied().collect(),
        messages: heard.messages,
        expected,
        before,
        at_rest,
        after,
        cpu,
    })
}

/// Decides so many at the rate: each task in turn, back and forth.
async fn decide(
    order: &Listen,
    tasks: &[String],
    heard: &Rc<RefCell<Heard>>,
    from: u64,
    count: u64,
) -> Result<()> {
    let begun = Instant::now();
    // A task's decisions are made one after the other, however long one takes: else the second asks for what is there.
    let workers = (0..DECIDING).map(|worker| {
        let mine =
            (from..from + count).filter(move |number| *number as usize % tasks.len() % DECIDING == worker);
        async move {
            let mut client = Client::new(order.address);
            for number in mine {
                let due = begun + Duration::from_secs_f64((number - from) as f64 / order.rate as f64);
                tokio::time::sleep_until(due.into()).await;
                let (task, round) = (number as usize % tasks.len(), number / tasks.len() as u64);
                let state = if round.is_multiple_of(2) { "level2" } else { "level1" };
                let path = format!("/api/v1/tasks/{}/state?state={state}", tasks[task]);
                heard.borrow_mut().sent.insert((task, round + 2), Instant::now());
                let answer = client.send(&Request::new("PATCH", &path, &[("api-key", &order.key)])).await?;
                ensure!(answer.status == 200, "a decision was answered {}", answer.status);
            }
            Ok::<_, anyhow::Error>(())
        }
    });
    futures_util::future::try_join_all(workers).await?;
    Ok(())
}

async fn hear(mut socket: Socket, task: usize, heard: Rc<RefCell<Heard>>) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let now = Instant::now();
        let Some(version) = version(&text) else { continue };
        let mut heard = heard.borrow_mut();
        heard.messages += 1;
        if heard.counted
            && let Some(sent) = heard.sent.get(&(task, version)).copied()
        {
            heard.told.push((now - sent).as_secs_f64() * 1000.0);
        }
    }
}

/// The version of the task that a message tells of, without reading all of it.
fn version(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(r#"\"version\":"#)?;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

async fn connect(address: SocketAddr, task: &str, token: &str) -> Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    let small = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0);
    let url = format!("ws://{address}/realtime");
    let (mut socket, _) = client_async_with_config(url, stream, Some(small)).await?;
    let listen = format!(
        r#"{{"type":"LISTEN","nonce":"n","data":{{"topics":["task:state:update.{task}"],"auth_token":"{token}"}}}}"#
    );
    socket.send(Message::text(listen)).await?;
    match socket.next().await {
        Some(Ok(Message::Text(text))) if text.contains(r#""error":"""#) => Ok(socket),
        other => bail!("LISTEN was answered {other:?}"),
    }
}

async fn token(client: &mut Client, key: &str) -> Result<String> {
    let answer = client.send(&Request::new("POST", "/auth/ws", &[("api-key", key)])).await?;
    ensure!(answer.status == 200, "/auth/ws answered {}", answer.status);
    answer.json()["token"].as_str().map(str::to_owned).context("a token")
}

async fn post(client: &mut Client, key: &str) -> Result<String> {
    let body = format!(
        r#"{{"schema_name":"{SCHEMA}","task":"{}","state":"level1","meta":{{"url":"https://example.com/1"}}}}"#,
        TYPES[0]
    );
    let answer = client.send(&Request::json("POST", "/api/v1/tasks/", &[("api-key", key)], &body)).await?;
    ensure!(answer.status == 201, "a post was answered {}", answer.status);
    answer.json()["task"]["id"].as_str().map(str::to_owned).context("a posted task has an id")
}
