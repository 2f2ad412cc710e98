//! Whether a schema may follow what is installed.
//!
//! Versions are immutable and only rise. A change that may break who relies on the version
//! before (a sender, a decider, a receiver) needs a greater major version, so that nobody
//! installs one by accident. What counts as breaking is decided carefully rather than cleverly:
//! what can't be shown to be harmless is breaking, and the caller may insist.

use std::fmt;

use super::relax::relaxes;
use super::validate::Validator;
use super::{
    HookAuth, HookBody, OnError, OnTimeout, Schema, SchemaVersion, TaskType, Timeout, UNSET, Unsupported,
};

/// One difference between two versions of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, e.g. `flag-content.input`.
    pub path: String,
    /// What changed, for people.
    pub what: String,
    /// Whether a sender, decider or receiver of the old version may fail with the new one.
    pub breaking: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.breaking { "breaking: " } else { "" };
        write!(f, "{mark}{}: {}", self.path, self.what)
    }
}

/// What differs between two versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Every change: the schema's own first, then type by type.
    pub changes: Vec<Change>,
    /// Whether any of them is breaking.
    pub breaking: bool,
}

/// Why a schema can't be installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallRefusal {
    /// This version is there already.
    #[error(
        "version {version} is installed already, and a version never changes; give the file a greater semver"
    )]
    AlreadyInstalled {
        /// The version, as the installed one is written.
        version: SchemaVersion,
    },
    /// The version does not follow the latest.
    #[error("version {new} is not greater than the latest, {latest}; give the file a greater semver")]
    NotGreater {
        /// The latest installed version.
        latest: SchemaVersion,
        /// The version of the file.
        new: SchemaVersion,
    },
    /// A breaking change in a version that claims to be compatible.
    #[error("{}", breaking_message(difference))]
    BreakingWithoutMajor {
        /// All that changed.
        difference: Difference,
    },
    /// Keys that this build does not act on.
    #[error("{}", unsupported_message(.0))]
    Unsupported(Vec<Unsupported>),
}

fn breaking_message(difference: &Difference) -> String {
    const SHOWN: usize = 3;
    let breaking: Vec<_> = difference.changes.iter().filter(|c| c.breaking).collect();
    let shown: Vec<_> = breaking.iter().take(SHOWN).map(|c| format!("{}: {}", c.path, c.what)).collect();
    let more = breaking.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!(
        "this breaks who relies on the latest version ({}{more}); raise the major version (before 1.0, the \
         minor one), or force it",
        shown.join("; ")
    )
}

fn unsupported_message(keys: &[Unsupported]) -> String {
    let keys: Vec<_> =
        keys.iter().map(|k| format!("{} (line {}, column {})", k.path, k.line, k.column)).collect();
    format!("this build does not act on {}; take it out, or install a build that does", keys.join(", "))
}

/// Decides whether `new` may be installed after what is there, and tells what changes.
///
/// `installed` holds every version of the schema, `latest` the greatest of them. `force` lets a
/// breaking change through and nothing else.
pub fn check_install(
    installed: &[SchemaVersion],
    latest: Option<&Schema>,
    new: &Schema,
    force: bool,
) -> Result<Difference, InstallRefusal> {
    if let Some(version) = installed.iter().find(|v| **v == new.version) {
        return Err(InstallRefusal::AlreadyInstalled { version: version.clone() });
    }
    if let Some(greatest) = installed.iter().chain(latest.map(|l| &l.version)).max()
        && *greatest >= new.version
    {
        return Err(InstallRefusal::NotGreater { latest: greatest.clone(), new: new.version.clone() });
    }
    if !new.unsupported.is_empty() {
        return Err(InstallRefusal::Unsupported(new.unsupported.clone()));
    }
    let Some(latest) = latest else { return Ok(Difference::default()) };
    let difference = compare(latest, new);
    let claims_compatible = latest.version.compatibility() == new.version.compatibility();
    if difference.breaking && claims_compatible && !force {
        return Err(InstallRefusal::BreakingWithoutMajor { difference });
    }
    Ok(difference)
}

/// Compares two versions of a schema.
pub fn compare(old: &Schema, new: &Schema) -> Difference {
    let mut found = Found(Vec::new());
    if old.description != new.description {
        found.harmless("description", "changed");
    }
    match (&old.hook, &new.hook) {
        (Some(old), Some(new)) => {
            if old.url != new.url {
                found.harmless("default_hook_url", format!("is now {}", new.url));
            }
            if old.auth != new.auth {
                found.breaking("hook_auth", auth_change(&old.auth, &new.auth));
            }
        }
        (None, Some(new)) => found.harmless("default_hook_url", format!("is now {}", new.url)),
        (Some(_), None) => found.breaking("default_hook_url", "is gone: its receiver hears nothing more"),
        (None, None) => {}
    }
    if old.hook_body != new.hook_body {
        let what = match new.hook_body {
            HookBody::Full => "is now full: receivers get another body",
            HookBody::Output => "is now output: receivers get another body",
        };
        found.breaking("hook_body", what);
    }
    found.events("hook_events", &old.hook_events, &new.hook_events);
    found.hosts(old, new);
    for task_type in &old.task_types {
        match new.task_type(&task_type.name) {
            Some(new) => found.task_type(task_type, new),
            None => found.breaking(&task_type.name, "the type is gone"),
        }
    }
    for task_type in new.task_types.iter().filter(|t| old.task_type(&t.name).is_none()) {
        found.harmless(&task_type.name, "the type is new");
    }
    Difference { breaking: found.0.iter().any(|c| c.breaking), changes: found.0 }
}

fn auth_change(old: &HookAuth, new: &HookAuth) -> String {
    let name = |auth: &HookAuth| match auth {
        HookAuth::Hmac => "hmac".to_owned(),
        HookAuth::Head { header } => format!("head {header}"),
    };
    format!("was {}, is now {}: receivers must change what they check", name(old), name(new))
}

struct Found(Vec<Change>);

impl Found {
    fn push(&mut self, path: &str, what: impl Into<String>, breaking: bool) {
        self.0.push(Change { path: path.to_owned(), what: what.into(), breaking });
    }

    fn breaking(&mut self, path: &str, what: impl Into<String>) {
        self.push(path, what, true);
    }

    fn harmless(&mut self, path: &str, what: impl Into<String>) {
        self.push(path, what, false);
    }

    fn hosts(&mut self, old: &Schema, new: &Schema) {
        let hosts = |schema: &Schema| schema.callback.as_ref().map_or_else(Vec::new, |c| c.hosts.clone());
        let (old, new) = (hosts(old), hosts(new));
        for host in old.iter().filter(|host| !new.contains(host)) {
            self.breaking(
                "callback_hosts",
                format!("{host} is gone: tasks can't be answered there any more"),
            );
        }
        for host in new.iter().filter(|host| !old.contains(host)) {
            self.harmless("callback_hosts", format!("{host} is allowed, too"));
        }
    }

    fn events(&mut self, path: &str, old: &[crate::EventType], new: &[crate::EventType]) {
        for event in old.iter().filter(|e| !new.contains(e)) {
            self.breaking(path, format!("{event} is no longer sent"));
        }
        for event in new.iter().filter(|e| !old.contains(e)) {
            self.harmless(path, format!("{event} is sent, too"));
        }
    }

    fn task_type(&mut self, old: &TaskType, new: &TaskType) {
        let name = &old.name;
        let path = |key: &str| format!("{name}.{key}");
        if old.title != new.title || old.description != new.description {
            self.harmless(name, "title or description changed");
        }
        self.states(old, new);
        if old.initial_state != new.initial_state {
            let state = new.initial_state.as_deref().unwrap_or(UNSET);
            self.harmless(&path("initial_state"), format!("is now {state}"));
        }
        self.transitions(old, new);
        for state in new.reason_required.iter().filter(|s| !old.reason_required.contains(s)) {
            // Nobody relied on deciding for a state that was not there.
            let breaking = old.has_state(Some(state));
            self.push(&path("reason_required"), format!("{state} needs a reason now"), breaking);
        }
        for state in old.reason_required.iter().filter(|s| !new.reason_required.contains(s)) {
            self.harmless(&path("reason_required"), format!("{state} needs no reason any more"));
        }
        self.json_schema(&path("input"), old.input.as_ref(), new.input.as_ref());
        for state in old.resolved_states.iter().filter(|s| new.is_resolved(Some(s))) {
            let path = path(&format!("output.{state}"));
            self.json_schema(&path, old.output.get(state), new.output.get(state));
        }
        if old.hook != new.hook {
            let breaking = match (&old.hook, &new.hook) {
                (Some(old), Some(new)) => old.auth != new.auth,
                // The schema's endpoint heard of this type until now, or will again.
                _ => true,
            };
            self.push(
                &path("hook_url"),
                "webhooks of this type go elsewhere or prove themselves otherwise",
                breaking,
            );
        }
        if let (Some(old), Some(new)) = (&old.hook_events, &new.hook_events) {
            self.events(&path("hook_events"), old, new);
        } else if old.hook_events != new.hook_events {
            self.harmless(&path("hook_events"), "changed");
        }
        self.guard(old, new);
        self.waiting(old, new);
    }

    /// What concerns a task while it waits.
    fn waiting(&mut self, old: &TaskType, new: &TaskType) {
        let path = |key: &str| format!("{}.{key}", old.name);
        if old.timeout != new.timeout {
            let what = match &new.timeout {
                None => "tasks wait for ever now".to_owned(),
                Some(timeout @ Timeout { then: OnTimeout::Expire, .. }) => {
                    format!("tasks expire after {} now", timeout.span())
                }
                Some(timeout @ Timeout { then: OnTimeout::Move(to), .. }) => {
                    let to = to.as_deref().unwrap_or(UNSET);
                    format!("tasks that nobody decides go to {to} after {} now", timeout.span())
                }
            };
            // Somebody relied on what silence means.
            let then = |timeout: &Option<Timeout>| timeout.as_ref().map(|timeout| timeout.then.clone());
            let breaking = old.timeout.is_some() && then(&old.timeout) != then(&new.timeout);
            self.push(&path("timeouts"), what, breaking);
        }
        for pointer in new.binds.iter().filter(|pointer| !old.binds.contains(pointer)) {
            // Who decides must say what they saw from the first one on; a further one asks nothing more of them.
            let breaking = old.binds.is_empty();
            self.push(&path("binds"), format!("decisions are bound to {pointer}, too"), breaking);
        }
        for pointer in old.binds.iter().filter(|pointer| !new.binds.contains(pointer)) {
            self.breaking(&path("binds"), format!("decisions are not bound to {pointer} any more"));
        }
        if old.merge_key != new.merge_key {
            let what = match new.merge_key.join(", ") {
                none if none.is_empty() => "tasks don't replace each other any more".to_owned(),
                pointers => format!("tasks with the same {pointers} replace each other now"),
            };
            self.breaking(&path("merge_key"), what);
        }
    }

    /// Who decides must now be ready for a refusal that the state machine does not have; everything else
    /// is between the schema and its application server.
    fn guard(&mut self, old: &TaskType, new: &TaskType) {
        let path = format!("{}.guard", old.name);
        let names = |states: Vec<Option<&str>>| -> String {
            let names: Vec<_> = states.into_iter().map(|s| s.unwrap_or(UNSET)).collect();
            names.join(", ")
        };
        let differ = |a: &TaskType, b: &TaskType| -> Vec<Option<&str>> {
            let both = old.states().filter(|to| new.has_state(*to));
            both.filter(|to| a.guard_of(*to).is_some() && b.guard_of(*to).is_none()).collect()
        };
        let (gone, added) = (differ(old, new), differ(new, old));
        if !added.is_empty() {
            self.breaking(&path, format!("{} may be refused by the application server now", names(added)));
        }
        if !gone.is_empty() {
            self.breaking(
                &path,
                format!("the application server is not asked any more about {}", names(gone)),
            );
        }
        let (Some(old), Some(new)) = (&old.guard, &new.guard) else { return };
        if old.url != new.url {
            self.harmless(&path, format!("is asked at {} now", new.url));
        }
        if old.timeout != new.timeout {
            self.harmless(&path, format!("waits {} s now", new.timeout.as_secs()));
        }
        if old.on_error != new.on_error {
            let what = format!("on_error is {} now", new.on_error.as_str());
            self.push(&path, what, new.on_error == OnError::Allow);
        }
    }

    fn states(&mut self, old: &TaskType, new: &TaskType) {
        for state in old.states().flatten() {
            let (was, is) = (old.is_resolved(Some(state)), new.is_resolved(Some(state)));
            if !new.has_state(Some(state)) {
                self.breaking(&old.name, format!("the state {state} is gone"));
            } else if was && !is {
                self.breaking(&old.name, format!("the state {state} was resolved and is pending now"));
            } else if !was && is {
                self.breaking(&old.name, format!("the state {state} was pending and is resolved now"));
            }
        }
        for state in new.states().flatten().filter(|s| !old.has_state(Some(s))) {
            self.harmless(&old.name, format!("the state {state} is new"));
        }
    }

    /// Compares what is allowed rather than what is declared: a declaration that says the same
    /// as the default rule changes nothing.
    fn transitions(&mut self, old: &TaskType, new: &TaskType) {
        let path = format!("{}.transitions", old.name);
        for from in old.states().filter(|s| new.has_state(*s)) {
            let differ = |a: &TaskType, b: &TaskType| -> Vec<String> {
                old.states()
                    .filter(|to| new.has_state(*to) && a.allows(from, *to) && !b.allows(from, *to))
                    .map(|to| to.unwrap_or(UNSET).to_owned())
                    .collect()
            };
            let from_name = from.unwrap_or(UNSET);
            let (gone, added) = (differ(old, new), differ(new, old));
            if !gone.is_empty() {
                self.breaking(&path, format!("{from_name} no longer leads to {}", gone.join(", ")));
            }
            if !added.is_empty() {
                self.harmless(&path, format!("{from_name} now leads to {}", added.join(", ")));
            }
        }
    }

    fn json_schema(&mut self, path: &str, old: Option<&Validator>, new: Option<&Validator>) {
        match (old, new) {
            (None, None) => {}
            (Some(_), None) => self.harmless(path, "is not checked any more"),
            (None, Some(new)) if relaxes(&serde_json::Value::Bool(true), new.schema()) => {
                self.harmless(path, "is described");
            }
            (None, Some(_)) => self.breaking(path, "is checked now, and was not before"),
            (Some(old), Some(new)) if old.schema() == new.schema() => {}
            (Some(old), Some(new)) if relaxes(old.schema(), new.schema()) => {
                self.harmless(path, "accepts all that it did, and perhaps more");
            }
            (Some(_), Some(_)) => self.breaking(path, "may refuse what it accepted before"),
        }
    }
}

#[cfg(test)]
mod tests;
