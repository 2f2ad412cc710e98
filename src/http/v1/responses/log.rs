//! Answers about the log as a whole.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use task_inbox_domain::log::{Checkpoint, hex};

use crate::http::answer;
use crate::http::problem::Problem;
use crate::store::audit::{Position, Step};
use crate::store::log::Head;

/// Where the log stands.
pub(in crate::http::v1) fn head(head: &Head, checkpoints: i64) -> Result<Response, Problem> {
    let body = json!({
        "seq": head.seq, "hash": hex(&head.hash), "floor": head.floor_seq, "checkpoints": checkpoints,
    });
    answer::json(StatusCode::OK, &body)
}

/// What a step of a verification found.
pub(in crate::http::v1) fn step(step: &Step) -> Result<Response, Problem> {
    let found = &step.found;
    let next = step.next.map(|Position { seq, hash }| json!({ "seq": seq, "hash": hex(&hash) }));
    let body = json!({
        "ok": found.ok,
        "events": found.events,
        "first_bad": found.first_bad,
        "proved_from": found.proved_from,
        "erased": found.erased,
        "detail": found.detail,
        "next": next,
        "head": step.head,
    });
    answer::json(StatusCode::OK, &body)
}

/// A checkpoint that was made.
pub(in crate::http::v1) fn created_checkpoint(checkpoint: &Checkpoint) -> Result<Response, Problem> {
    answer::json(StatusCode::CREATED, checkpoint)
}

/// The checkpoints that are kept.
pub(in crate::http::v1) fn checkpoint_list(checkpoints: &[Checkpoint]) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &json!({ "checkpoints": checkpoints }))
}
