//! `taskschema`, `rmschema`, `schemas`, `tasktypes`.

use std::io::Read;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use task_inbox::app::schemas::{self, SchemaView};
use task_inbox::app::{App, Principal};
use task_inbox::config::Config;
use task_inbox::store::registry::Endpoint;

use crate::output::{Answer, or_dash, table};
use crate::session::with_app;

/// Arguments of `taskschema`.
#[derive(clap::Args)]
pub(crate) struct TaskSchema {
    /// The YAML file; - reads stdin
    file: String,
    /// Only say what would come of it
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
    schema: String,
}

pub(crate) async fn install(args: TaskSchema, config: &Config) -> anyhow::Result<Answer> {
    let source = match args.file.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("stdin can't be read")?;
            text
        }
        path => std::fs::read_to_string(path).with_context(|| format!("{path} can't be read"))?,
    };
    with_app(config, async |app| {
        let report = schemas::install(app, &Principal::cli(), &source, args.force, args.dryrun).await?;
        let done = if args.dryrun { "would install" } else { "installed" };
        let mut text = format!("{done} {} {}", report.name, report.semver);
        for change in &report.changes {
            text.push_str("\n  ");
            text.push_str(change);
        }
        let json = json!({
            "name": report.name, "semver": report.semver, "version": report.version,
            "breaking": report.breaking, "changes": report.changes, "warnings": report.warnings,
        });
        Ok(Answer::new(json, text).warn(&report.warnings))
    })
    .await
}

pub(crate) async fn remove(args: RmSchema, config: &Config) -> anyhow::Result<Answer> {
    with_app(config, async |app| {
        let really = args.yes && !args.dryrun;
        let report = schemas::remove(app, &Principal::cli(), &args.name, !really).await?;
        let what = format!("{} with {} versions and {} tasks", report.name, report.versions, report.tasks);
        if !really && !args.dryrun {
            bail!("this would remove {what} for good; add --yes to do it");
        }
        let text = if really { format!("removed {what}") } else { format!("would remove {what}") };
        let json = json!({
            "name": report.name, "versions": report.versions, "tasks": report.tasks, "deleted": report.deleted,
        });
        Ok(Answer::new(json, text))
    })
    .await
}

pub(crate) async fn list(config: &Config) -> anyhow::Result<Answer> {
    with_app(config, async |app| {
        let views = schemas::list(app, &Principal::cli())?;
        let rows: Vec<_> = views
            .iter()
            .map(|v| {
                let (latest, held) = (&v.latest, v.endpoints.iter().find_map(|e| e.held_reason()));
                vec![
                    latest.schema.name.clone(),
                    latest.schema.version.to_string(),
                    latest.position.to_string(),
                    names(v).join(", "),
                    or_dash(v.endpoints.first().map(|e| &e.hook.url)),
                    or_dash(held),
                ]
            })
            .collect();
        let none = "no schema is installed; install one with `task-inbox taskschema FILE`";
        let text = table(&["name", "semver", "versions", "task types", "webhooks to", "held"], &rows, none);
        Ok(Answer::new(json!({"schemas": views.iter().map(schema_json).collect::<Vec<_>>()}), text))
    })
    .await
}

fn names(view: &SchemaView) -> Vec<&str> {
    view.latest.schema.task_types.iter().map(|t| t.name.as_str()).collect()
}

fn schema_json(view: &SchemaView) -> Value {
    let latest = &view.latest;
    json!({
        "name": latest.schema.name,
        "semver": latest.schema.version.as_written(),
        "version": latest.position,
        "installed": latest.installed_at,
        "types": names(view),
        "endpoints": view.endpoints.iter().map(|e| endpoint_json(e)).collect::<Vec<_>>(),
    })
}

fn endpoint_json(endpoint: &Endpoint) -> Value {
    json!({
        "id": endpoint.id,
        "url": endpoint.hook.url,
        "ttype": endpoint.ttype,
        "status": endpoint.status.as_str(),
        "held": endpoint.held_reason(),
    })
}

pub(crate) async fn types(args: TaskTypes, config: &Config) -> anyhow::Result<Answer> {
    with_app(config, async |app| types_of(app, &args.schema)).await
}

fn types_of(app: &App, name: &str) -> anyhow::Result<Answer> {
    let view = schemas::get(app, &Principal::cli(), name)?;
    let schema = &view.latest.schema;
    let registry = app.registry.current();
    let types: Vec<_> = schema
        .task_types
        .iter()
        .map(|t| {
            json!({
                "id": registry.latest_type(name, &t.name).map(|t| t.id),
                "name": t.name,
                "title": t.title,
                "pending_states": t.pending_states,
                "resolved_states": t.resolved_states,
            })
        })
        .collect();
    let rows: Vec<_> = schema
        .task_types
        .iter()
        .map(|t| vec![t.name.clone(), t.pending_states.join(", "), t.resolved_states.join(", ")])
        .collect();
    let text = table(&["name", "pending states", "resolved states"], &rows, "the schema has no task types");
    let semver = schema.version.as_written();
    Ok(Answer::new(json!({"schema": schema.name, "semver": semver, "types": types}), text))
}
