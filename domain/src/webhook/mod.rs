//! The rules of delivering: how an attempt is signed, what its answer means, when to try again; and why a
//! signature that somebody holds does not verify.

pub mod delivery;
pub mod diagnosis;
pub mod retry;
pub mod signing;
