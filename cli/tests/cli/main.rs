//! The real binary, on a fresh database in a folder of its own or against a real server: what each
//! command does, what it refuses, and what it prints with `--json`.
//!
//! `commands` has an entry for every command there is; the other files go further.

mod inbox;
mod peer;

mod audit;
mod commands;
mod config;
mod deliveries;
mod doctor;
mod documents;
mod endpoints;
mod keys;
mod listen;
mod login;
mod maintenance;
mod mcp;
mod migrate;
mod network;
mod post_task;
mod rekey;
mod schemas;
mod serve;
mod tasks;
mod terminal;
mod verify;
mod webhook_key;
