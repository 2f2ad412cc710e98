//! Wake-ups between replicas by NATS.

use std::sync::Arc;

use async_nats::{Client, ConnectOptions, Event, Subscriber};
use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::Notify;

use super::remote::{Ears, Lost, Mouth, Way};

/// The subject. What is said there is heard by whoever shares the server, and concerns all of it. It is none of
/// `task-inbox.>`, which an export's stream keeps.
const SUBJECT: &str = "task-inbox-realtime";

/// Where a server is.
pub(super) struct Nats(pub(super) String);

impl Nats {
    /// Connects; `broken` hears when the connection is lost. The client would connect again by itself, and not tell
    /// what it missed.
    async fn connect(&self, broken: &Arc<Notify>) -> Result<Client, Lost> {
        let broken = broken.clone();
        let options = ConnectOptions::new().name("task-inbox").event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed | Event::SlowConsumer(_)) {
                broken.notify_one();
            }
            std::future::ready(())
        });
        Ok(options.connect(&self.0).await?)
    }
}

#[async_trait]
impl Way for Nats {
    async fn listen(&self) -> Result<Box<dyn Ears>, Lost> {
        let broken = Arc::new(Notify::new());
        let client = self.connect(&broken).await?;
        let messages = client.subscribe(SUBJECT).await?;
        // The server has it before anything is looked at.
        client.flush().await?;
        Ok(Box::new(Messages { incoming: messages, broken, _client: client }))
    }

    async fn speak(&self) -> Result<Box<dyn Mouth>, Lost> {
        let broken = Arc::new(Notify::new());
        Ok(Box::new(Speaker { client: self.connect(&broken).await?, broken }))
    }
}

struct Messages {
    incoming: Subscriber,
    broken: Arc<Notify>,
    _client: Client,
}

#[async_trait]
impl Ears for Messages {
    async fn next(&mut self) -> Result<String, Lost> {
        tokio::select! {
            message = self.incoming.next() => {
                let message = message.ok_or("the connection was closed")?;
                Ok(String::from_utf8(message.payload.to_vec())?)
            }
            () = self.broken.notified() => Err("the connection was lost".into()),
        }
    }
}

struct Speaker {
    client: Client,
    broken: Arc<Notify>,
}

#[async_trait]
impl Mouth for Speaker {
    async fn say(&mut self, message: &str) -> Result<(), Lost> {
        tokio::select! {
            said = async {
                self.client.publish(SUBJECT, message.to_owned().into()).await?;
                self.client.flush().await?;
                Ok(())
            } => said,
            () = self.broken.notified() => Err("the connection was lost".into()),
        }
    }
}
