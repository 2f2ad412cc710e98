//! HTTP/1.1, as little as the tests need: a keep-alive [`Client`] that costs next to nothing
//! beside the server it measures, and the message reading that the receiver shares.
//!
//! A client must know three things apart that libraries like to mix: a request that was
//! [certainly not sent](Failure::NotSent), one that [may have been carried
//! out](Failure::NoAnswer), and one that was answered, with any status.

mod client;
mod message;

pub use client::{Answer, Client, Failure, Request};
pub use message::Message;
pub(crate) use message::Stream;
