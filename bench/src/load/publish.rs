//! Redis or NATS by itself: one client publishes, many are told, each by a connection of its own.
//!
//! All of them are in this one process, so that both ends of a latency are read off one clock.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::Client;
use futures_util::{Stream, StreamExt};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// The channel, or subject.
const CHANNEL: &str = "bench";
/// Bytes of a message: about what a decision's frame has.
pub(crate) const PADDING: usize = 800;
/// Published at once, where it goes as fast as it can.
const BATCH: u64 = 50;
/// How many may be on their way then.
const WINDOW: u64 = 500;
/// How long what was published last may be on its way.
const SOON: Duration = Duration::from_secs(20);
/// Seconds that are not counted.
const WARM_UP: u64 = 3;

/// Where, and how much.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Publish {
    pub(crate) url: String,
    /// Clients that are told.
    pub(crate) each: usize,
    /// Messages a second.
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
}

/// What it took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Published {
    /// Milliseconds from publishing to being told, of a hundredth of all messages, evenly.
    pub(crate) told: Vec<f64>,
    /// Messages told in a second, as many as go.
    pub(crate) rate: f64,
}

/// What those who are told share, on one thread.
#[derive(Default)]
struct Heard {
    /// When each was published, by its number.
    sent: Vec<Instant>,
    told: Vec<f64>,
    messages: u64,
    counted: bool,
}

#[derive(Clone, Default)]
struct Hearing {
    heard: Rc<RefCell<Heard>>,
    more: Rc<Notify>,
}

enum Publisher {
    Redis(MultiplexedConnection),
    Nats(Client),
}

pub(super) async fn run(order: &Publish) -> Result<Published> {
    LocalSet::new().run_until(publish(order)).await
}

async fn publish(order: &Publish) -> Result<Published> {
    let hearing = Hearing::default();
    let mut publisher = connect(order, &hearing).await?;
    at_rate(order, &mut publisher, &hearing, WARM_UP * order.rate).await?;
    hearing.heard.borrow_mut().counted = true;
    at_rate(order, &mut publisher, &hearing, order.seconds * order.rate).await?;
    hearing.heard.borrow_mut().counted = false;

    let (begun, before) = (Instant::now(), hearing.messages());
    while begun.elapsed() < Duration::from_secs(order.seconds) {
        publisher.publish(&hearing, BATCH).await?;
        hearing.until(hearing.published().saturating_sub(WINDOW) * order.each as u64).await?;
    }
    hearing.until(hearing.published() * order.each as u64).await?;
    let rate = (hearing.messages() - before) as f64 / begun.elapsed().as_secs_f64();
    let heard = hearing.heard.borrow();
    Ok(Published { told: heard.told.iter().step_by(100).copied().collect(), rate })
}

/// Publishes so many at the rate, and waits until all were told.
async fn at_rate(order: &Publish, publisher: &mut Publisher, hearing: &Hearing, count: u64) -> Result<()> {
    let begun = Instant::now();
    for number in 0..count {
        let due = begun + Duration::from_secs_f64(number as f64 / order.rate as f64);
        tokio::time::sleep_until(due.into()).await;
        publisher.publish(hearing, 1).await?;
    }
    hearing.until(hearing.published() * order.each as u64).await
}

async fn connect(order: &Publish, hearing: &Hearing) -> Result<Publisher> {
    if order.url.starts_with("redis:") {
        let client = redis::Client::open(order.url.as_str())?;
        for _ in 0..order.each {
            let mut connection = client.get_async_pubsub().await?;
            connection.subscribe(CHANNEL).await?;
            let messages = connection.into_on_message();
            hearing.hear(Box::pin(messages.map(|message| number(message.get_payload_bytes()))));
        }
        return Ok(Publisher::Redis(client.get_multiplexed_async_connection().await?));
    }
    for _ in 0..order.each {
        let client = async_nats::connect(&order.url).await?;
        let messages = client.subscribe(CHANNEL).await?;
        client.flush().await?;
        hearing.hear(messages.map(move |message| {
            // It is there as long as its messages are.
            let _ = &client;
            number(&message.payload)
        }));
    }
    Ok(Publisher::Nats(async_nats::connect(&order.url).await?))
}

impl Publisher {
    /// Publishes so many at once.
    async fn publish(&mut self, hearing: &Hearing, count: u64) -> Result<()> {
        let next = {
            let mut heard = hearing.heard.borrow_mut();
            let next = heard.sent.len() as u64;
            heard.sent.extend(std::iter::repeat_n(Instant::now(), count as usize));
            next..next + count
        };
        let text = |number: u64| format!("{number:<PADDING$}");
        match self {
            Self::Redis(connection) => {
                let mut pipe = redis::pipe();
                for number in next {
                    pipe.publish(CHANNEL, text(number)).ignore();
                }
                pipe.query_async::<()>(connection).await?;
            }
            Self::Nats(client) => {
                for number in next {
                    client.publish(CHANNEL, text(number).into()).await?;
                }
                client.flush().await?;
            }
        }
        Ok(())
    }
}

impl Hearing {
    /// Listens to the numbers of messages.
    fn hear(&self, mut numbers: impl Stream<Item = Option<usize>> + Unpin + 'static) {
        let hearing = self.clone();
        tokio::task::spawn_local(async move {
            while let Some(number) = numbers.next().await {
                let now = Instant::now();
                let mut heard = hearing.heard.borrow_mut();
                heard.messages += 1;
                if heard.counted
                    && let Some(sent) = number.and_then(|number| heard.sent.get(number).copied())
                {
                    heard.told.push((now - sent).as_secs_f64() * 1000.0);
                }
                hearing.more.notify_one();
            }
        });
    }

    /// How many messages were published.
    fn published(&self) -> u64 {
        self.heard.borrow().sent.len() as u64
    }

    /// How many were told, to all together.
    fn messages(&self) -> u64 {
        self.heard.borrow().messages
    }

    /// Waits until so many messages came in all.
    async fn until(&self, messages: u64) -> Result<()> {
        let come = async {
            while self.messages() < messages {
                self.more.notified().await;
            }
        };
        tokio::time::timeout(SOON, come)
            .await
            .with_context(|| format!("{} messages came, of {messages}", self.messages()))?;
        Ok(())
    }
}

/// The number that a message begins with.
fn number(payload: &[u8]) -> Option<usize> {
    std::str::from_utf8(payload).ok()?.trim_end().parse().ok()
}
