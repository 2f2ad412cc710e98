//! The task inbox service: everything between the domain's rules and the outside world.
//!
//! Imports run downward only: `startup` over `http`, `dispatch`, `timers` and `export`, over `mcp`, over `app`, over `store`,
//! `outbound` and `bus`, over the `domain` crate. `docs/ARCHITECTURE.md` is the map.

pub mod app;
pub mod bus;
pub mod config;
pub mod dispatch;
pub mod export;
pub mod http;
pub mod mcp;
pub mod measure;
pub mod outbound;
pub mod realtime;
pub mod shutdown;
pub mod startup;
pub mod store;
pub mod telemetry;
pub mod timers;
