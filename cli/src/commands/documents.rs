//! `openapi`, `completions`, `man`: what is made from this program itself.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man as Page;
use serde_json::json;

use crate::output::Answer;

/// Arguments of `completions`.
#[derive(clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Arguments of `man`.
#[derive(clap::Args)]
pub(crate) struct Man {
    /// Write a page for each command into this folder, instead of printing the first
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
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

pub(crate) fn man(args: &Man) -> anyhow::Result<Answer> {
    let mut root = crate::command();
    root.build();
    let Some(folder) = &args.out else {
        let page = page(&root)?;
        return Ok(Answer::painted(json!({"page": page}), page));
    };
    let mut written = Vec::new();
    write(&root, folder, &mut written)?;
    let text = format!("wrote {} pages to {}", written.len(), folder.display());
    Ok(Answer::new(json!({"written": written}), text))
}

fn write(command: &Command, folder: &Path, written: &mut Vec<String>) -> anyhow::Result<()> {
    let name = format!("{}.1", command.get_display_name().unwrap_or(command.get_name()));
    let path = folder.join(&name);
    std::fs::write(&path, page(command)?).with_context(|| format!("{} can't be written", path.display()))?;
    written.push(name);
    command
        .get_subcommands()
        .filter(|c| c.get_name() != "help")
        .try_for_each(|sub| write(sub, folder, written))
}

fn page(command: &Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    Page::new(command.clone()).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}
