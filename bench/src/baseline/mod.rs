//! What the machine can do without us.

mod commit;
mod fsync;
mod pgbench;

pub(crate) use commit::Commits;
pub(crate) use fsync::fdatasync;
pub(crate) use pgbench::pgbench;
