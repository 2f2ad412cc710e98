//! Lists, written from what the use cases return.

pub(super) mod deliveries;
pub(super) mod endpoints;
pub(super) mod keys;
pub(super) mod log;
pub(super) mod maintenance;
pub(super) mod replays;

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use task_inbox_domain::cursor::{LogCursor, TaskCursor};
use task_inbox_domain::event::guard::Passed;
use task_inbox_domain::schema::TaskType;
use task_inbox_domain::schema::validate::Validator;
use task_inbox_domain::{Actor, Timestamp};
use uuid::Uuid;

use crate::app::schemas::{InstallReport, RemovalReport, SchemaView};
use crate::app::tasks::TaskList;
use crate::app::timeouts;
use crate::http::answer::{self, Json};
use crate::http::problem::Problem;
use crate::store::log::{Logged, Page};
use crate::store::registry::InstalledType;

/// A page of tasks with the types that they are of.
pub(super) fn task_list(list: &TaskList) -> Result<Response, Problem> {
    let mut text = Json::new("{\"tasks\":[");
    text.list(&list.tasks, |text, view| text.view(view).map(drop))?;
    text.raw("],\"types\":{");
    text.list(&list.types, |text, ttype| {
        text.value(&ttype.id)?.raw(":").value(&TypeDto::of_installed(ttype)).map(drop)
    })?;
    text.raw("},\"next_cursor\":").value(&list.next.map(TaskCursor::encode))?;
    text.raw("}");
    Ok(text.answer(StatusCode::OK))
}

/// A page of the log; each item is the event's envelope, the same bytes as its webhook.
pub(super) fn event_list(page: &Page) -> Response {
    let mut text = Json::new("{\"events\":[");
    for (i, logged) in page.events.iter().enumerate() {
        text.raw(if i == 0 { "" } else { "," }).raw(&logged.event.envelope(logged.seq));
    }
    let cursor = LogCursor(page.seen).encode();
    text.raw("],\"next_cursor\":\"").raw(&cursor).raw("\"}");
    text.answer(StatusCode::OK)
}

/// A line of a task's history.
pub(super) fn history_line(logged: &Logged) -> Result<String, Problem> {
    let unreadable = |e: serde_json::Error| {
        Problem::internal(format!("the body of event {} can't be read: {e}", logged.seq))
    };
    let body: Body<'_> = serde_json::from_str(&logged.event.body).map_err(unreadable)?;
    serde_json::to_string(&Line::new(logged, body)).map_err(unreadable)
}

/// A task's history.
pub(super) fn history(lines: Vec<Result<String, Problem>>) -> Result<Response, Problem> {
    let mut text = Json::new("{\"history\":[");
    text.list(lines, |text, line| {
        text.raw(&line?);
        Ok(())
    })?;
    text.raw("]}");
    Ok(text.answer(StatusCode::OK))
}

/// A task type, for whoever shows a task of it.
#[derive(Serialize)]
struct TypeDto<'a> {
    schema_name: &'a str,
    semver: &'a str,
    name: &'a str,
    title: Option<&'a str>,
    description: Option<&'a str>,
    pending_states: &'a [String],
    resolved_states: &'a [String],
    initial_state: Option<&'a str>,
    reason_required: &'a [String],
    timeouts: Option<timeouts::Declared<'a>>,
    binds: &'a [String],
    merge_key: &'a [String],
    input: Option<&'a Value>,
    output: BTreeMap<&'a str, &'a Value>,
}

impl<'a> TypeDto<'a> {
    /// A type in a list that is keyed by its id.
    fn of_installed(installed: &'a InstalledType) -> Self {
        let schema = &installed.version.schema;
        Self::of(installed.ttype(), &schema.name, schema.version.as_written())
    }

    /// A type of a schema version.
    fn of(ttype: &'a TaskType, schema_name: &'a str, semver: &'a str) -> Self {
        Self {
            schema_name,
            semver,
            name: &ttype.name,
            title: ttype.title.as_deref(),
            description: ttype.description.as_deref(),
            pending_states: &ttype.pending_states,
            resolved_states: &ttype.resolved_states,
            initial_state: ttype.initial_state.as_deref(),
            reason_required: &ttype.reason_required,
            timeouts: ttype.timeout.as_ref().map(timeouts::Declared::of),
            binds: &ttype.binds,
            merge_key: &ttype.merge_key,
            input: ttype.input.as_ref().map(Validator::schema),
            output: ttype.output.iter().map(|(state, v)| (state.as_str(), v.schema())).collect(),
        }
    }
}

/// What history takes out of an event's body. Everything is absent once a body was erased.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    task: Option<BodyTask<'a>>,
    actor: Option<Actor>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    update_meta: Option<&'a RawValue>,
    guard: Option<Passed>,
}

#[derive(Deserialize)]
struct BodyTask<'a> {
    #[serde(borrow)]
    state: Option<&'a RawValue>,
    resolved: bool,
    user_id: Option<Uuid>,
}

/// One line of history, with the original's names.
#[derive(Serialize)]
struct Line<'a> {
    id: Uuid,
    created: Timestamp,
    task_id: Option<Uuid>,
    state: Option<&'a RawValue>,
    resolved: Option<bool>,
    editor_id: Option<Uuid>,
    assigned_id: Option<Uuid>,
    update_meta: Option<&'a RawValue>,
    actor: Option<Actor>,
    reason: Option<&'a RawValue>,
    output: Option<&'a RawValue>,
    /// Only of a guarded transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<Passed>,
    seq: i64,
}

impl<'a> Line<'a> {
    fn new(logged: &Logged, body: Body<'a>) -> Self {
        Self {
            id: logged.event.id,
            created: logged.event.created,
            task_id: logged.event.task_id,
            state: body.task.as_ref().and_then(|t| t.state),
            resolved: body.task.as_ref().map(|t| t.resolved),
            editor_id: body.actor.as_ref().and_then(|a| a.id),
            assigned_id: body.task.as_ref().and_then(|t| t.user_id),
            update_meta: body.update_meta,
            actor: body.actor,
            reason: body.reason,
            output: body.output,
            guard: body.guard,
            seq: logged.seq,
        }
    }
}

#[derive(Serialize)]
struct Installation<'a> {
    name: &'a str,
    semver: &'a str,
    version: i32,
    breaking: bool,
    changes: &'a [String],
    warnings: &'a [String],
}

/// What installing did, or would do.
pub(super) fn installation(report: &InstallReport, dry_run: bool) -> Result<Response, Problem> {
    let InstallReport { name, semver, version, breaking, changes, warnings } = report;
    let body = Installation { name, semver, version: *version, breaking: *breaking, changes, warnings };
    if dry_run {
        return answer::json(StatusCode::OK, &body);
    }
    let mut response = answer::json(StatusCode::CREATED, &body)?;
    answer::set(&mut response, header::LOCATION, &format!("/api/v1/schemas/{name}"));
    Ok(response)
}

#[derive(Serialize)]
struct Removal<'a> {
    name: &'a str,
    versions: i64,
    tasks: i64,
    deleted: bool,
}

/// What removing did, or would do.
pub(super) fn removal(report: &RemovalReport) -> Result<Response, Problem> {
    let RemovalReport { name, versions, tasks, deleted } = report;
    answer::json(StatusCode::OK, &Removal { name, versions: *versions, tasks: *tasks, deleted: *deleted })
}

#[derive(Serialize)]
struct SchemaDto<'a> {
    name: &'a str,
    semver: &'a str,
    version: i32,
    installed: Timestamp,
    description: Option<&'a str>,
    types: Vec<TypeDto<'a>>,
    endpoints: Vec<EndpointDto<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

#[derive(Serialize)]
struct EndpointDto<'a> {
    id: Uuid,
    ttype: Option<&'a str>,
    url: &'a str,
    status: &'a str,
    /// Why deliveries wait, if they do.
    held: Option<&'a str>,
}

fn schema_dto(view: &SchemaView, with_source: bool) -> SchemaDto<'_> {
    let schema = &view.latest.schema;
    let semver = schema.version.as_written();
    SchemaDto {
        name: &schema.name,
        semver,
        version: view.latest.position,
        installed: view.latest.installed_at,
        description: schema.description.as_deref(),
        types: schema.task_types.iter().map(|t| TypeDto::of(t, &schema.name, semver)).collect(),
        endpoints: view
            .endpoints
            .iter()
            .map(|e| EndpointDto {
                id: e.id,
                ttype: e.ttype.as_deref(),
                url: &e.hook.url,
                status: e.status.as_str(),
                held: e.held_reason(),
            })
            .collect(),
        source: with_source.then_some(view.latest.source.as_str()),
    }
}

/// The schemas that a caller sees.
pub(super) fn schema_list(views: &[SchemaView]) -> Result<Response, Problem> {
    let schemas: Vec<_> = views.iter().map(|view| schema_dto(view, false)).collect();
    answer::json(StatusCode::OK, &serde_json::json!({ "schemas": schemas }))
}

/// One schema, with its file.
pub(super) fn schema(view: &SchemaView) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &schema_dto(view, true))
}
