//! The HTTP API, from outside: a real server on a port of its own, a fresh database for each
//! test, every test on SQLite and on PostgreSQL.
//!
//! Every answer that a test gets is checked against the committed OpenAPI document
//! ([`contract`]).

#[path = "../support/mod.rs"]
mod support;

mod application;
mod contract;
mod server;

mod access;
mod api_keys;
mod audit;
mod binding;
mod bodies;
mod callbacks;
mod decide;
mod deliveries;
mod docs;
mod endpoint_tests;
mod endpoints;
mod events;
mod external_ids;
mod gone;
mod guards;
mod health;
mod idempotency;
mod lists;
mod maintenance;
mod mcp;
mod merging;
mod metrics;
mod openapi;
mod original;
mod protocol;
mod realtime;
mod replays;
mod schemas;
mod sender;
mod streams;
mod tenants;
mod timeouts;
mod waiting;
mod webhook_keys;
