//! Wake-ups between replicas by Redis Pub/Sub.

use std::pin::Pin;

use async_trait::async_trait;
use futures_util::{Stream, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{Client, Msg};

use super::remote::{Ears, Lost, Mouth, Way};

/// The channel. What is said there is heard by whoever shares the server, and concerns all of it.
const CHANNEL: &str = "realtime";

#[async_trait]
impl Way for Client {
    async fn listen(&self) -> Result<Box<dyn Ears>, Lost> {
        let mut connection = self.get_async_pubsub().await?;
        connection.subscribe(CHANNEL).await?;
        Ok(Box::new(Messages(Box::pin(connection.into_on_message()))))
    }

    async fn speak(&self) -> Result<Box<dyn Mouth>, Lost> {
        Ok(Box::new(self.get_multiplexed_async_connection().await?))
    }
}

struct Messages(Pin<Box<dyn Stream<Item = Msg> + Send + Sync>>);

#[async_trait]
impl Ears for Messages {
    async fn next(&mut self) -> Result<String, Lost> {
        let message = self.0.next().await.ok_or("the connection was closed")?;
        Ok(message.get_payload()?)
    }
}

#[async_trait]
impl Mouth for MultiplexedConnection {
    async fn say(&mut self, message: &str) -> Result<(), Lost> {
        let _heard_by: i64 = redis::cmd("PUBLISH").arg(CHANNEL).arg(message).query_async(self).await?;
        Ok(())
    }
}
