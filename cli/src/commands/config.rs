//! `config show`, `config check`, `config docs`, and `generate-keys`.

use anyhow::Context;
use serde_json::{Map, Value, json};
use task_inbox::app::vault;
use task_inbox::config::{Inspection, docs};
use task_inbox::{startup, telemetry};

use crate::output::{Answer, Screen, Table, Tone, plain};
use crate::target::Where;

/// What to do with the configuration.
#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong: each setting, the database, the master key
    Check,
    /// Show every setting, its value and where it came from; secrets are masked
    Show,
    /// Print docs/CONFIG.md, or write it and .env.example below the working directory
    #[command(hide = true)]
    Docs {
        /// Write the files
        #[arg(long)]
        write: bool,
    },
}

pub(crate) async fn run(command: &ConfigCommand, place: &Where) -> anyhow::Result<Answer> {
    place.must_be_local("config")?;
    let inspect = || anyhow::Ok(Inspection::of(&place.flags(), &std::env::current_dir()?));
    match command {
        ConfigCommand::Check => check(inspect()?).await,
        ConfigCommand::Show => Ok(show(&inspect()?)),
        ConfigCommand::Docs { write } => write_docs(*write),
    }
}

async fn check(inspection: Inspection) -> anyhow::Result<Answer> {
    let warnings = oddities(&inspection);
    let wrong = match &inspection.config {
        Ok(config) => {
            telemetry::start(config.log.as_deref().unwrap_or("off"), config.log_format)?;
            startup::check(config).await
        }
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    };
    let screen = Screen::stdout();
    let text = match wrong.as_slice() {
        [] => screen.paint(Tone::Good, "the configuration is right, the database is there and up to date, and the master key opens its secrets"),
        wrong => {
            let lines = wrong.iter().map(|w| format!("{} {}", screen.paint(Tone::Bad, "wrong:"), plain(w)));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    let ok = wrong.is_empty();
    Ok(Answer::painted(json!({"ok": ok, "wrong": wrong, "warnings": warnings}), text).ok(ok).warn(warnings))
}

/// What is set and does nothing.
pub(super) fn oddities(inspection: &Inspection) -> Vec<String> {
    let unknown = inspection
        .unknown
        .iter()
        .map(|name| format!("{name} is set and is no setting; `task-inbox config show` lists them"));
    let unused = inspection.config.iter().flat_map(|config| &config.unused);
    unknown.chain(unused.map(|name| format!("{name} is set and has no effect in this version"))).collect()
}

fn show(inspection: &Inspection) -> Answer {
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let rows = inspection
        .shown
        .iter()
        .map(|s| vec![s.variable.name.into(), or_dash(&s.value).into(), s.source.as_str().into()]);
    let table = Table::new(&["setting", "value", "from"]).whole().rows(rows).to_text();
    let json: Map<String, Value> = inspection
        .shown
        .iter()
        .map(|s| (s.variable.name.to_owned(), json!({"value": s.value, "source": s.source})))
        .collect();
    Answer::painted(Value::Object(json), table)
}

fn write_docs(write: bool) -> anyhow::Result<Answer> {
    let files = [("docs/CONFIG.md", docs::markdown()), (".env.example", docs::env_example())];
    if write {
        for (path, text) in &files {
            std::fs::write(path, text).with_context(|| format!("{path} can't be written"))?;
        }
        let names = files.map(|(path, _)| path);
        return Ok(Answer::new(json!({"written": names}), format!("wrote {}", names.join(" and "))));
    }
    let json = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_str().into())).collect();
    let [(_, markdown), _] = files;
    Ok(Answer::new(Value::Object(json), markdown))
}

pub(crate) fn generate_keys() -> Answer {
    let key = vault::generate();
    Answer::new(json!({"TASK_INBOX_MASTER_KEY": key}), format!("TASK_INBOX_MASTER_KEY={key}"))
}
