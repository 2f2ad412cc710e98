//! The installed schemas and endpoints, compiled, as one snapshot.
//!
//! A request works on one snapshot from its validation to its commit; the commit finds out, under
//! the log's head, whether the snapshot is still the current one. Secrets are not in it.

mod endpoint;
mod maintenance;
mod routes;

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;
use task_inbox_domain::schema::{Schema, TaskType};
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::row::Row;
use super::sql::Sql;

pub use endpoint::{Endpoint, EndpointStatus, Origin, Treatment};
pub(super) use endpoint::{KEY_END, SHOWN_STATUS, from_row as endpoint};
use maintenance::Maintained;
pub(super) use maintenance::from_row as maintenance;
pub use maintenance::{Held, Maintenance};
pub use routes::Heard;
use routes::Routes;

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

/// Everything installed, at one moment.
#[derive(Debug, Default)]
pub struct Registry {
    /// Grows with each change of a schema, an endpoint, a secret or of what is in maintenance.
    pub number: i64,
    versions: HashMap<String, Vec<Arc<InstalledVersion>>>,
    beginnings: HashMap<String, i64>,
    types: HashMap<Uuid, InstalledType>,
    latest_types: HashMap<(String, String), Uuid>,
    endpoints: HashMap<Uuid, Arc<Endpoint>>,
    routes: Routes,
    maintained: Maintained,
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

    /// Whether an event with this number is one of the schema that bears the name now: not of one that is
    /// removed, nor of one that bore it before.
    pub fn is_of(&self, schema: &str, seq: i64) -> bool {
        self.beginnings.get(schema).is_some_and(|begins_after| seq > *begins_after)
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
            "SELECT v.id, v.position, v.source, v.installed_at, s.begins_after FROM schema_versions v
             JOIN schemas s ON s.name = v.schema_name WHERE s.removed_at IS NULL ORDER BY v.position",
        );
        for row in versions.all(db).await? {
            let version = installed_version(&row, &compiled)?;
            by_id.insert(version.id, version.clone());
            registry.beginnings.insert(version.schema.name.clone(), row.get("begins_after")?);
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
        let endpoints = Sql::new(engine, "SELECT e.*, ").push(KEY_END).push(" AS key_end FROM endpoints e");
        let mut endpoints: Vec<_> = endpoints.all(db).await?.iter().map(endpoint).collect::<Result<_>>()?;
        routes::share_keys(&mut endpoints);
        for endpoint in endpoints {
            let endpoint = Arc::new(endpoint);
            registry.key_end = registry.key_end.into_iter().chain(endpoint.key_end).min();
            registry.routes.add(&endpoint);
            registry.endpoints.insert(endpoint.id, endpoint);
        }
        registry.maintained = Maintained::load(engine, db).await?;
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
