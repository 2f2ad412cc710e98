//! Wake-ups between processes, over whatever carries a few letters from one to all others.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Bus, PUBLISH_INTERVAL, Topic};

/// Why a wake-up doesn't get through.
pub(super) type Lost = Box<dyn Error + Send + Sync>;

/// How long to wait before connecting again; whoever listens looks by itself meanwhile.
const RECONNECT: Duration = Duration::from_millis(500);

/// How long connecting, or saying something, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A way to all other processes.
#[async_trait]
pub(super) trait Way: Send + Sync + 'static {
    /// Connects and listens.
    async fn listen(&self) -> Result<Box<dyn Ears>, Lost>;
    /// Connects to speak.
    async fn speak(&self) -> Result<Box<dyn Mouth>, Lost>;
}

/// Hears what processes say.
#[async_trait]
pub(super) trait Ears: Send {
    /// Waits for the next message.
    async fn next(&mut self) -> Result<String, Lost>;
}

/// Says something to all processes that listen.
#[async_trait]
pub(super) trait Mouth: Send {
    async fn say(&mut self, message: &str) -> Result<(), Lost>;
}

/// Connects this process's bus with the others', until `stop`.
pub(super) fn start(bus: &Bus, way: impl Way, stop: &CancellationToken) {
    // Marks what this process said, which it need not hear.
    let own = Uuid::now_v7().simple().to_string();
    let way = std::sync::Arc::new(way);
    tokio::spawn(stop.clone().run_until_cancelled_owned({
        let (bus, way, own) = (bus.clone(), way.clone(), own.clone());
        async move { listen(&bus, &*way, &own).await }
    }));
    let bus = bus.clone();
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move { publish(&bus, &*way, &own).await }));
}

async fn in_time<T>(what: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
    tokio::time::timeout(PATIENCE, what).await.unwrap_or_else(|_| Err("it takes too long".into()))
}

async fn listen(bus: &Bus, way: &dyn Way, own: &str) {
    loop {
        if let Err(error) = listen_once(bus, way, own).await {
            tracing::warn!(%error, "the wake-up connection broke; looking by polling until it is back");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(bus: &Bus, way: &dyn Way, own: &str) -> Result<(), Lost> {
    let mut ears = in_time(way.listen()).await?;
    // Whatever was said while nobody listened.
    for topic in Topic::ALL {
        bus.wake(topic);
    }
    loop {
        let message = ears.next().await?;
        let (from, letters) = message.split_once(' ').unwrap_or_default();
        if from != own {
            for topic in Topic::ALL.into_iter().filter(|t| letters.contains(t.letter())) {
                bus.wake(topic);
            }
        }
    }
}

async fn publish(bus: &Bus, way: &dyn Way, own: &str) {
    let mut mouth = None;
    loop {
        bus.0.has_outgoing.notified().await;
        let letters = bus.take_outgoing();
        if letters.is_empty() {
            continue;
        }
        if let Err(error) = say(way, &mut mouth, &format!("{own} {letters}")).await {
            // The others look by themselves; this is only sooner.
            tracing::debug!(%error, "a wake-up was lost");
            mouth = None;
        }
        tokio::time::sleep(PUBLISH_INTERVAL).await;
    }
}

/// Says it by the connection that there is, or by a new one.
async fn say(way: &dyn Way, mouth: &mut Option<Box<dyn Mouth>>, message: &str) -> Result<(), Lost> {
    if let Some(mouth) = mouth
        && in_time(mouth.say(message)).await.is_ok()
    {
        return Ok(());
    }
    let mut fresh = in_time(way.speak()).await?;
    in_time(fresh.say(message)).await?;
    *mouth = Some(fresh);
    Ok(())
}
