//! Reads a schema file.
//!
//! `tree` turns the text into nodes that know their place; `read` takes nodes apart; the
//! other modules each know a part of the format: `task_type`, `hook`, `states`, and
//! `further` those keys that the format has and this build does not act on. Nothing stops at
//! the first error: what can be read is read, and `findings` keeps what can't.
//!
//! Whether a schema may follow what is installed is for [`super::registry`] to say.

mod findings;
mod further;
mod hook;
mod json;
mod names;
mod read;
mod states;
mod task_type;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_arbitrary;
mod tree;
mod waiting;

pub use findings::ParseError;
pub use names::{RULE as NAME_RULE, is_name, nearest};

use findings::{Findings, Place};
use read::At;

use super::{Callback, HookBody, Schema, SchemaVersion, TaskType};

/// Most task types of a schema.
const MAX_TYPES: usize = 200;

/// Longest `title`, in characters.
const MAX_TITLE: usize = 200;

/// Longest `description`, in characters.
const MAX_DESCRIPTION: usize = 10_000;

/// Keys of the file itself.
const KEYS: [&str; 12] = [
    "name",
    "semver",
    "description",
    "default_hook_url",
    "hook_auth",
    "hook_events",
    "hook_body",
    "tasktypes",
    "callback_hosts",
    "retention",
    "calendar",
    "migrate",
];

/// Parses a schema file.
///
/// # Errors
///
/// Lists everything that is wrong with it, in file order, each with line and column and what was
/// expected; after 100 errors, how many more there are.
pub fn parse(text: &str) -> Result<Schema, Vec<ParseError>> {
    let mut findings = Findings::default();
    let root = tree::read(text, &mut findings);
    if root.as_ref().is_none_or(tree::Node::is_null) && !findings.has_errors() {
        let message = "the file is empty; expected a mapping with name, semver and tasktypes";
        findings.error(Place::START, "", message);
    }
    let schema = root
        .filter(|root| !root.is_null())
        .and_then(|node| schema(&At { path: String::new(), node: &node }, &mut findings));
    let unsupported = findings.finish()?;
    let schema = schema.expect("what can't be read leaves an error behind");
    Ok(Schema { unsupported, ..schema })
}

/// `None` leaves at least one error behind.
fn schema(at: &At<'_>, findings: &mut Findings) -> Option<Schema> {
    let fields = at.fields(findings, "a schema", &KEYS)?;
    let name = fields
        .required(findings, "name", "the schema's name, e.g. ti:sample")
        .and_then(|at| names::name(&at, findings, "the schema's name").map(str::to_owned));
    let version = fields
        .required(findings, "semver", "a version such as 1, 1.2 or 1.2.3")
        .and_then(|at| version(&at, findings));
    let description =
        fields.get("description").and_then(|at| at.short_text(findings, "a description", MAX_DESCRIPTION));
    let default = hook::Default::read(&fields, findings);
    let hook_events = hook::events(&fields, findings);
    let hook_body = fields.get("hook_body").and_then(|at| at.one_of(findings, &["full", "output"]));
    let callback_hosts = further::of_schema(&fields, findings);
    let task_types = fields
        .required(findings, "tasktypes", "a list of task types")
        .and_then(|at| task_types(&at, &default, findings));
    Some(Schema {
        name: name?,
        version: version?,
        description: description.map(str::to_owned),
        hook: default.hook(),
        callback: callback_hosts.map(|hosts| Callback { hosts, auth: default.auth() }),
        hook_events: hook_events.unwrap_or_else(|| vec![crate::EventType::TaskStateChanged]),
        hook_body: if hook_body == Some("output") { HookBody::Output } else { HookBody::Full },
        task_types: task_types?,
        unsupported: Vec::new(),
    })
}

fn version(at: &At<'_>, findings: &mut Findings) -> Option<SchemaVersion> {
    let text = at.text(findings, "a version such as 1, 1.2 or 1.2.3")?;
    SchemaVersion::parse(text).map_err(|message| at.error(findings, message)).ok()
}

fn task_types(at: &At<'_>, default: &hook::Default, findings: &mut Findings) -> Option<Vec<TaskType>> {
    let items = at.list(findings, "a list of task types", MAX_TYPES)?;
    if items.is_empty() {
        at.error(findings, "is empty; a schema has at least one task type");
    }
    let mut types: Vec<Option<TaskType>> = Vec::with_capacity(items.len());
    let mut named: Vec<(&str, usize)> = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let (name, task_type) = task_type::read(item, default, findings);
        if let Some(name) = name {
            match named.iter().find(|(taken, _)| *taken == name.0) {
                Some((taken, first)) => {
                    let message = format!("{taken} is the name of tasktypes[{first}] already");
                    findings.error(name.1, &format!("{}.name", item.path), message);
                }
                None => named.push((name.0, i)),
            }
        }
        types.push(task_type);
    }
    types.into_iter().collect()
}
