//! `generate-keys`, `config docs`.

use anyhow::Context;
use serde_json::json;
use task_inbox::app::vault;
use task_inbox::config::docs;

use crate::output::Answer;

/// What to do with the configuration.
#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print docs/CONFIG.md, or write it and .env.example below the working directory
    Docs {
        /// Write the files
        #[arg(long)]
        write: bool,
    },
}

pub(crate) fn run(ConfigCommand::Docs { write }: &ConfigCommand) -> anyhow::Result<Answer> {
    let files = [("docs/CONFIG.md", docs::markdown()), (".env.example", docs::env_example())];
    if *write {
        for (path, text) in &files {
            std::fs::write(path, text).with_context(|| format!("{path} can't be written"))?;
        }
        let names = files.map(|(path, _)| path);
        return Ok(Answer::new(json!({"written": names}), format!("wrote {}", names.join(" and "))));
    }
    let json = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_str().into())).collect();
    let [(_, markdown), _] = files;
    Ok(Answer::new(serde_json::Value::Object(json), markdown))
}

pub(crate) fn generate_keys() -> Answer {
    let key = vault::generate();
    Answer::new(json!({"TASK_INBOX_MASTER_KEY": key}), format!("TASK_INBOX_MASTER_KEY={key}"))
}
