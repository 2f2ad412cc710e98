//! What the figures were measured on, and how much of it they used.

mod facts;
mod process;
mod quiet;

pub(crate) use facts::{Facts, refuse_memory};
pub(crate) use process::{anonymous_memory, cpu_of_tree, memory, peak_memory};
pub(crate) use quiet::{Disturbance, Watch};
