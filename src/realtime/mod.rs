//! What happens, told to those who wait for it in this process: readers of the log, and waiters for one task.
//!
//! One look at the log serves them all. What is told is only that something happened: the database says what, so that
//! whoever was told late, or twice, misses nothing.

mod tail;

pub use tail::{Listener, Tail};
