//! The command line of `task-inbox`: the server, and every command of its operator.
//!
//! An administrative command is a request of the API. It parses its arguments, asks `api`, and
//! renders what came back: a table for people, or the answer's own JSON with `--json`. Whether `api`
//! goes over the network or to the same router in this process is none of its business, and no rule
//! of the inbox stands here.
//!
//! `target` decides where a command works; `commands` has one file for each thing that commands are
//! about; `output` knows terminals.

mod api;
mod commands;
mod examples;
mod manual;
mod output;
mod private_file;
mod profiles;
mod target;
mod usage;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use commands::Command;
use target::Where;
use usage::Instead;

/// A shared inbox for decisions that software can't take.
#[derive(Parser)]
#[command(name = "task-inbox", version, about, propagate_version = true)]
struct Cli {
    /// Print one JSON document on stdout and nothing else there
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: Command,
}

/// The whole tree of commands, with their examples.
fn command() -> clap::Command {
    examples::with_examples(Cli::command())
}

/// Every command that does something, by its words: `tasks`, `audit verify`.
pub fn command_names() -> Vec<String> {
    fn below(command: &clap::Command, words: &str, found: &mut Vec<String>) {
        let subs: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
        // One that works without a command below it does something itself.
        if subs.is_empty() || !(words.is_empty() || command.is_subcommand_required_set()) {
            found.push(words.to_owned());
        }
        for sub in subs {
            below(sub, format!("{words} {}", sub.get_name()).trim(), found);
        }
    }
    let mut found = Vec::new();
    below(&command(), "", &mut found);
    found
}

/// Runs what the arguments say; returns the exit code: 0 done, 1 refused or failed, 2 usage.
pub fn main() -> ExitCode {
    // Before anything makes a TLS connection; it fails only if somebody else was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli: Cli = match usage::parse(&command(), &arguments) {
        Ok(cli) => cli,
        Err(Instead::Print(asked_for)) => {
            let _ = asked_for.print();
            return ExitCode::SUCCESS;
        }
        Err(Instead::Refuse(usage)) => return output::fail(&output::Usage(usage).into()),
    };
    let json = cli.json;
    match commands::run(cli.command, &cli.place, json) {
        Ok(Some(answer)) => answer.print(json),
        Ok(None) => {
            let _ = std::io::stdout().flush();
            ExitCode::SUCCESS
        }
        Err(error) => output::fail(&error),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_consistent() {
        super::command().debug_assert();
    }
}
