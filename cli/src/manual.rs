//! The manual: one page with every command, for `man`.
//!
//! What clap_mangen makes of the program itself, and a section for each command below it; what all
//! commands share is said once.

use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, line_break, roman};

/// The page, in roff.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut root = crate::command();
    root.build();
    let shared: Vec<_> = root.get_arguments().map(|arg| arg.get_id().clone()).collect();
    let man = Man::new(root.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    for command in root.get_subcommands() {
        section(&mut commands, command, |arg| !shared.contains(arg.get_id()));
    }
    commands.control("SH", ["EXIT STATUS"]);
    commands.text([roman("0: done. 1: refused or failed. 2: the arguments are wrong.")]);
    commands.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(String::from_utf8(page)?)
}

/// A command, if it does something itself, and each of those below it.
fn section(page: &mut Roff, command: &Command, is_own: impl Fn(&Arg) -> bool + Copy) {
    if command.get_name() == "help" || command.is_hide_set() {
        return;
    }
    if !command.is_subcommand_required_set() {
        one(page, command, is_own);
    }
    command.get_subcommands().for_each(|sub| section(page, sub, is_own));
}

fn one(page: &mut Roff, command: &Command, is_own: impl Fn(&Arg) -> bool) {
    page.control("SS", [command.get_bin_name().unwrap_or(command.get_name())]);
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    page.text([roman(format!("{}.", about.unwrap_or_default()))]);
    let own = command.get_arguments().filter(|arg| is_own(arg) && !arg.is_hide_set());
    for arg in own.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
        page.control("TP", []);
        page.text(signature(arg));
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<_> =
            arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
        let default = if defaults.is_empty() || !arg.get_action().takes_values() {
            String::new()
        } else {
            format!(" [default: {}]", defaults.join(", "))
        };
        page.text([roman(format!("{help}{default}"))]);
    }
    if let Some(examples) = command.get_after_help() {
        page.control("PP", []);
        let lines = examples.to_string();
        page.control("nf", []);
        page.text(lines.lines().flat_map(|line| [roman(line), line_break()]).collect::<Vec<_>>());
        page.control("fi", []);
    }
}

/// How an argument is written.
fn signature(arg: &Arg) -> Vec<Inline> {
    let value = || {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ")
    };
    let Some(long) = arg.get_long() else { return vec![italic(value())] };
    let mut text = Vec::new();
    if let Some(short) = arg.get_short() {
        text.extend([bold(format!("-{short}")), roman(", ")]);
    }
    text.push(bold(format!("--{long}")));
    if arg.get_action().takes_values() {
        text.extend([roman(" "), italic(value())]);
    }
    text
}
