//! The dispatcher against a real receiver: what is sent, when it is sent again, who waits for whom.
//! Every test on SQLite and on PostgreSQL.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod breaker;
mod callbacks;
mod endpoints;
mod fairness;
mod fixture;
mod maintenance;
mod receiver;
mod sending;
mod stopping;
