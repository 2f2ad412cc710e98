//! HTTP requests to addresses that strangers may choose, made safe against server-side request
//! forgery.
//!
//! `address` decides which IP addresses may be reached, `target` checks a URL before anything is
//! asked, `resolve` checks what a name resolves to, on the connection that is then used, and
//! `client` sends with a hard deadline and a bounded answer, on `threads` of its own. `failure` says what went wrong.
//!
//! This module knows HTTP and nothing of tasks: signing, retrying and what a status means are
//! decided by `dispatch` and the domain. It is the only importer of reqwest in the service.

mod address;
mod client;
mod failure;
mod resolve;
mod target;
#[cfg(test)]
mod tests;
mod threads;

pub use address::{AddressRefused, Policy};
pub use client::{Answer, BuildError, Client, Limits, install_crypto_provider};
pub use failure::{Failure, FailureKind};
pub use resolve::{Resolve, Resolving, SystemResolver, refused};
pub use target::{UrlError, check_url};
