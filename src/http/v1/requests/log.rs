//! What is sent about the log.

use serde::Deserialize;
use task_inbox_domain::log::{Checkpoint, Hash, unhex};

use crate::http::fields::Fields;
use crate::http::problem::Problem;
use crate::store::audit::{MAX_STEP, Position};

/// One step of a verification.
pub(in crate::http::v1) struct Step {
    /// A checkpoint that was kept outside.
    pub(in crate::http::v1) from: Option<Checkpoint>,
    /// Where the step before ended.
    pub(in crate::http::v1) after: Option<Position>,
    /// How many events to read.
    pub(in crate::http::v1) limit: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    seq: i64,
    hash: String,
}

/// What to verify; a body is not needed.
pub(in crate::http::v1) fn step(body: &[u8]) -> Result<Step, Problem> {
    if body.is_empty() {
        return Ok(Step { from: None, after: None, limit: MAX_STEP });
    }
    let mut fields = Fields::parse(body)?;
    let from = fields.whole("from", "a checkpoint as POST /api/v1/checkpoints answers it");
    let after = fields.whole::<After>("after", "the next of a step before").and_then(|after| {
        match unhex(&after.hash).and_then(|bytes| Hash::try_from(bytes).ok()) {
            Some(hash) if after.seq >= 0 => Some(Position { seq: after.seq, hash }),
            Some(_) => {
                fields.refuse("after/seq", "must not be negative");
                None
            }
            None => {
                fields.refuse("after/hash", "must be 64 digits of lower-case hexadecimal");
                None
            }
        }
    });
    let limit = fields.integer("limit", 1..=MAX_STEP).unwrap_or(MAX_STEP);
    fields.finish()?;
    Ok(Step { from, after, limit })
}
