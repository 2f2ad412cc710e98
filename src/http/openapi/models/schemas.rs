//! Installed schemas.

use utoipa::ToSchema;
use uuid::Uuid;

use super::TaskType;

/// What installing a schema file did, or would do.
#[derive(ToSchema)]
pub(in crate::http) struct Installation {
    /// The schema's name.
    name: String,
    /// The version, as its author wrote it.
    semver: String,
    /// Counts the schema's versions from 1.
    version: i32,
    /// Whether old senders or receivers may fail with it.
    breaking: bool,
    /// What differs from the version before.
    changes: Vec<String>,
    /// What works otherwise than its author may think.
    warnings: Vec<String>,
}

/// What removing a schema did, or would do.
#[derive(ToSchema)]
pub(in crate::http) struct Removal {
    /// The schema's name.
    name: String,
    /// How many versions there were.
    versions: i64,
    /// How many tasks.
    tasks: i64,
    /// Whether it is gone.
    deleted: bool,
}

/// Where a schema's webhooks go.
#[derive(ToSchema)]
pub(in crate::http) struct SchemaEndpoint {
    /// Its id.
    id: Uuid,
    /// The type whose own it is; null: the schema's default.
    #[schema(required = true)]
    ttype: Option<String>,
    /// Where.
    url: String,
    /// `active`, or `disabled` after it answered 410.
    status: String,
    /// Why deliveries wait, if they do: `no_key`, `disabled`.
    #[schema(required = true)]
    held: Option<String>,
}

/// An installed schema.
#[derive(ToSchema)]
pub(in crate::http) struct SchemaAnswer {
    /// Its name.
    name: String,
    /// Its latest version, as its author wrote it.
    semver: String,
    /// Counts its versions from 1.
    version: i32,
    /// When the latest was installed.
    #[schema(format = DateTime)]
    installed: String,
    /// What it is for.
    #[schema(required = true)]
    description: Option<String>,
    /// Its types.
    types: Vec<TaskType>,
    /// Where its webhooks go.
    endpoints: Vec<SchemaEndpoint>,
    /// The file, as installed; not in the list.
    source: Option<String>,
}

/// The schemas that a key sees.
#[derive(ToSchema)]
pub(in crate::http) struct SchemaList {
    /// By name.
    schemas: Vec<SchemaAnswer>,
}
