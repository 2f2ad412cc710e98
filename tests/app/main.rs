//! The use cases, without HTTP: what a caller may, what is written, and what processes notice of
//! each other. Every test on SQLite and on PostgreSQL.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod export;
mod fixture;
mod keys;
mod maintenance;
mod rekey;
mod schemas;
mod tasks;
mod webhook_keys;
