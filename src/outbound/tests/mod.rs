//! Tests of the whole module: addresses by table and by property, the client against real
//! sockets whose behaviour each test writes down.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod address;
mod answers;
mod connections;
mod peer;
mod refusals;
