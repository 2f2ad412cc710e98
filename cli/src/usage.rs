//! Arguments: read, or refused in one line.

use std::ffi::OsString;

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
pub(crate) fn parse<T: FromArgMatches>(command: &Command, arguments: &[OsString]) -> Result<T, Instead> {
    let matches = command.clone().try_get_matches_from(arguments).and_then(|m| T::from_arg_matches(&m));
    matches.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Instead::Print(error),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Instead::Refuse(missing(command, arguments)),
        ErrorKind::InvalidSubcommand => Instead::Refuse(unknown_command(&error, command, arguments)),
        _ => Instead::Refuse(format!("{}; see `{} --help`", one_line(&error), named(command, arguments).0)),
    })
}

/// The command that the arguments name, as far as they name one.
fn named<'a>(root: &'a Command, arguments: &[OsString]) -> (String, &'a Command) {
    let (mut name, mut command) = (root.get_name().to_owned(), root);
    for argument in arguments.iter().skip(1).filter_map(|a| a.to_str()) {
        if let Some(sub) = command.find_subcommand(argument) {
            name = format!("{name} {}", sub.get_name());
            command = sub;
        }
    }
    (name, command)
}

/// Which of several commands?
fn missing(root: &Command, arguments: &[OsString]) -> String {
    let (name, command) = named(root, arguments);
    let known: Vec<_> =
        command.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name).collect();
    if command.get_name() == root.get_name() {
        return format!("say which command; `{name} --help` lists them");
    }
    format!("`{name}` takes a command: {}; see `{name} --help`", known.join(", "))
}

/// Which one was meant?
fn unknown_command(error: &clap::Error, root: &Command, arguments: &[OsString]) -> String {
    let (name, command) = named(root, arguments);
    let given = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(given)) => plain(given),
        _ => String::new(),
    };
    let meant = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) => names.iter().map(String::as_str).collect(),
        Some(ContextValue::String(name)) => vec![name.as_str()],
        _ => Vec::new(),
    };
    // Each spelling of a command is suggested; its name is enough.
    let mut meant: Vec<_> =
        meant.iter().filter_map(|m| Some(command.find_subcommand(m)?.get_name())).collect();
    meant.dedup();
    let meant = if meant.is_empty() { String::new() } else { format!(", perhaps {}", meant.join(" or ")) };
    format!("there is no command {given:?}{meant}; see `{name} --help`")
}

/// clap's message without its usage, which `--help` shows.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.split("\n\nFor more information").next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    plain(&lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> String {
        let arguments: Vec<_> = ["task-inbox"].iter().chain(arguments).map(OsString::from).collect();
        match parse::<crate::Cli>(&crate::command(), &arguments) {
            Err(Instead::Refuse(text)) => text,
            _ => panic!("{arguments:?} are right"),
        }
    }

    #[test]
    fn one_line_that_names_the_commands_help() {
        for (arguments, said) in [
            (&[][..], "`task-inbox --help` lists them"),
            (&["migrate"], "up, down, status; see `task-inbox migrate --help`"),
            (&["migrate", "--json", "down", "x"], "see `task-inbox migrate down --help`"),
            (&["api-key"], "--name <NAME>; see `task-inbox api_key --help`"),
            (&["taskk"], "no command \"taskk\", perhaps "),
            (&["migrate", "upp"], "no command \"upp\", perhaps up; see `task-inbox migrate --help`"),
        ] {
            let text = refused(arguments);
            assert!(text.contains(said) && !text.contains('\n'), "{text}");
        }
    }
}
