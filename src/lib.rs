//! The task inbox service: everything between the domain's rules and the outside world.
//!
//! Imports run downward only: `startup` over `http` and `dispatch`, over `app`, over `store`,
//! `outbound` and `bus`, over the `domain` crate. `docs/ARCHITECTURE.md` is the map.

pub mod bus;
pub mod store;
