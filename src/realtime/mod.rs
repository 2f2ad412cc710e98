//! What happens, told to those who wait for it in this process: readers of the log, waiters for one task, and listeners
//! to topics.
//!
//! One look at the log serves them all. To readers and waiters, only that something happened is told: the database says
//! what, so that whoever was told late, or twice, misses nothing; readers who are close behind are given the last events
//! from memory. Listeners to topics are told what happened, and told if they missed something ([`hub`]).

pub mod hub;
mod recent;
mod tail;
pub mod topic;

pub use hub::Hub;
pub use tail::{Listener, Tail, Wanted};
pub use topic::Topic;
