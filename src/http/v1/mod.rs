//! Version 1 of the API, as `wire.md` writes it down.

mod requests;
mod responses;

pub(super) mod events;
pub(super) mod schemas;
pub(super) mod tasks;
