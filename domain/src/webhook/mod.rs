//! The rules of delivering: how an attempt is signed, what its answer means, when to try again.

pub mod delivery;
pub mod retry;
pub mod signing;
