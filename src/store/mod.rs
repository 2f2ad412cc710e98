//! Everything that is kept, on SQLite or PostgreSQL; the only importer of `sea_orm`.
//!
//! Writes of tasks, events and deliveries go through [`commit`], the group commit: one transaction
//! for all requests that wait. What is rare (schemas, keys, secrets) writes on its own, under the
//! same order of locks: idempotency keys, external ids, tasks, endpoints, deliveries, head.
//!
//! Nothing here knows HTTP, and nothing here decides: decisions are [`task_inbox_domain`]'s.

mod cache;
mod db;
mod error;
#[cfg(debug_assertions)]
mod plans;
mod reader;
mod row;
mod sql;
mod sqlite;

pub mod answers;
pub mod audit;
pub mod checkpoints;
pub mod commit;
pub mod condition;
pub mod deliveries;
pub mod delivery_list;
pub mod endpoints;
pub mod entity;
pub mod housekeeping;
pub mod keys;
pub mod listen;
pub mod log;
pub mod maintenance;
pub mod registry;
pub mod replays;
pub mod schemas;
pub mod secrets;
pub mod statistics;
pub mod task_list;
pub mod tasks;
pub mod vitals;

pub use cache::RegistryCache;
pub use db::{Db, Engine, POSTGRES_CONNECTIONS};
pub use error::{Result, StoreError};
pub use reader::TaskReader;
