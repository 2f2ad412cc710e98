//! `taskschema`, `rmschema`, `schemas`, `tasktypes`.

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::read_text;
use crate::api::{Api, Call, Refusal};
use crate::output::{Answer, Cell, Screen, Table, Tone, list as items, plain, shown, text};

/// Arguments of `taskschema`.
#[derive(clap::Args)]
pub(crate) struct TaskSchema {
    /// The YAML file; - reads stdin
    file: String,
    /// Only say what would come of it: what differs from the latest version, and whether that may
    /// be installed
    #[arg(long, visible_alias = "dry-run", alias = "dry_run")]
    dryrun: bool,
    /// Install a breaking change in spite of its version
    #[arg(long)]
    force: bool,
}

/// Arguments of `rmschema`.
#[derive(clap::Args)]
pub(crate) struct RmSchema {
    /// The schema
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Only say what would go
    #[arg(long, visible_alias = "dry-run", alias = "dry_run")]
    dryrun: bool,
    /// Do it: this destroys tasks
    #[arg(long, short)]
    yes: bool,
}

/// Arguments of `tasktypes`.
#[derive(clap::Args)]
pub(crate) struct TaskTypes {
    /// The schema
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    schema: String,
}

pub(crate) async fn install(args: &TaskSchema, api: &Api) -> anyhow::Result<Answer> {
    let source = match args.file.as_str() {
        "-" => read_text(std::io::stdin()).context("stdin can't be read")?,
        path => {
            std::fs::File::open(path).and_then(read_text).with_context(|| format!("{path} can't be read"))?
        }
    };
    let call =
        |dry_run, force| Call::yaml(&["schemas"], &source).flag("dry_run", dry_run).flag("force", force);
    if !args.dryrun {
        let report = api.send(call(false, args.force)).await?;
        let text =
            format!("installed {} {}{}", shown(&report, "name"), shown(&report, "semver"), changes(&report));
        return Ok(Answer::painted(report.clone(), text).warn_of(&report));
    }
    let refused = match api.send(call(true, args.force).repeatable()).await {
        Ok(report) => return Ok(difference(report, None)),
        Err(refusal) => refusal,
    };
    // What would be refused for its changes alone is shown with them all the same.
    match api.send(call(true, true).repeatable()).await {
        Ok(report) => Ok(difference(report, Some(&refused))),
        Err(_) => Err(refused.into()),
    }
}

/// What `--dryrun` found, with its verdict.
fn difference(mut report: Value, refused: Option<&Refusal>) -> Answer {
    let screen = Screen::stdout();
    let (name, semver) = (shown(&report, "name"), shown(&report, "semver"));
    let is_first = report["version"] == 1;
    let (verdict, tone, words) = match refused {
        Some(refusal) => ("refused", Tone::Bad, format!("would be refused: {}", refusal.message)),
        None if report["breaking"] == true => {
            ("breaking", Tone::Doubtful, "breaking, and may be installed".to_owned())
        }
        None if is_first => ("compatible", Tone::Good, "the first version, and may be installed".to_owned()),
        None if items(&report, "changes").is_empty() => {
            ("compatible", Tone::Good, "nothing differs from the latest version; may be installed".to_owned())
        }
        None => ("compatible", Tone::Good, "compatible, and may be installed".to_owned()),
    };
    let text = format!("{name} {semver}{}\n{}", changes(&report), screen.paint(tone, &plain(&words)));
    report["verdict"] = verdict.into();
    Answer::painted(report.clone(), text).ok(refused.is_none()).warn_of(&report)
}

/// A line for each change: `!` breaks somebody, `-` takes something away, `+` is anything else.
fn changes(report: &Value) -> String {
    let line = |change: &Value| {
        let text = change.as_str().unwrap_or_default();
        let is_less = ["is gone", "no longer", "any more"].iter().any(|words| text.contains(words));
        let (mark, tone, text) = match text.strip_prefix("breaking: ") {
            Some(text) => ("!", Tone::Bad, text),
            None if is_less => ("-", Tone::Doubtful, text),
            None => ("+", Tone::Good, text),
        };
        format!("\n  {} {}", Screen::stdout().paint(tone, mark), plain(text))
    };
    items(report, "changes").iter().map(line).collect()
}

pub(crate) async fn remove(args: &RmSchema, api: &Api) -> anyhow::Result<Answer> {
    let really = args.yes && !args.dryrun;
    let call = Call::delete(&["schemas", &args.name]).flag("dry_run", !really);
    let report = api.send(if really { call } else { call.repeatable() }).await?;
    let (name, versions, tasks) =
        (shown(&report, "name"), shown(&report, "versions"), shown(&report, "tasks"));
    let what = format!("{name} with {versions} versions and {tasks} tasks");
    if !really && !args.dryrun {
        return Err(Refusal::new(format!("this would remove {what} for good; add --yes to do it")).into());
    }
    let text = if really { format!("removed {what}") } else { format!("would remove {what}") };
    Ok(Answer::new(report, text))
}

pub(crate) async fn list(api: &Api) -> anyhow::Result<Answer> {
    let answer = api.send(Call::get(&["schemas"])).await?;
    let row = |schema: &Value| {
        let endpoints = items(schema, "endpoints");
        let types: Vec<_> = items(schema, "types").iter().map(|t| text(t, "name")).collect();
        let held = endpoints.iter().find_map(|e| e["held"].as_str());
        vec![
            shown(schema, "name").into(),
            shown(schema, "semver").into(),
            shown(schema, "version").into(),
            types.join(", ").into(),
            endpoints.first().map_or_else(|| "-".to_owned(), |e| shown(e, "url")).into(),
            Cell::status(held.unwrap_or("-")),
        ]
    };
    let table = Table::new(&["name", "semver", "versions", "task types", "webhooks to", "held"])
        .none("no schema is installed; install one with `task-inbox taskschema FILE`")
        .rows(items(&answer, "schemas").iter().map(row))
        .to_text();
    Ok(Answer::painted(answer, table))
}

pub(crate) async fn types(args: &TaskTypes, api: &Api) -> anyhow::Result<Answer> {
    let schema = api.send(Call::get(&["schemas", &args.schema])).await?;
    let row = |ttype: &Value| {
        vec![
            shown(ttype, "name").into(),
            shown(ttype, "pending_states").into(),
            shown(ttype, "resolved_states").into(),
        ]
    };
    let table = Table::new(&["name", "pending states", "resolved states"])
        .none("the schema has no task types")
        .rows(items(&schema, "types").iter().map(row))
        .to_text();
    let json = json!({"schema": schema["name"], "semver": schema["semver"], "types": schema["types"]});
    Ok(Answer::painted(json, table))
}
