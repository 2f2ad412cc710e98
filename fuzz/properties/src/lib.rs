//! What must hold of every input, whoever made it: one function for each fuzz target. It panics
//! where it doesn't hold.
//!
//! The fuzzer calls them with what it makes up, and `tests/corpus.rs` with what it kept.

mod cursors;
mod headers;
mod schema;
mod signing;
#[allow(dead_code, reason = "a receiver uses more of it than is checked here")]
#[path = "../../../receiver-example/src/verify.rs"]
mod verify;

pub use cursors::cursors;
pub use headers::headers;
pub use schema::schema;
pub use signing::signing;

/// A property of every input.
pub type Property = fn(&[u8]);

/// Every property, by the name of its target.
pub const ALL: [(&str, Property); 4] =
    [("cursors", cursors), ("headers", headers), ("schema", schema), ("signing", signing)];
