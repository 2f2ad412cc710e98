//! Bodies, queries and headers, read into what the use cases take.

pub(super) mod deliveries;
pub(super) mod endpoints;
pub(super) mod keys;
pub(super) mod log;
pub(super) mod maintenance;
pub(super) mod replays;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use task_inbox_domain::cursor::{LogCursor, TaskCursor};
use task_inbox_domain::transition::Decision;
use task_inbox_domain::webhook::url::MAX_URL;
use task_inbox_domain::{Document, EventType, Phase};
use uuid::Uuid;

use crate::app::PostTask;
use crate::app::events::After;
use crate::app::sender::Said;
use crate::app::{duration, waiting};
use crate::http::call::{Call, MAX_BODY};
use crate::http::fields::Fields;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::store::log::EventFilter;
use crate::store::task_list::TaskFilter;

/// Names of schemas, types and states have at most so many characters.
const MAX_NAME: usize = 64;
/// Texts whose limit the use case knows.
const ANY: usize = MAX_BODY;

/// The body of a post.
pub(super) fn post_task(body: &[u8]) -> Result<PostTask, Problem> {
    let mut fields = Fields::parse(body)?;
    let post = PostTask {
        schema_name: fields.required("schema_name", MAX_NAME),
        task: fields.required("task", MAX_NAME),
        state: fields.text("state", MAX_NAME).filter(|state| !state.is_empty()),
        meta: fields.object("meta"),
        external_id: fields.name("external_id", ANY),
        callback_url: fields.name("callback_url", MAX_URL),
        merge_key: fields.name("merge_key", ANY),
    };
    fields.not_yet(&["priority", "due_at", "assignee"]);
    fields.finish()?;
    Ok(post)
}

/// A decision: `?state=`, where empty means unset, or a body, or both if they agree. Also whom
/// the caller says it decides for.
pub(super) fn decision(call: &Call) -> Result<(Decision, Option<String>), Problem> {
    let query = Parameters::parse(call.uri.query(), &["state"])?;
    let in_query = query.raw("state").map(|state| Some(state.to_owned()).filter(|s| !s.is_empty()));
    let expected_version = if_match(&call.headers)?;
    if call.body.is_empty() {
        let state = in_query.ok_or_else(|| {
            Problem::malformed("say which state: ?state={name}, ?state= for unset, or a JSON body with state")
        })?;
        return Ok((Decision { state, output: None, reason: None, expected_version }, None));
    }
    let mut fields = Fields::parse(&call.body)?;
    let in_body = fields.nullable("state", MAX_NAME).map(|state| state.filter(|s| !s.is_empty()));
    let decision = Decision {
        state: in_body.clone().or_else(|| in_query.clone()).flatten(),
        output: fields.value("output"),
        reason: fields.text("reason", ANY),
        expected_version,
    };
    let on_behalf_of = fields.name("on_behalf_of", ANY);
    match (&in_body, &in_query) {
        (None, None) => fields.refuse("state", "is required; null is unset"),
        (Some(body), Some(query)) if body != query => {
            fields.refuse("state", "is another state than the query names");
        }
        _ => {}
    }
    fields.finish()?;
    Ok((decision, on_behalf_of))
}

/// Why a task is withdrawn, if a body says so.
pub(super) fn cancellation(call: &Call) -> Result<Said, Problem> {
    no_parameters(&call.uri)?;
    let expected_version = if_match(&call.headers)?;
    if call.body.is_empty() {
        return Ok(Said { expected_version, ..Said::default() });
    }
    let mut fields = Fields::parse(&call.body)?;
    let said = said(&mut fields, expected_version);
    fields.finish()?;
    Ok(said)
}

/// What is merged into what a task says.
pub(super) fn amendment(call: &Call) -> Result<(Document, Said), Problem> {
    no_parameters(&call.uri)?;
    let expected_version = if_match(&call.headers)?;
    let mut fields = Fields::parse(&call.body)?;
    let patch = fields.object("meta");
    if patch.is_none() {
        fields.missing("meta");
    }
    let said = said(&mut fields, expected_version);
    fields.not_yet(&["priority", "due_at", "assignee"]);
    fields.finish()?;
    let patch = patch.ok_or_else(|| Problem::malformed("meta is required"))?;
    Ok((patch, said))
}

fn said(fields: &mut Fields<'_>, expected_version: Option<i64>) -> Said {
    Said {
        reason: fields.text("reason", ANY),
        on_behalf_of: fields.name("on_behalf_of", ANY),
        expected_version,
    }
}

/// The version that the caller saw: `"3"` or `W/"3"`; `*` is any.
///
/// A weak tag counts like a strong one (against RFC 9110, section 13.1.1): proxies that compress
/// weaken ours, and what is compared is a version, not bytes.
pub(in crate::http) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let version = text.strip_prefix("W/").unwrap_or(text);
    let digits = version.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or_default();
    match (values.next(), digits.bytes().all(|b| b.is_ascii_digit()), digits.parse()) {
        (None, true, Ok(version)) => Ok(Some(version)),
        (None, ..) if text == "*" => Ok(None),
        _ => Err(Problem::malformed("If-Match must be the ETag of one version, such as \"3\", or *")),
    }
}

/// Which tasks, after which, how many.
pub(super) fn task_list(uri: &Uri) -> Result<(TaskFilter, Option<TaskCursor>, u64), Problem> {
    let query = Parameters::parse(
        uri.query(),
        &["resolved", "schema", "ttype", "state", "phase", "assignee", "external_id", "limit", "cursor"],
    )?;
    let resolved = query.read("resolved", "un or all", |text| match text {
        "un" => Some(true),
        "all" => Some(false),
        _ => None,
    })?;
    let filter = TaskFilter {
        unresolved: resolved.unwrap_or_default(),
        schemas: None,
        schema: query.text("schema")?.map(str::to_owned),
        ttype: query.text("ttype")?.map(str::to_owned),
        state: query.raw("state").map(|state| Some(state.to_owned()).filter(|s| !s.is_empty())),
        phase: query.read("phase", "open, resolved, cancelled, expired or superseded", Phase::parse)?,
        assignee: query.read("assignee", "a UUID", uuid)?,
        external_id: query.text("external_id")?.map(str::to_owned),
    };
    Ok((filter, position(&query, "cursor", TaskCursor::parse)?, query.limit()?))
}

/// Which events, after which, how many.
pub(super) fn event_list(uri: &Uri, headers: &HeaderMap) -> Result<(EventFilter, After, u64), Problem> {
    let query = Parameters::parse(uri.query(), &["after", "schema", "ttype", "task", "type", "limit"])?;
    let kinds = EventType::ALL.map(EventType::as_str).join(", ");
    let filter = EventFilter {
        schema: query.text("schema")?.map(str::to_owned),
        ttype: query.text("ttype")?.map(str::to_owned),
        task: query.read("task", "a task's id", uuid)?,
        kind: query.read("type", &format!("one of {kinds}"), EventType::parse)?,
        ..EventFilter::default()
    };
    // A browser that comes back asks for the same, and says what it had last.
    if let Some(last) =
        headers.get("last-event-id").map(HeaderValue::as_bytes).filter(|last| !last.is_empty())
    {
        let text = std::str::from_utf8(last).unwrap_or_default();
        let cursor = LogCursor::parse(text).map_err(|e| Problem::malformed(format!("Last-Event-ID {e}")))?;
        return Ok((filter, After::Cursor(cursor), query.limit()?));
    }
    let after = match query.raw("after") {
        // No cursor is this short.
        Some("latest") => After::Latest,
        _ => After::Cursor(position(&query, "after", LogCursor::parse)?.unwrap_or(LogCursor(0))),
    };
    Ok((filter, after, query.limit()?))
}

/// What to do with a schema file.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstallOptions {
    /// Only say what would come of it.
    pub(super) dry_run: bool,
    /// Install a breaking change in spite of its version.
    pub(super) force: bool,
}

/// `dry_run` and `force`.
pub(super) fn install_options(uri: &Uri) -> Result<InstallOptions, Problem> {
    let query = Parameters::parse(uri.query(), &["dry_run", "force"])?;
    Ok(InstallOptions { dry_run: query.flag("dry_run")?, force: query.flag("force")? })
}

/// `dry_run` alone.
pub(super) fn dry_run(uri: &Uri) -> Result<bool, Problem> {
    Parameters::parse(uri.query(), &["dry_run"])?.flag("dry_run")
}

/// How long to wait, if that is said.
pub(super) fn wait(uri: &Uri, name: &str) -> Result<Option<Duration>, Problem> {
    let query = Parameters::parse(uri.query(), &[name])?;
    let longest = duration::write(waiting::LONGEST);
    query.read(name, &format!("a span of time such as 30s or 500ms, at most {longest}"), |text| {
        // As the description says: nobody waits for minutes, nor writes them with a blank.
        let is_short = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        };
        let is_written_so = match text.strip_suffix("ms") {
            Some(digits) => is_short(digits, 4),
            None => text.strip_suffix('s').is_some_and(|digits| is_short(digits, 2)),
        };
        duration::parse(text).ok().filter(|wait| is_written_so && *wait <= waiting::LONGEST)
    })
}

/// Refuses a query where none is known.
pub(in crate::http) fn no_parameters(uri: &Uri) -> Result<(), Problem> {
    Parameters::parse(uri.query(), &[]).map(drop)
}

/// Refuses fields where none is known; a body is not needed.
pub(super) fn no_fields(body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() { Ok(()) } else { Fields::parse(body)?.finish() }
}

/// A task's id, from the path. What is no UUID is no task.
pub(super) fn task_id(text: &str) -> Result<Uuid, Problem> {
    id(text, "task")
}

/// The id of something else, from the path.
pub(super) fn id(text: &str, what: &str) -> Result<Uuid, Problem> {
    uuid(text).ok_or_else(|| Problem::not_found(format!("there is no such {what}: its id is not a UUID")))
}

fn uuid(text: &str) -> Option<Uuid> {
    // One task has one address: not the other forms that the crate reads too.
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// A cursor; empty is the beginning, as if it were absent.
fn position<T, E: std::fmt::Display>(
    query: &Parameters<'_>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Problem> {
    let given = query.raw(name).filter(|text| !text.is_empty());
    given
        .map(|text| parse(text).map_err(|e| Problem::malformed(format!("the parameter {name} {e}"))))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn reads_if_match() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, HeaderValue::from_static(value));
            }
            if_match(&headers).map_err(|problem| problem.status())
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(None));
        assert_eq!(read(&["\"3\""]), Ok(Some(3)));
        assert_eq!(read(&["W/\"3\""]), Ok(Some(3)));
        for bad in ["3", "\"\"", "\"x\"", "\"-3\"", "\"+3\"", "\"3\", \"4\"", "", "\"99999999999999999999\""]
        {
            assert_eq!(read(&[bad]), Err(400), "{bad}");
        }
        assert_eq!(read(&["\"3\"", "\"3\""]), Err(400));
    }
}
