//! `mktask`, `decide`, `tasks`.

use anyhow::Context;
use serde_json::json;
use task_inbox::app::tasks::{self, Created, PostTask, TaskView};
use task_inbox::app::{App, Principal};
use task_inbox::config::Config;
use task_inbox::store::tasks::TaskFilter;
use task_inbox_domain::Document;
use task_inbox_domain::cursor::TaskCursor;
use task_inbox_domain::schema::UNSET;
use task_inbox_domain::transition::Decision;
use uuid::Uuid;

use crate::output::{Answer, or_dash, table};
use crate::session::with_app;

/// Arguments of `mktask`.
#[derive(clap::Args)]
pub(crate) struct MkTask {
    /// The schema
    schema: String,
    /// The task type
    #[arg(value_name = "TYPE")]
    ttype: String,
    /// What there is to say about it, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    meta: Option<Document>,
    /// The state to begin in
    #[arg(long)]
    state: Option<String>,
    /// The sender's own name for it; the same again makes no second task
    #[arg(long, alias = "external_id", value_name = "ID")]
    external_id: Option<String>,
}

/// Arguments of `decide`.
#[derive(clap::Args)]
pub(crate) struct Decide {
    /// The task's id
    task: Uuid,
    /// The state to move it to; unset for none
    state: String,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// The result that goes with it, JSON
    #[arg(long, value_name = "JSON", value_parser = document)]
    output: Option<Document>,
    /// Refuse if the task is at another version
    #[arg(long, alias = "if_version", value_name = "VERSION")]
    if_version: Option<i64>,
}

/// Arguments of `tasks`.
#[derive(clap::Args)]
pub(crate) struct Tasks {
    /// The schema
    schema: Option<String>,
    /// The task type
    #[arg(value_name = "TYPE")]
    ttype: Option<String>,
    /// Which: un lists those that wait for a decision
    #[arg(long, value_parser = ["un", "all"], default_value = "all")]
    resolved: String,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=tasks::MAX_LIMIT))]
    limit: u64,
    /// The next_cursor of the page before
    #[arg(long, value_parser = TaskCursor::parse)]
    cursor: Option<TaskCursor>,
}

fn object(text: &str) -> Result<Document, String> {
    Document::parse_object(text).map_err(|e| e.to_string())
}

fn document(text: &str) -> Result<Document, String> {
    Document::parse(text).map_err(|e| e.to_string())
}

pub(crate) async fn create(args: MkTask, config: &Config) -> anyhow::Result<Answer> {
    let post = PostTask {
        schema_name: args.schema,
        task: args.ttype,
        state: args.state,
        meta: args.meta,
        external_id: args.external_id,
    };
    with_app(config, async |app| {
        let (view, created) = tasks::create(app, &Principal::cli(), post, None).await?;
        let text = match created {
            Created::New => format!("posted {}", view.task.id),
            Created::Existing => format!("{} was there already", view.task.id),
        };
        Ok(Answer::new(json!({"task": view.task, "ttype": view.task.ttype}), text))
    })
    .await
}

pub(crate) async fn decide(args: Decide, config: &Config) -> anyhow::Result<Answer> {
    let decision = Decision {
        state: Some(args.state).filter(|s| !s.is_empty() && s != UNSET),
        output: args.output,
        reason: args.reason,
        expected_version: args.if_version,
    };
    with_app(config, async |app| {
        let view = tasks::transition(app, &Principal::cli(), args.task, decision, None, None).await?;
        let task = &view.task;
        let text = format!("{} is {} now", task.id, task.state.as_deref().unwrap_or(UNSET));
        Ok(Answer::new(json!({"task": task}), text))
    })
    .await
}

pub(crate) async fn list(args: Tasks, config: &Config) -> anyhow::Result<Answer> {
    with_app(config, async |app| page(app, args).await).await
}

async fn page(app: &App, args: Tasks) -> anyhow::Result<Answer> {
    let who = Principal::cli();
    if let Some(schema) = &args.schema {
        let view = task_inbox::app::schemas::get(app, &who, schema)?;
        if let Some(ttype) = &args.ttype {
            let known: Vec<_> = view.latest.schema.task_types.iter().map(|t| t.name.as_str()).collect();
            // A type that only an older version has may still have tasks.
            let versions = app.registry.current();
            let exists = versions.versions(schema).iter().any(|v| v.schema.task_type(ttype).is_some());
            exists.then_some(()).with_context(|| {
                format!("{schema} has no task type {ttype:?}; it has {}", known.join(", "))
            })?;
        }
    }
    let filter = TaskFilter {
        unresolved: args.resolved == "un",
        schema: args.schema,
        ttype: args.ttype,
        ..TaskFilter::default()
    };
    let list = tasks::list(app, &who, filter, args.cursor, args.limit).await?;
    let next = list.next.map(TaskCursor::encode);
    let row = |view: &TaskView| {
        let task = &view.task;
        vec![
            task.id.to_string(),
            task.schema.clone(),
            task.ttype.clone(),
            task.state.clone().unwrap_or_else(|| UNSET.to_owned()),
            task.phase.as_str().to_owned(),
            task.created.to_string(),
            or_dash(task.external_id.as_ref()),
        ]
    };
    let rows: Vec<_> = list.tasks.iter().map(row).collect();
    let mut text =
        table(&["id", "schema", "type", "state", "phase", "created", "external id"], &rows, "no tasks");
    if let Some(next) = &next {
        text.push_str("\nthere are more: --cursor ");
        text.push_str(next);
    }
    let tasks: Vec<_> = list.tasks.iter().map(|view| &view.task).collect();
    Ok(Answer::new(json!({"tasks": tasks, "next_cursor": next}), text))
}
