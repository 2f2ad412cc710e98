//! Wake-ups between replicas by PostgreSQL's LISTEN and NOTIFY.
//!
//! NOTIFY goes out after the commit that it tells of, on a connection of its own: inside the
//! transaction it would take a lock that is shared by the whole server.

use async_trait::async_trait;

use super::remote::{Ears, Lost, Mouth, Way};
use crate::store::Db;
use crate::store::listen::{self, Channel};

#[async_trait]
impl Way for Db {
    async fn listen(&self) -> Result<Box<dyn Ears>, Lost> {
        Ok(Box::new(Channel::listen(self).await?))
    }

    async fn speak(&self) -> Result<Box<dyn Mouth>, Lost> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Ears for Channel {
    async fn next(&mut self) -> Result<String, Lost> {
        Ok(Self::next(self).await?)
    }
}

#[async_trait]
impl Mouth for Db {
    async fn say(&mut self, message: &str) -> Result<(), Lost> {
        Ok(listen::notify(self, message).await?)
    }
}
