//! Version 1 of the API, as `wire.md` writes it down.

pub(super) mod requests;
mod responses;

pub(super) mod api_keys;
pub(super) mod deliveries;
pub(super) mod endpoints;
pub(super) mod events;
pub(super) mod log;
pub(super) mod maintenance;
pub(super) mod me;
pub(super) mod replays;
pub(super) mod schemas;
pub(super) mod tasks;
pub(super) mod webhook_keys;
