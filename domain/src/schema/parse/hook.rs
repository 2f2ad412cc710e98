//! Where webhooks go: URLs, `hook_auth`, `hook_events`.

use super::findings::Findings;
use super::names::{nearest, quoted};
use super::read::{At, Fields};
use super::tree::Value;
use crate::EventType;
use crate::schema::{Hook, HookAuth};
use crate::webhook::signing::check_header_name;
use crate::webhook::url::{self, MAX_URL};

/// Every event that the format knows.
fn event_names() -> Vec<&'static str> {
    let known = |kind: &EventType| kind.is_of_a_task() || *kind == EventType::SchemaVersionCreated;
    EventType::ALL.into_iter().filter(known).map(EventType::as_str).collect()
}

/// What a schema says for all its types.
#[derive(Debug)]
pub(super) struct Default {
    url: Option<String>,
    auth: Option<HookAuth>,
    /// Whether a URL was given, be it a wrong one.
    has_url: bool,
}

impl Default {
    pub(super) fn read(fields: &Fields<'_>, findings: &mut Findings) -> Self {
        let given = fields.get("default_hook_url");
        Self {
            has_url: given.is_some(),
            url: given.and_then(|at| url(&at, findings)),
            auth: fields.get("hook_auth").and_then(|at| auth(&at, findings)),
        }
    }

    /// The schema's endpoint.
    pub(super) fn hook(&self) -> Option<Hook> {
        let url = self.url.clone()?;
        Some(Hook { url, auth: self.auth() })
    }

    /// How webhooks are authenticated where nothing else is said.
    pub(super) fn auth(&self) -> HookAuth {
        self.auth.clone().unwrap_or_default()
    }

    /// A type's own endpoint: what it doesn't say, the schema says.
    pub(super) fn of_type(&self, fields: &Fields<'_>, findings: &mut Findings) -> Option<Hook> {
        let given_url = fields.get("hook_url");
        let given_auth = fields.get("hook_auth");
        if let (Some(at), None, false) = (&given_auth, &given_url, self.has_url) {
            at.error(findings, "there is no URL to authenticate for: give a hook_url, or a default_hook_url");
        }
        let is_own = given_url.is_some() || given_auth.is_some();
        let url = match given_url {
            Some(at) => url(&at, findings),
            None => self.url.clone(),
        };
        let auth = match given_auth {
            Some(at) => auth(&at, findings),
            None => Some(self.auth()),
        };
        if is_own { Some(Hook { url: url?, auth: auth? }) } else { None }
    }
}

/// An absolute http or https URL. Whether its address may be reached is for the sender to say.
pub(super) fn url(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    let text = at.short_text(findings, "an http or https URL", MAX_URL)?;
    match url::check(text) {
        Ok(_) => Some(text.to_owned()),
        Err(message) => {
            at.error(findings, format!("{} {message}", quoted(text)));
            None
        }
    }
}

fn auth(at: &At<'_>, findings: &mut Findings) -> Option<HookAuth> {
    let fields = at.fields(findings, "hook_auth", &["kind", "val", "args"])?;
    if let Some(args) = fields.get("args") {
        // The original never read them, and neither do we.
        if !matches!(args.node.value, Value::Map(_) | Value::List(_)) {
            args.expected(findings, "a mapping or a list");
        }
    }
    let kind = match fields.get("kind") {
        Some(at) => at.one_of(findings, &["hmac", "head"])?,
        None => "hmac",
    };
    if kind == "head" {
        let what = "the name of the header that carries the key";
        let val = fields.required(findings, "val", what)?;
        let header = val.text(findings, what)?;
        return match check_header_name(header) {
            Ok(()) => Some(HookAuth::Head { header: header.to_owned() }),
            Err(message) => {
                val.error(findings, message);
                None
            }
        };
    }
    if let Some(val) = fields.get("val") {
        val.error(
            findings,
            "names the header of kind: head, and the kind is hmac; leave it out, or set kind: head",
        );
        return None;
    }
    Some(HookAuth::Hmac)
}

/// `hook_events`.
pub(super) fn events(fields: &Fields<'_>, findings: &mut Findings) -> Option<Vec<EventType>> {
    let at = fields.get("hook_events")?;
    let known = event_names();
    let items = at.list(findings, "a list of events, e.g. [task.state_changed]", known.len())?;
    let mut seen = Vec::new();
    let mut events = Vec::new();
    for item in &items {
        let Some(text) = item.text(findings, "the name of an event") else { continue };
        if !known.contains(&text) {
            let hint = match nearest(text, &known) {
                hint if hint.is_empty() => format!("; known are {}", known.join(", ")),
                hint => hint,
            };
            item.error(findings, format!("{} is not an event{hint}", quoted(text)));
        } else if seen.contains(&text) {
            item.error(findings, format!("{text} is listed twice"));
        } else {
            seen.push(text);
            events.extend(EventType::parse(text));
        }
    }
    Some(events)
}
