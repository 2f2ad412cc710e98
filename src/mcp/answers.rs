//! What a tool gives back: a document by the tool's schema, and the same for whoever reads text alone.

use std::fmt::Write;

use rmcp::model::{CallToolResult, ContentBlock, MetaObject};
use serde_json::{Value, json};
use task_inbox_domain::schema::validate::Validator;
use task_inbox_domain::{Actor, Document, Phase};

use crate::app::timeouts::Declared;
use crate::app::{AppError, TaskView};
use crate::store::registry::InstalledType;

/// In `_meta` of an answer: the server stops, and the call is worth repeating at once, elsewhere or in a moment. For
/// whoever stands between an agent and the server.
const STOPPING: &str = "task-inbox/stopping";

/// What is told of a task besides what stands in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// Why it was decided, or withdrawn.
    pub(super) reason: Option<String>,
    /// Whether it was made now; none: nobody asks.
    pub(super) is_new: Option<bool>,
    /// Whether the server stops, so that the wait ended early.
    pub(super) is_stopping: bool,
    /// What comes before the rest.
    pub(super) note: Option<&'static str>,
    /// Whether the caller may read tasks, and so wait.
    pub(super) may_wait: bool,
}

/// A task, as an outcome.
pub(super) fn outcome(view: &TaskView, beside: &Beside) -> CallToolResult {
    let task = &view.task;
    let status = match task.phase {
        Phase::Open => "pending",
        Phase::Resolved => "decided",
        Phase::Cancelled => "cancelled",
        Phase::Expired => "expired",
        Phase::Superseded => "superseded",
    };
    let is_pending = task.phase == Phase::Open;
    let next = is_pending.then(|| next(beside));
    let decided_by = task.decided_by.as_ref().filter(|_| !is_pending);
    let mut document = json!({
        "task_id": task.id,
        "status": status,
        "schema": task.schema,
        "type": task.ttype,
        "state": task.state,
        "output": task.output.as_ref().map(Document::to_value),
        "reason": beside.reason,
        "decided_by": decided_by,
        "decided_at": task.decided_at.filter(|_| !is_pending),
        "meta": task.meta.as_ref().map(Document::to_value),
        "external_id": task.external_id,
        "created": task.created,
        "version": task.version,
        "next": next,
    });
    for (name, value) in [
        ("expires_at", task.expires_at.map(|at| json!(at))),
        ("superseded_by", task.superseded_by.map(|by| json!(by))),
        ("binding", view.binding().map(|binding| json!(binding))),
    ] {
        if let Some(value) = value {
            document[name] = value;
        }
    }
    if let Some(is_new) = beside.is_new {
        document["is_new"] = is_new.into();
    }
    let mut text = beside.note.map(|note| format!("{note} ")).unwrap_or_default();
    let state = task.state.as_deref().unwrap_or("unset");
    let _ = match task.phase {
        Phase::Open => write!(text, "Task {} is not decided yet (state: {state}).", task.id),
        Phase::Resolved => write!(text, "Task {} is decided: {state}.", task.id),
        Phase::Cancelled => write!(text, "Task {} was withdrawn; nobody will decide it.", task.id),
        Phase::Expired => write!(text, "Nobody decided task {} in time (state: {state}).", task.id),
        Phase::Superseded => {
            let by = task.superseded_by.unwrap_or_default();
            write!(text, "A newer task, {by}, took the place of task {}.", task.id)
        }
    };
    if let Some(output) = &task.output {
        let _ = write!(text, "\nOutput: {}", output.as_str());
    }
    if let Some(reason) = &beside.reason {
        let _ = write!(text, "\nReason: {reason}");
    }
    if let Some(name) = decided_by.and_then(named) {
        let _ = write!(text, "\nBy: {name}");
    }
    if let Some(next) = next {
        let _ = write!(text, "\n{next}");
    }
    let mut result = structured(text, document);
    if beside.is_stopping && is_pending {
        let mut meta = MetaObject::new();
        meta.insert(STOPPING.to_owned(), true.into());
        result.meta = Some(meta);
    }
    result
}

fn next(beside: &Beside) -> &'static str {
    match beside {
        Beside { may_wait: false, .. } => {
            "Keep the task_id; this key may not read decisions, so the answer goes elsewhere."
        }
        Beside { is_stopping: true, .. } => {
            "The server is being restarted, and the task is kept: call wait_for_decision with this task_id again."
        }
        _ => "Call wait_for_decision with this task_id; the task is kept, however long it takes.",
    }
}

fn named(actor: &Actor) -> Option<String> {
    let name = actor.name.clone()?;
    Some(match &actor.on_behalf_of {
        Some(other) => format!("{name}, on behalf of {other}"),
        None => name,
    })
}

/// The types of decisions.
pub(super) fn types(types: &[InstalledType]) -> CallToolResult {
    let mut text = String::new();
    let mut documents = Vec::new();
    for installed in types {
        let (schema, ttype) = (&installed.version.schema, installed.ttype());
        let _ = write!(text, "{} / {}", schema.name, ttype.name);
        for said in [&ttype.title, &ttype.description].into_iter().flatten() {
            let _ = write!(text, " - {}", said.trim());
        }
        let _ = writeln!(text, " (outcomes: {})", ttype.resolved_states.join(", "));
        let output: serde_json::Map<String, Value> =
            ttype.output.iter().map(|(state, output)| (state.clone(), output.schema().clone())).collect();
        documents.push(json!({
            "schema": schema.name,
            "semver": schema.version.as_written(),
            "type": ttype.name,
            "title": ttype.title,
            "description": ttype.description,
            "input": ttype.input.as_ref().map(Validator::schema),
            "states": {
                "initial": ttype.initial_state,
                "pending": ttype.pending_states,
                "resolved": ttype.resolved_states,
            },
            "output": output,
            "reason_required": ttype.reason_required,
            "timeouts": ttype.timeout.as_ref().map(Declared::of),
            "binds": ttype.binds,
        }));
    }
    if documents.is_empty() {
        text.push_str(
            "This key sees no task type. Somebody must install a schema (`task-inbox taskschema FILE`) or give you \
             another key.",
        );
    }
    structured(text, json!({ "types": documents }))
}

/// In words and, for whoever knows no structured content, as text of the same.
fn structured(text: String, document: Value) -> CallToolResult {
    let content = vec![ContentBlock::text(text), ContentBlock::text(document.to_string())];
    let mut result = CallToolResult::structured(document);
    result.content = content;
    result
}

/// What the agent can put right, or must try again: never what a person decided.
pub(super) fn refused(error: &AppError) -> CallToolResult {
    let mut document = json!({});
    let text = match error {
        AppError::Invalid { detail, problems } => {
            document["errors"] = json!(problems);
            let mut text = format!("Not done: {detail}.");
            for problem in problems {
                let place = if problem.pointer.is_empty() { "the arguments" } else { &problem.pointer };
                let _ = write!(text, "\n- {place}: {}", problem.detail);
            }
            text.push_str(
                "\nPut these right and call again; list_task_types shows the JSON Schema that meta must match.",
            );
            text
        }
        AppError::Conflict { detail, current } => {
            let mut text = format!("Not done: {detail}.");
            if let Some(current) = current {
                document["current"] = json!(current.task);
                let _ = write!(
                    text,
                    " See it with get_task (task_id {}), or ask under another name.",
                    current.task.id
                );
            }
            text
        }
        AppError::NotFound(detail) => format!("Not done: {detail}. list_task_types tells what there is."),
        AppError::Maintenance { message, retry_after } => {
            document["retry_after_seconds"] = retry_after.as_secs().into();
            format!("Not done, because of maintenance: {message} Try again in {} s.", retry_after.as_secs())
        }
        AppError::Internal(cause) => {
            tracing::error!(cause, "a tool failed");
            "This is a fault of the inbox, whose log tells more. Trying again does no harm if external_id is given."
                .to_owned()
        }
        other => format!("Not done: {other}."),
    };
    document["error"] = text.clone().into();
    CallToolResult::error(vec![ContentBlock::text(text), ContentBlock::text(document.to_string())])
}
