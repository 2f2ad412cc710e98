//! Which endpoints an event goes to.

use std::collections::HashMap;
use std::sync::Arc;

use task_inbox_domain::event::operational;
use task_inbox_domain::webhook::interest::{About, Concerns};
use task_inbox_domain::{Event, EventType, Task};
use url::Url;
use uuid::Uuid;

use super::endpoint::{Endpoint, Origin};
use super::{InstalledType, Registry};

/// An event, as far as its way depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The event's type.
    pub kind: EventType,
    /// Its schema; empty if it concerns none.
    pub schema: &'a str,
    /// The type of its task.
    pub ttype: Option<&'a InstalledType>,
    /// The state of its task after it.
    pub state: Option<&'a str>,
    /// Where its task wants to be called back.
    pub callback_url: Option<&'a str>,
    /// The endpoint that it is about, if it tells operators of one.
    pub endpoint: Option<Uuid>,
}

impl<'a> Heard<'a> {
    /// An event of a task.
    pub fn of_task(kind: EventType, task: &'a Task, ttype: &'a InstalledType) -> Self {
        Self {
            kind,
            schema: &task.schema,
            ttype: Some(ttype),
            state: task.state.as_deref(),
            callback_url: task.callback_url.as_deref(),
            endpoint: None,
        }
    }

    /// An event that concerns no task.
    pub fn of_no_task(event: &'a Event) -> Self {
        Self {
            kind: event.kind,
            schema: &event.schema,
            ttype: None,
            state: None,
            callback_url: None,
            endpoint: operational::endpoint_of(event),
        }
    }
}

/// Endpoints by what leads to them.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// A schema's own and its types' own.
    by_origin: HashMap<(String, Option<String>), Uuid>,
    /// Registered ones that name schemas, and those that get events of all of them.
    by_schema: HashMap<String, ByKind>,
    of_all: ByKind,
    /// Hosts of callbacks, by schema.
    callbacks: HashMap<String, HashMap<String, Uuid>>,
}

type ByKind = HashMap<EventType, Vec<Arc<Endpoint>>>;

impl Routes {
    pub(super) fn add(&mut self, endpoint: &Arc<Endpoint>) {
        let Endpoint { id, schema, ttype, .. } = &**endpoint;
        match endpoint.origin {
            Origin::Schema | Origin::Type => {
                self.by_origin.insert((schema.clone(), ttype.clone()), *id);
            }
            Origin::Callback => {
                self.callbacks.entry(schema.clone()).or_default().insert(endpoint.hook.url.clone(), *id);
            }
            Origin::Registered => {
                for kind in EventType::ALL.into_iter().filter(|kind| endpoint.interest.names(*kind)) {
                    match endpoint.schemas() {
                        Some(schemas) => {
                            for schema in schemas {
                                let kinds = self.by_schema.entry(schema.clone()).or_default();
                                kinds.entry(kind).or_default().push(endpoint.clone());
                            }
                        }
                        None => self.of_all.entry(kind).or_default().push(endpoint.clone()),
                    }
                }
            }
        }
    }

    pub(super) fn own(&self, schema: &str, ttype: Option<&str>) -> Option<Uuid> {
        self.by_origin.get(&(schema.to_owned(), ttype.map(str::to_owned))).copied()
    }

    /// Those that may want such an event: where it concerns several schemas, who wants it names each of them, and so
    /// the first.
    fn registered(&self, concerns: Concerns<'_>, kind: EventType) -> impl Iterator<Item = &Arc<Endpoint>> {
        let schema = match concerns {
            Concerns::Schema(schema) => Some(schema),
            Concerns::Schemas(schemas) => schemas.first().map(String::as_str),
            Concerns::All => None,
        };
        let named = schema.and_then(|schema| self.by_schema.get(schema)?.get(&kind));
        named.into_iter().chain(self.of_all.get(&kind)).flatten()
    }
}

impl Registry {
    /// The endpoints that an event goes to: its schema's or its type's own, the one of its task's
    /// callback, and every registered one that asks for it.
    pub fn routes(&self, heard: &Heard<'_>) -> Vec<&Arc<Endpoint>> {
        let mut found = Vec::new();
        let sends = self.sends(heard.schema, heard.ttype, heard.kind);
        if sends {
            found.extend(self.own_route(heard.schema, heard.ttype));
        }
        // Somebody waits there, and would for ever, if a task that ends without a decision were not told of.
        if sends || heard.kind.is_an_end() {
            found.extend(heard.callback_url.and_then(|url| self.callback_endpoint(heard.schema, url)));
        }
        let concerns = self.concerns(heard);
        let about = About {
            kind: heard.kind,
            concerns,
            ttype: heard.ttype.map(|t| t.ttype().name.as_str()),
            state: heard.state,
        };
        let registered = self.routes.registered(concerns, heard.kind);
        found.extend(registered.filter(|e| e.is_named() && e.interest.wants(&about)));
        found
    }

    /// What happens to an endpoint concerns the schemas whose events it gets; of one that is gone, who hears of all
    /// is told alone.
    fn concerns<'a>(&'a self, heard: &Heard<'a>) -> Concerns<'a> {
        if !heard.kind.is_operational() {
            return Concerns::Schema(heard.schema);
        }
        let endpoint = heard.endpoint.and_then(|id| self.endpoint(id));
        endpoint.and_then(|e| e.schemas()).map_or(Concerns::All, Concerns::Schemas)
    }

    /// The endpoint of its own that an event of a schema, or of one of its types, goes to, if the schema
    /// wants it sent.
    ///
    /// The latest version says where and which; a type that it dropped is heard of as it said
    /// last.
    pub fn route(
        &self,
        schema: &str,
        ttype: Option<&InstalledType>,
        kind: EventType,
    ) -> Option<&Arc<Endpoint>> {
        self.own_route(schema, ttype).filter(|_| self.sends(schema, ttype, kind))
    }

    /// Whether a schema wants such events sent to its own endpoints.
    pub fn sends(&self, schema: &str, ttype: Option<&InstalledType>, kind: EventType) -> bool {
        let Some(latest) = self.latest(schema) else { return false };
        let declared = ttype.and_then(|t| {
            let declared = latest.schema.task_type(&t.ttype().name).unwrap_or_else(|| t.ttype());
            declared.hook_events.as_ref()
        });
        declared.unwrap_or(&latest.schema.hook_events).contains(&kind)
    }

    fn own_route(&self, schema: &str, ttype: Option<&InstalledType>) -> Option<&Arc<Endpoint>> {
        let named = |e: &&Arc<Endpoint>| e.is_named();
        ttype
            .and_then(|t| self.endpoint_of(schema, Some(&t.ttype().name)))
            .filter(named)
            .or_else(|| self.endpoint_of(schema, None).filter(named))
    }

    /// The endpoint that callbacks to this URL go out by; none if the schema's latest version doesn't allow
    /// its host.
    pub fn callback_endpoint(&self, schema: &str, url: &str) -> Option<&Arc<Endpoint>> {
        let url = Url::parse(url).ok()?;
        let host = self.latest(schema)?.schema.callback.as_ref()?.host_for(url.host_str()?)?;
        self.endpoint(*self.routes.callbacks.get(schema)?.get(host)?)
    }

    /// The endpoint of a schema (`None`) or of one of its types.
    pub fn endpoint_of(&self, schema: &str, ttype: Option<&str>) -> Option<&Arc<Endpoint>> {
        self.endpoint(self.routes.own(schema, ttype)?)
    }

    /// The endpoint that bears the keys of a schema (`None`) or of one of its types: where a schema has
    /// only callbacks, the first of those.
    pub fn key_bearer(&self, schema: &str, ttype: Option<&str>) -> Option<&Arc<Endpoint>> {
        let of_callbacks = || {
            let any = self.routes.callbacks.get(schema)?.values().next()?;
            self.endpoint(self.endpoint(*any)?.keys_of)
        };
        let own = self.endpoint_of(schema, ttype);
        if ttype.is_some() || own.is_some_and(|e| e.is_named()) {
            return own;
        }
        of_callbacks().or(own)
    }

    /// The endpoint whose keys sign what is asked about tasks of a type: those of the type's own while it has
    /// one, and its schema's otherwise.
    pub fn signer(&self, schema: &str, ttype: &str) -> Option<&Arc<Endpoint>> {
        let own = self.key_bearer(schema, Some(ttype)).filter(|e| e.is_named());
        own.or_else(|| self.key_bearer(schema, None))
    }
}

/// Gives callbacks the keys of their schema's endpoint, or, where there is none of the same form, those
/// of the first callback.
pub(super) fn share_keys(endpoints: &mut [Endpoint]) {
    let bearer_of = |callback: &Endpoint| {
        let fits = |e: &&Endpoint| {
            e.schema == callback.schema
                && e.hook.auth.kind() == callback.hook.auth.kind()
                && matches!(e.origin, Origin::Schema | Origin::Callback)
        };
        let bearer = endpoints.iter().filter(fits).min_by_key(|e| (e.origin == Origin::Callback, e.id))?;
        Some((bearer.id, bearer.has_key, bearer.key_end))
    };
    let bearers: Vec<_> =
        endpoints.iter().map(|e| if e.origin == Origin::Callback { bearer_of(e) } else { None }).collect();
    for (endpoint, bearer) in endpoints.iter_mut().zip(bearers) {
        if let Some((id, has_key, key_end)) = bearer {
            endpoint.keys_of = id;
            endpoint.has_key = has_key;
            endpoint.key_end = key_end;
        }
    }
}
