//! The real binary, on a fresh SQLite file in a folder of its own: what each command does, what it
//! refuses, and what it prints with `--json`.

mod inbox;

mod audit;
mod config;
mod keys;
mod migrate;
mod schemas;
mod serve;
mod tasks;
mod webhook_key;
