//! `audit verify`, `audit checkpoint`.

use anyhow::Context;
use serde_json::json;
use task_inbox::app::{App, Principal, audit};
use task_inbox::config::Config;
use task_inbox_domain::log::Checkpoint;

use crate::output::Answer;
use crate::session::with_app;

/// What to do with the log.
#[derive(clap::Subcommand)]
pub(crate) enum Audit {
    /// Recompute the chain over the whole log
    Verify {
        /// A checkpoint that was kept outside: a file, or its JSON
        #[arg(long, value_name = "CHECKPOINT")]
        from: Option<String>,
    },
    /// Sign the end of the log; keep what it prints outside of the database
    Checkpoint,
}

pub(crate) async fn run(args: Audit, config: &Config) -> anyhow::Result<Answer> {
    match args {
        Audit::Verify { from } => {
            let from = from.as_deref().map(read).transpose()?;
            with_app(config, async |app| verify(app, from.as_ref()).await).await
        }
        Audit::Checkpoint => {
            with_app(config, async |app| {
                let json = serde_json::to_value(audit::checkpoint(app, &Principal::cli()).await?)?;
                let text = json.to_string();
                Ok(Answer::new(json, text))
            })
            .await
        }
    }
}

fn read(from: &str) -> anyhow::Result<Checkpoint> {
    let text = if from.trim_start().starts_with('{') {
        from.to_owned()
    } else {
        std::fs::read_to_string(from).with_context(|| format!("{from} can't be read"))?
    };
    serde_json::from_str(&text).context("this is not a checkpoint as `task-inbox audit checkpoint` prints it")
}

async fn verify(app: &App, from: Option<&Checkpoint>) -> anyhow::Result<Answer> {
    let found = audit::verify(app, &Principal::cli(), from).await?;
    let text = match (found.ok, &found.detail, found.proved_from) {
        (false, detail, _) => {
            format!("the log is NOT what was written: {}", detail.as_deref().unwrap_or("unknown"))
        }
        (true, _, Some(seq)) => {
            format!("the log is whole: {} events; the checkpoint proves it up to event {seq}", found.events)
        }
        (true, _, None) => format!(
            "the log is whole: {} events; only a checkpoint that was kept outside proves that it was not rebuilt",
            found.events
        ),
    };
    let text = match found.erased {
        0 => text,
        erased => format!("{text}; the text of {erased} was erased"),
    };
    let json = json!({
        "ok": found.ok, "events": found.events, "first_bad": found.first_bad, "proved_from": found.proved_from,
        "erased": found.erased,
        "detail": found.detail,
    });
    Ok(Answer::new(json, text).ok(found.ok))
}
