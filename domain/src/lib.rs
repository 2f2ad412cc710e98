//! What a task inbox *is*, without anything it runs on.
//!
//! Schemas and their versions, tasks and the one function that changes them, the events that
//! record each change, the chain that proves the record, and the rules of delivering it.
//!
//! Nothing here reads a clock, a file, a socket or a database: time and randomness come in as
//! arguments, so that every rule is a pure function and a test of it never waits. The service
//! imports this crate; it imports nothing of the service.

pub mod actor;
pub mod binding;
pub mod changes;
pub mod cursor;
pub mod document;
pub mod event;
pub mod log;
pub mod merge_key;
pub mod merge_patch;
pub mod rate;
pub mod schema;
pub mod task;
#[cfg(test)]
mod testing;
pub mod time;
pub mod transition;
pub mod webhook;

pub use actor::Actor;
pub use document::Document;
pub use event::{Event, EventType};
pub use rate::Rate;
pub use task::{Phase, Task};
pub use time::Timestamp;
