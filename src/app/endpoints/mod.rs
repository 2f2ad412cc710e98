//! Endpoints: where webhooks go, whether they get there, and pausing them; `registered` makes and changes
//! those that no schema declares, `test` tries one.

mod registered;
mod test;

use std::collections::HashMap;
use std::sync::Arc;

use task_inbox_domain::webhook::breaker::Health;
use task_inbox_domain::{EventType, Timestamp};
use uuid::Uuid;

use super::error::Result;
use super::patience::patiently;
use super::{App, AppError, Permission, Principal};
use crate::bus::Topic;
use crate::store::endpoints::{self as stored, EndpointFilter, EndpointRow};
use crate::store::registry::{Endpoint, EndpointStatus, Origin, Registry};
use crate::store::secrets;

pub use registered::{EndpointChange, MAX_CONCURRENCY, Registered, TIMEOUTS, create, remove, update};
pub use test::{Tested, test};

/// The longest message of a pause, in characters.
const MAX_MESSAGE: usize = 1_000;

/// Why deliveries wait: the endpoint's breaker is open.
const FAILING: &str = "failing";
/// Why deliveries wait: there is no key to sign with.
const NO_KEY: &str = "no_key";
/// Why deliveries wait: this process lacks the master key that the endpoint's key is encrypted under.
const NO_MASTER_KEY: &str = "no_master_key";

/// An endpoint with what it gets, and why it gets nothing if so.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// What is kept of it.
    pub row: EndpointRow,
    /// The events that it gets.
    pub event_types: Vec<EventType>,
    /// Why deliveries wait, if they do: `paused`, `disabled`, `failing`, `no_key`,
    /// `no_master_key`.
    pub held: Option<&'static str>,
    /// What is odd about what was said of it, to be told once.
    pub warnings: Vec<String>,
}

impl EndpointView {
    /// One that has just been registered.
    fn made(endpoint: &Endpoint, now: Timestamp) -> Self {
        let row = EndpointRow {
            endpoint: endpoint.clone(),
            waiting: 0,
            health: Health::default(),
            created: now,
            updated: now,
        };
        let event_types = event_types(&Registry::default(), endpoint);
        Self { event_types, held: None, warnings: Vec::new(), row }
    }
}

/// Whether the caller may know of an endpoint: whoever sees all that goes there.
pub(super) fn sees(who: &Principal, endpoint: &Endpoint) -> bool {
    who.sees_whatever(endpoint.schemas())
}

/// The endpoints whose deliveries and jobs the caller sees; `None`: all, also those of endpoints that are gone. Who
/// might have seen one that is gone can't be told any more.
pub(super) fn seen(app: &App, who: &Principal) -> Option<Vec<Uuid>> {
    let registry = app.registry.current();
    let ids = || registry.endpoints().filter(|e| sees(who, e)).map(|e| e.id).collect();
    (!who.sees_all()).then(ids)
}

/// The endpoints that the caller sees: those of schemas by schema and type, then the registered ones by age.
pub async fn list(app: &App, who: &Principal, filter: EndpointFilter) -> Result<Vec<EndpointView>> {
    who.may(Permission::EndpointsRead)?;
    views(app, who, filter).await
}

async fn views(app: &App, who: &Principal, filter: EndpointFilter) -> Result<Vec<EndpointView>> {
    let rows = stored::list(&app.db, &filter, |endpoint| sees(who, endpoint)).await?;
    let registry = app.registry.current();
    let opened = Opened::of(app).await?;
    let view = |mut row: EndpointRow| {
        // That a callback uses its schema's keys is known where all endpoints are.
        if let Some(known) = registry.endpoint(row.endpoint.id) {
            let Endpoint { keys_of, has_key, key_end, .. } = **known;
            row.endpoint = Endpoint { keys_of, has_key, key_end, ..row.endpoint };
        }
        EndpointView {
            event_types: event_types(&registry, &row.endpoint),
            held: opened.held(&row.endpoint).or_else(|| row.health.open_until.map(|_| FAILING)),
            warnings: Vec::new(),
            row,
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// An endpoint that the caller sees, with the registry that has it.
async fn of_id(app: &App, who: &Principal, id: Uuid) -> Result<(Arc<Registry>, Endpoint)> {
    let registry = app.registry.refresh(&app.db).await?;
    let is_there = |e: &&Arc<Endpoint>| e.status != EndpointStatus::Removed && sees(who, e);
    match registry.endpoint(id).filter(is_there) {
        Some(endpoint) => Ok((registry.clone(), (**endpoint).clone())),
        None => Err(no_such(id)),
    }
}

/// Pauses an endpoint, of whatever origin: its deliveries wait, none is lost, and their order is kept.
pub async fn pause(app: &App, who: &Principal, id: Uuid, message: Option<&str>) -> Result<EndpointView> {
    who.may(Permission::EndpointsWrite)?;
    if message.is_some_and(|text| text.chars().count() > MAX_MESSAGE) {
        return Err(AppError::invalid(
            "/message",
            format!("message is longer than {MAX_MESSAGE} characters"),
        ));
    }
    let (registry, endpoint) = of_id(app, who, id).await?;
    let now = App::now();
    if !patiently(|| stored::pause(&app.db, &registry, &endpoint, message, &who.actor, now)).await? {
        return Err(AppError::conflict(format!("the endpoint {id} is paused already, or was removed")));
    }
    changed(app, who, id).await
}

/// Lets an endpoint that was paused or disabled, or that failed, take deliveries again: what waited goes out at
/// once, as fast as its rate allows.
pub async fn resume(app: &App, who: &Principal, id: Uuid) -> Result<EndpointView> {
    who.may(Permission::EndpointsWrite)?;
    let (registry, endpoint) = of_id(app, who, id).await?;
    let now = App::now();
    if !patiently(|| stored::resume(&app.db, &registry, &endpoint, &who.actor, now)).await? {
        return Err(AppError::conflict(format!(
            "the endpoint {id} is neither paused nor disabled, and does not fail"
        )));
    }
    changed(app, who, id).await
}

async fn changed(app: &App, who: &Principal, id: Uuid) -> Result<EndpointView> {
    announce(app).await?;
    app.bus.publish(Topic::Log);
    view(app, who, id).await
}

/// Lets this process know at once, and tells the others.
async fn announce(app: &App) -> Result<()> {
    app.registry.refresh(&app.db).await?;
    app.bus.publish(Topic::Registry);
    app.bus.publish(Topic::Due);
    Ok(())
}

/// One endpoint.
pub async fn get(app: &App, who: &Principal, id: Uuid) -> Result<EndpointView> {
    who.may(Permission::EndpointsRead)?;
    view(app, who, id).await
}

async fn view(app: &App, who: &Principal, id: Uuid) -> Result<EndpointView> {
    let found = views(app, who, EndpointFilter { id: Some(id), ..EndpointFilter::default() }).await?;
    found.into_iter().next().ok_or_else(|| no_such(id))
}

fn no_such(id: Uuid) -> AppError {
    AppError::NotFound(format!("there is no endpoint {id}"))
}

/// What the latest version sends there, of its own events and of those of its types.
fn event_types(registry: &Registry, endpoint: &Endpoint) -> Vec<EventType> {
    if endpoint.origin == Origin::Registered {
        return EventType::ALL.into_iter().filter(|kind| endpoint.interest.names(*kind)).collect();
    }
    let Some(latest) = registry.latest(&endpoint.schema) else { return Vec::new() };
    let types = latest.schema.task_types.iter();
    let types: Vec<_> = types
        .filter_map(|t| registry.latest_type(&endpoint.schema, &t.name))
        .map(Some)
        .chain([None])
        .collect();
    let is_callback = endpoint.origin == Origin::Callback;
    let goes_there = |kind: &EventType| {
        types
            .iter()
            .filter(|ttype| ttype.is_some() == kind.is_of_a_task() && (ttype.is_some() || !is_callback))
            .any(|ttype| {
                registry.sends(&endpoint.schema, *ttype, *kind)
                    && (is_callback
                        || registry
                            .route(&endpoint.schema, *ttype, *kind)
                            .is_some_and(|e| e.id == endpoint.id))
            })
    };
    EventType::ALL.into_iter().filter(goes_there).collect()
}

/// Which endpoints' keys there are, and whether this process can read them.
pub(super) struct Opened(HashMap<(Uuid, String), bool>);

impl Opened {
    pub(super) async fn of(app: &App) -> Result<Self> {
        let mut opened = HashMap::new();
        for secret in secrets::all(&app.db).await? {
            let known = app.vault.knows(&secret.master_key_id);
            *opened.entry((secret.endpoint_id, secret.auth_kind)).or_insert(true) &= known;
        }
        Ok(Self(opened))
    }

    /// Why an endpoint's deliveries wait, if they do.
    pub(super) fn held(&self, endpoint: &Endpoint) -> Option<&'static str> {
        if endpoint.status != EndpointStatus::Active {
            return Some(endpoint.status.as_str());
        }
        match self.0.get(&(endpoint.keys_of, endpoint.hook.auth.kind().to_owned())) {
            None => Some(NO_KEY),
            Some(false) => Some(NO_MASTER_KEY),
            Some(true) if endpoint.treatment.headers.is_empty() => None,
            // What its own headers say is kept as a key is.
            Some(true) => {
                let headers = self.0.get(&(endpoint.id, secrets::HEADERS.to_owned()));
                (headers != Some(&true)).then_some(NO_MASTER_KEY)
            }
        }
    }
}
