//! The API as commands use it: one request, one answer, whether the server is elsewhere or this
//! process itself.
//!
//! `local` asks the same router that the server has, on the database; `remote` goes over the
//! network. Both answer with the API's JSON or with a [`Refusal`], so that a command need not know
//! which it was.

mod call;
mod failure;
mod local;
mod refusal;
mod remote;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use task_inbox::config::Config;

pub(crate) use call::Call;
pub(crate) use refusal::Refusal;
pub(crate) use remote::{Address, Remote};

use crate::output::waiting;
use local::Local;

/// Why another address than an inbox's could not be reached, in a sentence.
pub(crate) fn connection_failure(error: &reqwest::Error, place: &str) -> String {
    failure::of(error, place, 0.0).message
}

/// Why there is no client.
pub(crate) fn client_failure(error: &reqwest::Error) -> String {
    failure::of_client(error)
}

/// What a request was answered, if it was not refused.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The status, from 200 to 299.
    pub(crate) status: u16,
    /// The document.
    pub(crate) json: Value,
    /// Its text, as it came.
    pub(crate) body: Bytes,
}

/// A way to the API.
pub(crate) enum Api {
    /// In this process, on the database.
    Local(Box<Local>),
    /// Over the network.
    Remote(Remote),
}

impl Api {
    /// Opens the database.
    pub(crate) async fn local(config: &Config) -> anyhow::Result<Self> {
        Ok(Self::Local(Box::new(Local::open(config).await?)))
    }

    /// Makes ready to go over the network.
    pub(crate) fn remote(address: Address, timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self::Remote(Remote::new(address, timeout)?))
    }

    /// Makes one request; tells that it waits if that takes longer than a second.
    pub(crate) async fn send(&self, call: Call) -> Result<Value, Refusal> {
        Ok(self.ask(call).await?.json)
    }

    /// The same, with the status of the answer.
    pub(crate) async fn ask(&self, call: Call) -> Result<Reply, Refusal> {
        match self {
            Self::Local(local) => waiting("waiting for the database", local.send(call)).await,
            Self::Remote(remote) => waiting("waiting for the server", remote.send(call)).await,
        }
    }

    /// Ends it.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => local.close().await,
            Self::Remote(_) => Ok(()),
        }
    }
}
