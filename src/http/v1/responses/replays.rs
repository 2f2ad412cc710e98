//! Answers about sending again.

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use task_inbox_domain::Timestamp;
use task_inbox_domain::cursor::ReplayCursor;
use uuid::Uuid;

use crate::app::replays::{Preview, ReplayList, since};
use crate::http::answer;
use crate::http::problem::Problem;
use crate::store::replays::{Replay, What};

#[derive(Serialize)]
struct Job<'a> {
    id: Uuid,
    endpoint_id: Uuid,
    what: &'static str,
    since: Option<Timestamp>,
    schema: Option<&'a str>,
    status: &'static str,
    resent: i64,
    next_seq: Option<i64>,
    last_seq: Option<i64>,
    created: Timestamp,
    created_by: &'a str,
    finished: Option<Timestamp>,
}

impl<'a> Job<'a> {
    fn of(replay: &'a Replay) -> Self {
        let since = since(replay);
        Self {
            id: replay.id,
            endpoint_id: replay.endpoint_id,
            what: match replay.what {
                What::Dead => "dead",
                What::Since(_) => "since",
            },
            since,
            schema: replay.schema.as_deref(),
            status: replay.status.as_str(),
            resent: replay.resent,
            // What is dead is found without the log.
            next_seq: since.map(|_| replay.next_seq),
            last_seq: since.map(|_| replay.last_seq),
            created: replay.created,
            created_by: &replay.created_by,
            finished: replay.finished,
        }
    }
}

/// One job.
pub(in crate::http::v1) fn replay(replay: &Replay) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &Job::of(replay))
}

/// A job that was made.
pub(in crate::http::v1) fn created(replay: &Replay) -> Result<Response, Problem> {
    let mut response = answer::json(StatusCode::CREATED, &Job::of(replay))?;
    answer::set(&mut response, header::LOCATION, &format!("/api/v1/replays/{}", replay.id));
    Ok(response)
}

/// What a job would send.
pub(in crate::http::v1) fn preview(preview: Preview) -> Result<Response, Problem> {
    let Preview { count, at_least } = preview;
    answer::json(StatusCode::OK, &json!({ "count": count, "at_least": at_least }))
}

/// A page of jobs.
pub(in crate::http::v1) fn list(list: &ReplayList) -> Result<Response, Problem> {
    let replays: Vec<_> = list.replays.iter().map(Job::of).collect();
    let next = list.next.map(ReplayCursor::encode);
    answer::json(StatusCode::OK, &json!({ "replays": replays, "next_cursor": next }))
}
