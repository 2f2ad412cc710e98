//! The rules of delivering: who gets an event and in which form, how an attempt is signed, what its
//! answer means, when to try again, and when an endpoint is left alone; and why a signature that somebody
//! holds does not verify.

pub mod breaker;
pub mod delivery;
pub mod diagnosis;
pub mod format;
pub mod interest;
pub mod message;
pub mod retry;
pub mod signing;
pub mod url;
