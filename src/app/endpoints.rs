//! Endpoints: where webhooks go, and whether they get there.

use std::collections::HashMap;

use task_inbox_domain::EventType;
use uuid::Uuid;

use super::error::Result;
use super::{App, AppError, Permission, Principal};
use crate::store::endpoints::{self as stored, EndpointFilter, EndpointRow};
use crate::store::registry::{Endpoint, EndpointStatus, Registry};
use crate::store::secrets;

/// Why deliveries wait: the endpoint answered 410.
const DISABLED: &str = "disabled";
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
    /// Why deliveries wait, if they do: `no_key`, `disabled`, `no_master_key`.
    pub held: Option<&'static str>,
}

/// The endpoints that the caller sees, by schema and type.
pub async fn list(app: &App, who: &Principal, filter: EndpointFilter) -> Result<Vec<EndpointView>> {
    who.may(Permission::EndpointsRead)?;
    let filter = EndpointFilter { schemas: who.schemas.clone(), ..filter };
    let rows = stored::list(&app.db, &filter).await?;
    let registry = app.registry.current();
    let opened = Opened::of(app).await?;
    let view = |row: EndpointRow| EndpointView {
        event_types: event_types(&registry, &row.endpoint),
        held: opened.held(&row.endpoint),
        row,
    };
    Ok(rows.into_iter().map(view).collect())
}

/// One endpoint.
pub async fn get(app: &App, who: &Principal, id: Uuid) -> Result<EndpointView> {
    let found = list(app, who, EndpointFilter { id: Some(id), ..EndpointFilter::default() }).await?;
    found.into_iter().next().ok_or_else(|| AppError::NotFound(format!("there is no endpoint {id}")))
}

/// What the latest version sends there, of its own events and of those of its types.
fn event_types(registry: &Registry, endpoint: &Endpoint) -> Vec<EventType> {
    let Some(latest) = registry.latest(&endpoint.schema) else { return Vec::new() };
    let types = latest.schema.task_types.iter();
    let types: Vec<_> = types
        .filter_map(|t| registry.latest_type(&endpoint.schema, &t.name))
        .map(Some)
        .chain([None])
        .collect();
    let goes_there = |kind: &EventType| {
        types
            .iter()
            .filter(|ttype| ttype.is_some() == kind.is_of_a_task())
            .any(|ttype| registry.route(&endpoint.schema, *ttype, *kind).is_some_and(|e| e.id == endpoint.id))
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
        if endpoint.status == EndpointStatus::Disabled {
            return Some(DISABLED);
        }
        match self.0.get(&(endpoint.id, endpoint.hook.auth.kind().to_owned())) {
            None => Some(NO_KEY),
            Some(false) => Some(NO_MASTER_KEY),
            Some(true) => None,
        }
    }
}
