//! `openapi`.

use crate::output::Answer;

/// The description of the API: always JSON, indented for people.
pub(crate) fn run() -> anyhow::Result<Answer> {
    let openapi = task_inbox::http::openapi();
    // As it is committed: in the order of the route table, which a `Value` would sort.
    let text = openapi.to_pretty_json()?;
    Ok(Answer::new(serde_json::to_value(openapi)?, text))
}
