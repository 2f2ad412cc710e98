//! The log as a whole.

use utoipa::ToSchema;

/// Where the log stands.
#[derive(ToSchema)]
pub(in crate::http) struct LogHead {
    /// The last event's number; 0 if there is none.
    seq: i64,
    /// The running hash after it, in hexadecimal.
    #[schema(min_length = 64, max_length = 64)]
    hash: String,
    /// Events up to this number have been trimmed.
    floor: i64,
    /// How many checkpoints are kept.
    checkpoints: i64,
}

/// A signed point of the log.
#[derive(ToSchema)]
pub(in crate::http) struct Checkpoint {
    /// The last event that it covers.
    seq: i64,
    /// The running hash after it, in hexadecimal.
    hash: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// HMAC-SHA256 over the fields above, under a key that is not in the database.
    signature: String,
}

/// The checkpoints that are kept.
#[derive(ToSchema)]
pub(in crate::http) struct CheckpointList {
    /// Oldest first.
    checkpoints: Vec<Checkpoint>,
}

/// Where a step of a verification ended.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Position {
    /// The last event that it verified.
    #[schema(minimum = 0)]
    seq: i64,
    /// The running hash after it, in lower-case hexadecimal.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
}

/// A step of a verification.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Verify {
    /// A checkpoint that was kept outside, in every step of the run.
    from: Option<Checkpoint>,
    /// `next` of the step before; absent: from the log's beginning.
    after: Option<Position>,
    /// About how many events, 100000 by default.
    #[schema(minimum = 1, maximum = 100_000)]
    limit: Option<i64>,
}

/// What a step of a verification found.
#[derive(ToSchema)]
pub(in crate::http) struct Verified {
    /// Whether what it read is what was written.
    ok: bool,
    /// How many events it read.
    events: i64,
    /// The first event that is not what was written, or is missing.
    #[schema(required = true)]
    first_bad: Option<i64>,
    /// The checkpoint's event, in the step that reached it and found it as it was signed.
    #[schema(required = true)]
    proved_from: Option<i64>,
    /// How many of the events were erased: their text is gone, their digest stands for it.
    erased: i64,
    /// What is wrong, in words.
    #[schema(required = true)]
    detail: Option<String>,
    /// Where the next step goes on; null at the log's end, and where something is wrong.
    #[schema(required = true)]
    next: Option<Position>,
    /// The last event that there was when the step began.
    head: i64,
}
