//! The conformance suite of the store: every test runs on SQLite and on PostgreSQL.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod commit;
mod condition;
mod deliveries;
mod endpoints;
mod fixture;
mod lists;
mod log;
mod maintenance;
mod merging;
mod migrations;
mod overtaken;
mod queues;
mod schemas;
mod secrets;
mod upkeep;
