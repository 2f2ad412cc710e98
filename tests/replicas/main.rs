//! Several real servers on one database: what one does, the others hold to within a second.
//!
//! Needs the binary (`cargo build -p task-inbox-cli`) and PostgreSQL's programs.

mod deployment;
mod maintenance;
mod realtime;
mod rekey;
mod revoke;
