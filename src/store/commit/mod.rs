//! The group commit: requests that arrive while a transaction runs go together in the next one.
//!
//! One task owns the queue. It takes whatever waits, commits it as one transaction and answers
//! each member after the commit; alone, a member waits for nobody. The database then works for
//! one fsync and a fixed number of round trips however many members there are.

mod batch;
mod fold;
mod keys;
mod member;
mod merge;
mod queue;
mod write;

pub use member::{Change, CommitError, Create, Idempotency, LogEntry, Member, Operation, Reply, What};
pub use queue::{Commit, Hooks, NoHooks, Settings};
