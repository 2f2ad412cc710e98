//! `mktask`, `wait`, `decide`, `amend`, `cancel`, `tasks`.

use std::time::{Duration, Instant};

use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use task_inbox::app::tasks::MAX_LIMIT;
use task_inbox::config::duration;
use task_inbox_domain::Document;
use task_inbox_domain::cursor::TaskCursor;
use task_inbox_domain::schema::UNSET;
use uuid::Uuid;

use crate::api::{Api, Call, Refusal};
use crate::output::{Answer, Cell, Table, list as items, shown, text};

/// How long one request waits: less than any time-out between here and the server.
const PIECE: Duration = Duration::from_secs(20);
/// How long a server that is gone is left alone.
const PAUSE: Duration = Duration::from_secs(1);

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
    meta: Option<Value>,
    /// The state to begin in
    #[arg(long)]
    state: Option<String>,
    /// The sender's own name for it; the same again makes no second task
    #[arg(long, alias = "external_id", value_name = "ID")]
    external_id: Option<String>,
    /// Where else its events go, at one of the schema's callback_hosts
    #[arg(long, alias = "callback_url", value_name = "URL")]
    callback_url: Option<String>,
    /// Take the place of the task of this type that waits under the same key
    #[arg(long, alias = "merge_key", value_name = "KEY")]
    merge_key: Option<String>,
}

/// Arguments of `wait`.
#[derive(clap::Args)]
pub(crate) struct Wait {
    /// The task's id
    task: Uuid,
    /// How long at most, e.g. 90s or 8h; for ever if it is not said
    #[arg(long = "for", value_name = "SPAN", value_parser = duration::parse)]
    longest: Option<Duration>,
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
    output: Option<Value>,
    /// Refuse if the task is at another version
    #[arg(long, alias = "if_version", value_name = "VERSION")]
    if_version: Option<i64>,
}

/// Arguments of `amend`.
#[derive(clap::Args)]
pub(crate) struct Amend {
    /// The task's id
    task: Uuid,
    /// What to merge into what is said about it, a JSON object; null takes away
    #[arg(long, value_name = "JSON", value_parser = object)]
    meta: Value,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Refuse if the task is at another version
    #[arg(long, alias = "if_version", value_name = "VERSION")]
    if_version: Option<i64>,
}

/// Arguments of `cancel`.
#[derive(clap::Args)]
pub(crate) struct Cancel {
    /// The task's id
    task: Uuid,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Refuse if the task is at another version
    #[arg(long, alias = "if_version", value_name = "VERSION")]
    if_version: Option<i64>,
}

/// Arguments of `tasks`.
#[derive(clap::Args)]
pub(crate) struct Tasks {
    /// The schema
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    schema: Option<String>,
    /// The task type
    #[arg(value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    ttype: Option<String>,
    /// Which: un lists those that wait for a decision
    #[arg(long, value_parser = ["un", "all"], default_value = "all")]
    resolved: String,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MAX_LIMIT))]
    limit: u64,
    /// The next_cursor of the page before
    #[arg(long, value_parser = cursor)]
    cursor: Option<String>,
}

fn object(text: &str) -> Result<Value, String> {
    Document::parse_object(text).map_err(|e| e.to_string())?;
    serde_json::from_str(text).map_err(|e| e.to_string())
}

fn document(text: &str) -> Result<Value, String> {
    Document::parse(text).map_err(|e| e.to_string())?;
    serde_json::from_str(text).map_err(|e| e.to_string())
}

fn cursor(text: &str) -> Result<String, String> {
    TaskCursor::parse(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

pub(crate) async fn create(args: &MkTask, api: &Api) -> anyhow::Result<Answer> {
    let body = json!({
        "schema_name": args.schema, "task": args.ttype, "state": args.state, "meta": args.meta,
        "external_id": args.external_id, "callback_url": args.callback_url, "merge_key": args.merge_key,
    });
    let reply = api.ask(Call::post(&["tasks"], &body).keyed()).await?;
    let id = text(&reply.json["task"], "id");
    let said = if reply.status == 201 { format!("posted {id}") } else { format!("{id} was there already") };
    Ok(Answer::new(reply.json.clone(), said))
}

pub(crate) async fn wait(args: &Wait, api: &Api) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    let id = args.task.to_string();
    // From then on, who doesn't answer comes back: there is such a task, and it may be read.
    api.send(Call::get(&["tasks", &id])).await?;
    loop {
        let left = args.longest.map_or(PIECE, |longest| longest.saturating_sub(begun.elapsed()).min(PIECE));
        let span = match left.as_millis() {
            short @ 0..10_000 => format!("{short}ms"),
            _ => format!("{}s", left.as_secs()),
        };
        let call = Call::get(&["tasks", &id, "wait"]).query("timeout", Some(span));
        match api.ask(call).await {
            Ok(reply) if reply.status == 200 => {
                let task = &reply.json["task"];
                let state = task["state"].as_str().unwrap_or(UNSET);
                let said = match text(task, "phase") {
                    "resolved" => format!("{id} is {state}"),
                    phase => format!("{id} is {phase}, in state {state}"),
                };
                return Ok(Answer::new(reply.json.clone(), said));
            }
            Ok(_) => {}
            // A server that is restarted comes back.
            Err(refusal) if refusal.may_pass() => tokio::time::sleep(PAUSE).await,
            Err(refusal) => return Err(refusal.into()),
        }
        if args.longest.is_some_and(|longest| begun.elapsed() >= longest) {
            anyhow::bail!("{id} still waits for a decision; ask again, nothing is missed meanwhile");
        }
    }
}

pub(crate) async fn decide(args: &Decide, api: &Api) -> anyhow::Result<Answer> {
    let state = Some(args.state.as_str()).filter(|s| !s.is_empty() && *s != UNSET);
    let body = json!({"state": state, "output": args.output, "reason": args.reason});
    let call = Call::patch(&["tasks", &args.task.to_string(), "state"], &body);
    let answer = api.send(call.if_version(args.if_version).keyed()).await?;
    let task = &answer["task"];
    let said = format!("{} is {} now", text(task, "id"), task["state"].as_str().unwrap_or(UNSET));
    Ok(Answer::new(answer.clone(), said))
}

pub(crate) async fn amend(args: &Amend, api: &Api) -> anyhow::Result<Answer> {
    let body = json!({"meta": args.meta, "reason": args.reason});
    let call = Call::patch(&["tasks", &args.task.to_string()], &body);
    let answer = api.send(call.if_version(args.if_version).keyed()).await?;
    let said =
        format!("{} is changed, at version {}", text(&answer["task"], "id"), answer["task"]["version"]);
    Ok(Answer::new(answer.clone(), said))
}

pub(crate) async fn cancel(args: &Cancel, api: &Api) -> anyhow::Result<Answer> {
    let call = Call::post(&["tasks", &args.task.to_string(), "cancel"], &json!({"reason": args.reason}));
    let answer = api.send(call.if_version(args.if_version).keyed()).await?;
    let said = format!("{} is withdrawn", text(&answer["task"], "id"));
    Ok(Answer::new(answer.clone(), said))
}

pub(crate) async fn list(args: &Tasks, api: &Api) -> anyhow::Result<Answer> {
    let page = |resolved: &str, limit| {
        Call::get(&["tasks"])
            .query("resolved", Some(resolved))
            .query("schema", args.schema.as_ref())
            .query("ttype", args.ttype.as_ref())
            .query("limit", Some(limit))
    };
    let answer = api.send(page(&args.resolved, args.limit).query("cursor", args.cursor.as_ref())).await?;
    let tasks = items(&answer, "tasks");
    if tasks.is_empty() && args.cursor.is_none() {
        explain_none(args, api, page("all", 1)).await?;
    }
    let row = |task: &Value| {
        vec![
            shown(task, "id").into(),
            task["state"].as_str().unwrap_or(UNSET).into(),
            Cell::status(shown(task, "phase")),
            type_of(&answer, task).into(),
            shown(task, "schema").into(),
            shown(task, "created").into(),
            shown(task, "external_id").into(),
        ]
    };
    let table = Table::new(&["id", "state", "phase", "type", "schema", "created", "external"])
        .none("no tasks")
        .rows(tasks.iter().map(row))
        .page_of(&answer)
        .to_text();

    Ok(Answer::painted(answer, table))
}

/// The name of a task's type, which the list tells once for all its tasks.
fn type_of(answer: &Value, task: &Value) -> String {
    shown(&answer["types"][text(task, "ttype_id")], "name")
}

/// No tasks, or no such type? An old version's type may have tasks that are resolved.
async fn explain_none(args: &Tasks, api: &Api, any: Call) -> Result<(), Refusal> {
    let Some(name) = &args.schema else { return Ok(()) };
    let schema = match api.send(Call::get(&["schemas", name])).await {
        Ok(schema) => schema,
        // A key that may read tasks need not be one that may read schemas.
        Err(refusal) if refusal.status == Some(403) => return Ok(()),
        Err(refusal) => return Err(refusal),
    };
    let known: Vec<_> = items(&schema, "types").iter().map(|t| text(t, "name")).collect();
    let Some(ttype) = args.ttype.as_deref().filter(|ttype| !known.contains(ttype)) else { return Ok(()) };
    if items(&api.send(any).await?, "tasks").is_empty() {
        return Err(Refusal::new(format!("{name} has no task type {ttype:?}; it has {}", known.join(", "))));
    }
    Ok(())
}
