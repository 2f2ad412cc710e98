//! The installed schemas and endpoints, compiled, as one snapshot.
//!
//! A request works on one snapshot from its validation to its commit; the commit finds out, under
//! the log's head, whether the snapshot is still the current one. Secrets are not in it.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::schema::{Hook, HookAuth, HookBody, Schema, TaskType};
use task_inbox_domain::{EventType, Timestamp};
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::row::Row;
use super::sql::Sql;

/// One installed version of a schema.
#[derive(Debug)]
pub struct InstalledVersion {
    /// Its row's id.
    pub id: Uuid,
    /// Counts the schema's versions from 1.
    pub position: i32,
    /// The parsed file.
    pub schema: Schema,
    /// The file, as installed.
    pub source: String,
    /// When it was installed.
    pub installed_at: Timestamp,
}

/// A task type of one version.
#[derive(Clone, Debug)]
pub struct InstalledType {
    /// `ttype_id`.
    pub id: Uuid,
    /// The version that declares it.
    pub version: Arc<InstalledVersion>,
    index: usize,
}

impl InstalledType {
    /// What the version says about the type.
    pub fn ttype(&self) -> &TaskType {
        &self.version.schema.task_types[self.index]
    }
}

/// Where an endpoint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A schema's `default_hook_url`.
    Schema,
    /// A type's `hook_url`.
    Type,
}

impl Origin {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Type => "type",
        }
    }
}

/// Whether an endpoint takes deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointStatus {
    /// Deliveries go out. A 410 moves it to [`EndpointStatus::Disabled`].
    Active,
    /// It answered 410: deliveries wait. A new URL or a new key makes it active again.
    Disabled,
    /// The latest version no longer names it: no new deliveries, what is live still goes out.
    Removed,
}

impl EndpointStatus {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }

    /// Reads the stored name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Removed].into_iter().find(|s| s.as_str() == text)
    }
}

/// Somewhere that webhooks go.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// The schema it belongs to.
    pub schema: String,
    /// The type it belongs to, if it is a type's own.
    pub ttype: Option<String>,
    /// Where, and how a webhook proves where it comes from.
    pub hook: Hook,
    /// What of an event is sent.
    pub body: HookBody,
    /// Whether it takes deliveries.
    pub status: EndpointStatus,
    /// Why it has that status.
    pub status_reason: Option<String>,
    /// Whether it has a secret of its kind that has not ended.
    pub has_key: bool,
    /// When the last of those secrets ends, if all of them do.
    pub key_end: Option<Timestamp>,
}

impl Endpoint {
    /// Whether deliveries may go out now; what is not sendable waits.
    pub fn is_sendable(&self) -> bool {
        self.has_key && self.status != EndpointStatus::Disabled
    }

    /// Why deliveries wait, if they do: `no_key`, `disabled`.
    pub fn held_reason(&self) -> Option<&'static str> {
        if self.status == EndpointStatus::Disabled {
            Some("disabled")
        } else if self.has_key {
            None
        } else {
            Some("no_key")
        }
    }
}

/// Everything installed, at one moment.
#[derive(Debug, Default)]
pub struct Registry {
    /// Grows with each change of a schema, an endpoint or a secret.
    pub number: i64,
    versions: HashMap<String, Vec<Arc<InstalledVersion>>>,
    types: HashMap<Uuid, InstalledType>,
    latest_types: HashMap<(String, String), Uuid>,
    endpoints: HashMap<Uuid, Arc<Endpoint>>,
    by_origin: HashMap<(String, Option<String>), Uuid>,
    key_end: Option<Timestamp>,
}

impl Registry {
    /// The names of all schemas, sorted.
    pub fn schema_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.versions.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// A schema's versions, oldest first; empty if there is no such schema.
    pub fn versions(&self, schema: &str) -> &[Arc<InstalledVersion>] {
        self.versions.get(schema).map_or(&[], Vec::as_slice)
    }

    /// A schema's latest version.
    pub fn latest(&self, schema: &str) -> Option<&Arc<InstalledVersion>> {
        self.versions(schema).last()
    }

    /// A type by `ttype_id`.
    pub fn type_by_id(&self, id: Uuid) -> Option<&InstalledType> {
        self.types.get(&id)
    }

    /// A type of a schema's latest version.
    pub fn latest_type(&self, schema: &str, ttype: &str) -> Option<&InstalledType> {
        self.types.get(self.latest_types.get(&(schema.to_owned(), ttype.to_owned()))?)
    }

    /// Every type of every version, in no particular order.
    pub fn types(&self) -> impl Iterator<Item = &InstalledType> {
        self.types.values()
    }

    /// An endpoint by id.
    pub fn endpoint(&self, id: Uuid) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&id)
    }

    /// All endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// When the first endpoint is left without a key, because its last one ends: from then on the
    /// snapshot is not true any more, though its number stands.
    pub fn key_end(&self) -> Option<Timestamp> {
        self.key_end
    }

    /// The endpoint of a schema (`None`) or of one of its types.
    pub fn endpoint_of(&self, schema: &str, ttype: Option<&str>) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(self.by_origin.get(&(schema.to_owned(), ttype.map(str::to_owned)))?)
    }

    /// The endpoint that an event of a schema, or of one of its types, goes to, if it wants it.
    ///
    /// The latest version says where and which; a type that it dropped is heard of as it said
    /// last.
    pub fn route(
        &self,
        schema: &str,
        ttype: Option<&InstalledType>,
        kind: EventType,
    ) -> Option<&Arc<Endpoint>> {
        let latest = &self.latest(schema)?.schema;
        let (name, declared) = match ttype {
            Some(t) => {
                let declared = latest.task_type(&t.ttype().name).unwrap_or_else(|| t.ttype());
                (Some(declared.name.as_str()), declared.hook_events.as_ref())
            }
            None => (None, None),
        };
        if !declared.unwrap_or(&latest.hook_events).contains(&kind) {
            return None;
        }
        name.and_then(|name| self.endpoint_of(schema, Some(name)))
            .filter(|e| e.status != EndpointStatus::Removed)
            .or_else(|| self.endpoint_of(schema, None).filter(|e| e.status != EndpointStatus::Removed))
    }

    /// Reads what is installed. `known` is an earlier snapshot: versions are immutable, so what it
    /// compiled is taken over.
    pub async fn load(db: &Db, known: Option<&Self>) -> Result<Self> {
        Self::load_on(db.engine(), db.write(), known).await
    }

    pub(super) async fn load_on(
        engine: Engine,
        db: &impl ConnectionTrait,
        known: Option<&Self>,
    ) -> Result<Self> {
        // The number is read first: whatever changes while the rest is read makes it stale, never
        // the other way round.
        let head = Sql::new(engine, "SELECT registry FROM log_head").one(db).await?;
        let number: i64 =
            head.ok_or_else(|| StoreError::Corrupt("log_head is empty".to_owned()))?.get("registry")?;
        let compiled: HashMap<Uuid, Arc<InstalledVersion>> = known
            .into_iter()
            .flat_map(|k| k.versions.values().flatten())
            .map(|v| (v.id, v.clone()))
            .collect();
        let mut registry = Self { number, ..Self::default() };
        let mut by_id = HashMap::new();
        let versions = Sql::new(
            engine,
            "SELECT v.id, v.position, v.source, v.installed_at FROM schema_versions v
             JOIN schemas s ON s.name = v.schema_name WHERE s.removed_at IS NULL ORDER BY v.position",
        );
        for row in versions.all(db).await? {
            let version = installed_version(&row, &compiled)?;
            by_id.insert(version.id, version.clone());
            registry.versions.entry(version.schema.name.clone()).or_default().push(version);
        }
        for row in Sql::new(engine, "SELECT id, schema_version_id, name FROM task_types").all(db).await? {
            let (id, version, name): (Uuid, Uuid, String) =
                (row.get("id")?, row.get("schema_version_id")?, row.get("name")?);
            let Some(version) = by_id.get(&version) else { continue };
            let index = version.schema.task_types.iter().position(|t| t.name == name).ok_or_else(|| {
                StoreError::Corrupt(format!("schema {} has no type {name}", version.schema.name))
            })?;
            let ttype = InstalledType { id, version: version.clone(), index };
            let schema = version.schema.name.clone();
            if registry.latest(&schema).is_some_and(|latest| latest.id == version.id) {
                registry.latest_types.insert((schema, name), id);
            }
            registry.types.insert(id, ttype);
        }
        let endpoints = Sql::new(engine, "SELECT e.*, ")
            .push(KEY_END)
            .push(" AS key_end FROM endpoints e WHERE e.origin IN ('schema', 'type')");
        for row in endpoints.all(db).await? {
            let endpoint = endpoint(&row)?;
            registry.key_end = registry.key_end.into_iter().chain(endpoint.key_end).min();
            registry.by_origin.insert((endpoint.schema.clone(), endpoint.ttype.clone()), endpoint.id);
            registry.endpoints.insert(endpoint.id, Arc::new(endpoint));
        }
        Ok(registry)
    }
}

fn installed_version(
    row: &QueryResult,
    compiled: &HashMap<Uuid, Arc<InstalledVersion>>,
) -> Result<Arc<InstalledVersion>> {
    let id: Uuid = row.get("id")?;
    if let Some(version) = compiled.get(&id) {
        return Ok(version.clone());
    }
    let source: String = row.get("source")?;
    let schema = task_inbox_domain::schema::parse::parse(&source).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        StoreError::Corrupt(format!("the stored schema version {id} can't be read: {first}"))
    })?;
    Ok(Arc::new(InstalledVersion {
        id,
        position: row.get("position")?,
        schema,
        source,
        installed_at: Timestamp::from_micros(row.get("installed_at")?),
    }))
}

/// When the last secret of an endpoint `e` ends that is of its kind: no row, none; the greatest
/// integer, never.
pub(super) const KEY_END: &str = "(SELECT max(coalesce(s.expires_at, 9223372036854775807)) FROM endpoint_secrets s
    WHERE s.endpoint_id = e.id AND s.auth_kind = e.auth_kind AND (s.expires_at IS NULL OR s.expires_at > {now}))";

/// An endpoint out of its row, with [`KEY_END`] as `key_end`.
pub(super) fn endpoint(row: &QueryResult) -> Result<Endpoint> {
    let kind: String = row.get("auth_kind")?;
    let auth = match (kind.as_str(), row.get::<Option<String>>("auth_header")?) {
        ("hmac", _) => HookAuth::Hmac,
        ("head", Some(header)) => HookAuth::Head { header },
        _ => return Err(StoreError::Corrupt(format!("endpoint auth_kind {kind:?}"))),
    };
    let body: String = row.get("body_shape")?;
    let status: String = row.get("status")?;
    let key_end: Option<i64> = row.get("key_end")?;
    Ok(Endpoint {
        id: row.get("id")?,
        schema: row.get::<Option<String>>("schema_name")?.unwrap_or_default(),
        ttype: row.get("ttype")?,
        hook: Hook { url: row.get("url")?, auth },
        body: if body == "output" { HookBody::Output } else { HookBody::Full },
        status: EndpointStatus::parse(&status)
            .ok_or_else(|| StoreError::Corrupt(format!("endpoint status {status:?}")))?,
        status_reason: row.get("status_reason")?,
        has_key: key_end.is_some(),
        key_end: key_end.filter(|end| *end != i64::MAX).map(Timestamp::from_micros),
    })
}
