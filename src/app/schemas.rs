//! Installing and removing schemas.

use std::sync::Arc;

use task_inbox_domain::schema::registry::{InstallRefusal, check_install};
use task_inbox_domain::schema::validate::Problem;
use task_inbox_domain::schema::{Schema, parse};
use url::Url;

use super::error::Result;
use super::patience::patiently;
use super::{App, AppError, Permission, Principal, bearers, content, maintenance};
use crate::bus::Topic;
use crate::store::StoreError;
use crate::store::registry::{Endpoint, InstalledVersion, Origin, Registry};
use crate::store::schemas::{self as stored, InstallError};
use crate::store::secrets;

/// How often an install is compared again because another one came between.
const ATTEMPTS: usize = 5;

/// What installing a file did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallReport {
    /// The schema's name.
    pub name: String,
    /// The version, as written.
    pub semver: String,
    /// Counts the schema's versions from 1.
    pub version: i32,
    /// Whether old senders or receivers may fail with it.
    pub breaking: bool,
    /// What differs from the version before.
    pub changes: Vec<String>,
    /// What works otherwise than its author may think.
    pub warnings: Vec<String>,
}

/// What removing a schema did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalReport {
    /// The schema's name.
    pub name: String,
    /// How many versions there were.
    pub versions: i64,
    /// How many tasks.
    pub tasks: i64,
    /// Whether it is gone.
    pub deleted: bool,
}

/// An installed schema.
#[derive(Clone, Debug)]
pub struct SchemaView {
    /// Its latest version.
    pub latest: Arc<InstalledVersion>,
    /// Where its events go.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// Installs a version from a schema file; with `dry_run`, says what would come of it.
///
/// `force` lets a breaking change through in a version that claims to be compatible.
pub async fn install(
    app: &App,
    who: &Principal,
    source: &str,
    force: bool,
    dry_run: bool,
) -> Result<InstallReport> {
    who.may(Permission::SchemasWrite)?;
    let schema = parse::parse(source).map_err(|errors| {
        let problems = errors
            .iter()
            .map(|e| Problem::new(&*e.path, format!("line {}, column {}: {}", e.line, e.column, e.message)))
            .collect();
        AppError::problems("the file is not a task schema", problems)
    })?;
    if !who.sees(&schema.name) {
        return Err(AppError::Forbidden(format!("this key does not see the schema {}", schema.name)));
    }
    for _ in 0..ATTEMPTS {
        let registry = app.registry.refresh(&app.db).await?;
        let mut report = compare(&registry, &schema, force)?;
        let keys = bearers::warnings(&registry, &schema, &secrets::all(&app.db).await?);
        if dry_run {
            report
                .warnings
                .extend(keys.into_iter().map(|warning| format!("once it is installed: {warning}")));
            report.warnings.extend(address_warnings(app, &schema));
            return Ok(report);
        }
        maintenance::administered(&registry, who, Some(&schema.name))?;
        let now = App::now();
        match stored::install(&app.db, &registry, &schema, source, &who.actor, now).await {
            Err(InstallError::Store(StoreError::Contended(_)) | InstallError::Raced) => {}
            Err(error @ InstallError::BeingRemoved) => return Err(AppError::conflict(error.to_string())),
            Err(InstallError::Store(error)) => return Err(error.into()),
            Ok(_) => {
                report.warnings.extend(keys);
                report.warnings.extend(address_warnings(app, &schema));
                app.registry.refresh(&app.db).await?;
                app.bus.publish(Topic::Registry);
                app.bus.publish(Topic::Log);
                return Ok(report);
            }
        }
    }
    Err(AppError::registry_keeps_moving())
}

/// Removes a schema with its versions and tasks; with `dry_run`, says what would go.
pub async fn remove(app: &App, who: &Principal, name: &str, dry_run: bool) -> Result<RemovalReport> {
    who.may(Permission::SchemasWrite)?;
    let not_found = |registry: &Registry| AppError::NotFound(content::no_such_schema(registry, who, name));
    if !who.sees(name) {
        return Err(not_found(&app.registry.current()));
    }
    let removal = if dry_run {
        stored::count(&app.db, name).await?
    } else {
        maintenance::administered(&*app.registry.refresh(&app.db).await?, who, Some(name))?;
        let now = App::now();
        patiently(|| stored::remove(&app.db, name, &who.actor, now)).await?
    };
    let registry = app.registry.refresh(&app.db).await?;
    let removal = removal.ok_or_else(|| not_found(&registry))?;
    if !dry_run {
        for topic in Topic::ALL {
            app.bus.publish(topic);
        }
    }
    Ok(RemovalReport {
        name: name.to_owned(),
        versions: removal.versions,
        tasks: removal.tasks,
        deleted: removal.deleted,
    })
}

/// The schemas that the caller sees, by name.
pub fn list(app: &App, who: &Principal) -> Result<Vec<SchemaView>> {
    who.may(Permission::SchemasRead)?;
    let registry = app.registry.current();
    let names = registry.schema_names();
    let visible = names.into_iter().filter(|name| who.sees(name));
    Ok(visible.filter_map(|name| view(&registry, name)).collect())
}

/// One schema.
pub fn get(app: &App, who: &Principal, name: &str) -> Result<SchemaView> {
    who.may(Permission::SchemasRead)?;
    let registry = app.registry.current();
    Some(name)
        .filter(|name| who.sees(name))
        .and_then(|name| view(&registry, name))
        .ok_or_else(|| AppError::NotFound(content::no_such_schema(&registry, who, name)))
}

fn view(registry: &Registry, name: &str) -> Option<SchemaView> {
    let latest = registry.latest(name)?.clone();
    let mut endpoints: Vec<_> = registry
        .endpoints()
        .filter(|e| e.schema == name && e.origin != Origin::Registered && e.is_named())
        .cloned()
        .collect();
    endpoints.sort_by(|a, b| a.ttype.cmp(&b.ttype));
    Some(SchemaView { latest, endpoints })
}

fn compare(registry: &Registry, schema: &Schema, force: bool) -> Result<InstallReport> {
    let versions = registry.versions(&schema.name);
    let installed: Vec<_> = versions.iter().map(|v| v.schema.version.clone()).collect();
    let latest = registry.latest(&schema.name);
    let difference = check_install(&installed, latest.map(|v| &v.schema), schema, force)
        .map_err(|r| refused(schema, r))?;
    Ok(InstallReport {
        name: schema.name.clone(),
        semver: schema.version.as_written().to_owned(),
        version: latest.map_or(0, |v| v.position) + 1,
        breaking: difference.breaking,
        changes: difference.changes.iter().map(ToString::to_string).collect(),
        warnings: Vec::new(),
    })
}

fn refused(schema: &Schema, refusal: InstallRefusal) -> AppError {
    let name = &schema.name;
    match refusal {
        InstallRefusal::AlreadyInstalled { .. } | InstallRefusal::NotGreater { .. } => {
            AppError::conflict(format!("{name}: {refusal}"))
        }
        InstallRefusal::BreakingWithoutMajor { difference } => AppError::Invalid {
            detail: format!(
                "{name} {} changes what senders or receivers rely on; raise the major version (before 1.0, the \
                 minor one), or force it",
                schema.version
            ),
            problems: difference
                .changes
                .into_iter()
                .filter(|c| c.breaking)
                .map(|c| Problem::new(c.path, c.what))
                .collect(),
        },
        InstallRefusal::Unsupported(keys) => AppError::Invalid {
            detail: format!(
                "{name} uses keys that this version of task-inbox does not act on; a file that relies on them is \
                 refused rather than obeyed in part"
            ),
            problems: keys
                .into_iter()
                .map(|k| {
                    Problem::new(k.path, format!("line {}, column {}: not supported yet", k.line, k.column))
                })
                .collect(),
        },
    }
}

/// Installing only warns of addresses that sending and asking will refuse: they may be opened later.
fn address_warnings(app: &App, schema: &Schema) -> Vec<String> {
    let hooks = schema.hook.iter().chain(schema.task_types.iter().filter_map(|t| t.hook.as_ref()));
    let hooks = hooks.map(|hook| ("webhooks to", &hook.url));
    let guards = schema.task_types.iter().filter_map(|t| t.guard.as_ref());
    let guards = guards.map(|guard| ("asking the guard at", &guard.url));
    let refused = hooks.chain(guards).filter_map(|(what, url)| {
        let reason = content::refused_address(&app.policy, &Url::parse(url).ok()?)?;
        Some(format!("{what} {url} {}", content::will_be_refused(&reason)))
    });
    refused.collect()
}
