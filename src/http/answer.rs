//! What goes out: JSON, written once, with documents spliced in as they were kept.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use serde::Serialize;
use task_inbox_domain::Task;
use task_inbox_domain::binding::Binding;

use super::problem::Problem;
use crate::app::{CurrentTask, TaskView};

/// A JSON text under construction.
pub(super) struct Json(Vec<u8>);

impl Json {
    /// Begins with this text.
    pub(super) fn new(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(text.as_bytes());
        Self(bytes)
    }

    /// Adds JSON text.
    pub(super) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds a value.
    pub(super) fn value(&mut self, value: &impl Serialize) -> Result<&mut Self, Problem> {
        serde_json::to_writer(&mut self.0, value)
            .map_err(|e| Problem::internal(format!("an answer can't be written: {e}")))?;
        Ok(self)
    }

    /// Adds items with commas between them.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut add: impl FnMut(&mut Self, T) -> Result<(), Problem>,
    ) -> Result<&mut Self, Problem> {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.raw(",");
            }
            add(self, item)?;
        }
        Ok(self)
    }

    /// Adds a task as the API shows it: the wire object and, only here, `allowed_transitions` and, where its type binds
    /// decisions, `binding`.
    pub(super) fn task(
        &mut self,
        task: &Task,
        allowed: &impl Serialize,
        binding: Option<&Binding>,
    ) -> Result<&mut Self, Problem> {
        self.value(task)?;
        self.0.pop();
        self.raw(",\"allowed_transitions\":").value(allowed)?;
        if let Some(binding) = binding {
            self.raw(",\"binding\":").value(binding)?;
        }
        Ok(self.raw("}"))
    }

    /// Adds the task of a view.
    pub(super) fn view(&mut self, view: &TaskView) -> Result<&mut Self, Problem> {
        self.task(&view.task, &view.allowed_transitions(), view.binding().as_ref())
    }

    /// The finished text as an answer.
    pub(super) fn answer(self, status: StatusCode) -> Response {
        let mut response = Response::new(Body::from(self.0));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// An answer that is one value.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let mut text = Json::new("");
    text.value(value)?;
    Ok(text.answer(status))
}

/// A task with the name of its type, and its version as `ETag`.
pub(super) fn task_with_type(status: StatusCode, view: &TaskView) -> Result<Response, Problem> {
    let mut text = Json::new("{\"task\":");
    text.view(view)?.raw(",\"ttype\":").value(&view.task.ttype)?.raw("}");
    Ok(with_etag(text.answer(status), &view.task))
}

/// A task that was posted: also where it is.
pub(super) fn posted(status: StatusCode, view: &TaskView) -> Result<Response, Problem> {
    let mut response = task_with_type(status, view)?;
    set(&mut response, header::LOCATION, &format!("/api/v1/tasks/{}", view.task.id));
    Ok(response)
}

/// A task that was decided.
pub(super) fn decided(view: &TaskView) -> Result<Response, Problem> {
    let mut text = Json::new("{\"task\":");
    text.view(view)?.raw("}");
    Ok(with_etag(text.answer(StatusCode::OK), &view.task))
}

/// Sets a header whose value is known to be fit for one.
pub(super) fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn with_etag(mut response: Response, task: &Task) -> Response {
    set(&mut response, header::ETAG, &format!("\"{}\"", task.version));
    response
}

/// The extension members of a refused decision: what the task is now, who made it so, and where
/// it can go from here.
pub(super) fn current_members(current: &CurrentTask) -> Result<String, Problem> {
    let mut text = Json::new(",\"current\":");
    text.task(&current.task, &current.allowed_transitions, current.binding.as_ref())?;
    text.raw(",\"decided_by\":").value(&current.decided_by)?;
    text.raw(",\"decided_at\":").value(&current.decided_at)?;
    text.raw(",\"allowed_transitions\":").value(&current.allowed_transitions)?;
    String::from_utf8(text.0).map_err(|e| Problem::internal(e.to_string()))
}
