//! `openapi`.

use crate::output::Answer;

/// The description of the API: always JSON, indented for people.
pub(crate) fn run() -> anyhow::Result<Answer> {
    let json = serde_json::to_value(task_inbox::http::openapi())?;
    let text = serde_json::to_string_pretty(&json)?;
    Ok(Answer::new(json, text))
}
