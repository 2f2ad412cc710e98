//! Arguments: read, or refused in one line.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, FromArgMatches};

use crate::output::plain;

/// What to do instead of running a command.
pub(crate) enum Instead {
    /// Something that was asked for: help, the version.
    Print(clap::Error),
    /// The arguments are wrong.
    Refuse(String),
}

/// Reads the arguments.
pub(crate) fn parse<T: FromArgMatches>(
    command: Command,
    arguments: &[std::ffi::OsString],
) -> Result<T, Instead> {
    let matches = command.clone().try_get_matches_from(arguments).and_then(|m| T::from_arg_matches(&m));
    matches.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Instead::Print(error),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Instead::Refuse(missing_command(&command, arguments))
        }
        _ => Instead::Refuse(one_line(&error)),
    })
}

/// Which of several commands?
fn missing_command(root: &Command, arguments: &[std::ffi::OsString]) -> String {
    let mut command = root;
    let mut name = root.get_name().to_owned();
    for argument in arguments.iter().skip(1).filter_map(|a| a.to_str()) {
        if let Some(sub) = command.find_subcommand(argument) {
            name = format!("{name} {}", sub.get_name());
            command = sub;
        }
    }
    let known: Vec<_> =
        command.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name).collect();
    format!("`{name}` takes a command: {}; `{name} --help` tells more", known.join(", "))
}

/// clap's message without its usage, which `--help` shows.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.split("\n\nFor more information").next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let help = match error.get(ContextKind::Usage) {
        // The usage begins with the command's full name.
        Some(ContextValue::StyledStr(usage)) => command_of(&usage.to_string()),
        _ => "task-inbox".to_owned(),
    };
    format!("{}; see `{help} --help`", plain(&lines.join(" ")))
}

fn command_of(usage: &str) -> String {
    let words = usage.trim_start_matches("Usage:").split_whitespace();
    let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    words.take_while(is_name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_found_in_its_usage() {
        assert_eq!(command_of("Usage: task-inbox api_key [OPTIONS] --name <NAME>"), "task-inbox api_key");
        assert_eq!(command_of("Usage: task-inbox [OPTIONS] <COMMAND>"), "task-inbox");
    }
}
