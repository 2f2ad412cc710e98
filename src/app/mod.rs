//! The use cases: what a caller can ask of the inbox, whoever calls and by whatever way.
//!
//! `http` and the command line translate a request into one of these functions and its result
//! back; [`crate::store`] keeps what they decide, by the rules of [`task_inbox_domain`]. Each
//! function asks first whether the caller may, and answers with one [`AppError`].
//!
//! Nothing here knows HTTP, and nothing here waits for the network inside a transaction.

mod access;
mod bearers;
mod content;
mod error;
mod patience;
mod tokens;

pub mod agents;
pub mod audit;
pub mod deliveries;
pub mod duration;
pub mod endpoints;
pub mod events;
pub mod guards;
pub mod key_cache;
pub mod keys;
pub mod listening;
pub mod maintenance;
pub mod rate;
pub mod rekey;
pub mod replays;
pub mod schemas;
pub mod sender;
pub mod targets;
pub mod tasks;
pub mod timeouts;
pub mod vault;
pub mod waiting;
pub mod webhook_keys;

pub use access::{Permission, Principal};
pub use error::{AppError, CurrentTask};
use guards::Guards;
pub use key_cache::KeyCache;
use targets::Targets;
pub use tasks::{Created, PostTask, TaskList, TaskView};
pub use vault::Vault;

use std::sync::Arc;

use chrono::Utc;
use task_inbox_domain::Timestamp;

use crate::bus::Bus;
use crate::outbound::{Client, Policy};
use crate::realtime::Tail;
use crate::store::commit::Commit;
use crate::store::{Db, RegistryCache, TaskReader};

/// Everything that a use case works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub db: Db,
    /// The way one task is read.
    pub reader: TaskReader,
    /// The way tasks, events and deliveries are written.
    pub commit: Commit,
    /// What is installed.
    pub registry: RegistryCache,
    /// The API keys.
    pub keys: KeyCache,
    /// Encrypts webhook keys at rest.
    pub vault: Vault,
    /// Wake-ups.
    pub bus: Bus,
    /// Where webhooks may go; here only to warn of where they may not.
    pub policy: Policy,
    /// The way out, for what is asked of application servers directly.
    pub client: Client,
    /// What sending to each endpoint needs.
    pub targets: Arc<Targets>,
    /// The questions to guards that are under way.
    pub guards: Guards,
    /// Tells of what happens, to those who wait for it.
    pub tail: Tail,
}

impl App {
    /// The time, which only this layer reads.
    pub fn now() -> Timestamp {
        Timestamp::from(Utc::now())
    }
}
