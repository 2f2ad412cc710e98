//! `openapi`, `completions`, `man`: what is made from this program itself.

use clap_complete::Shell;
use serde_json::json;

use crate::manual;
use crate::output::Answer;

/// Arguments of `completions`.
#[derive(clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// The description of the API: always JSON, indented for people.
pub(crate) fn openapi() -> anyhow::Result<Answer> {
    let openapi = task_inbox::http::openapi();
    // As it is committed: in the order of the route table, which a `Value` would sort.
    let text = openapi.to_pretty_json()?;
    Ok(Answer::new(serde_json::to_value(openapi)?, text))
}

pub(crate) fn completions(args: &Completions) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "task-inbox", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let json = json!({"shell": args.shell.to_string(), "script": script});
    Answer::painted(json, script)
}

pub(crate) fn man() -> anyhow::Result<Answer> {
    let page = manual::page()?;
    Ok(Answer::painted(json!({"page": page}), page))
}
