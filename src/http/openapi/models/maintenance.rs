//! Maintenance.

use utoipa::ToSchema;

/// Maintenance to begin.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewMaintenance {
    /// The schema; absent: the whole inbox.
    #[schema(example = "shop", min_length = 1, max_length = 64)]
    schema: Option<String>,
    /// What whoever is refused is told; absent: a sentence that says what goes on.
    #[schema(min_length = 1, max_length = 1000, pattern = r"\S")]
    message: Option<String>,
    /// When a client should come back, from `1s` to `24h`; absent: `5m`.
    #[schema(example = "5m", pattern = "^[1-9][0-9]{0,4}(ms|s|m|h|d)$")]
    retry_after: Option<String>,
    /// Whether webhooks wait, too.
    hold_deliveries: Option<bool>,
}

/// Maintenance of the whole inbox or of one schema.
#[derive(ToSchema)]
pub(in crate::http) struct Maintenance {
    /// The schema; null: the whole inbox.
    #[schema(required = true)]
    schema: Option<String>,
    /// What whoever is refused is told.
    message: String,
    /// When a client should come back.
    retry_after: String,
    /// Whether webhooks wait, too.
    hold_deliveries: bool,
    /// When it began.
    #[schema(format = DateTime)]
    since: String,
    /// Who said so last: `cli`, or `key:` and an API key's id.
    by: String,
}

/// What is in maintenance.
#[derive(ToSchema)]
pub(in crate::http) struct MaintenanceList {
    /// The whole inbox first, then by schema.
    maintenance: Vec<Maintenance>,
}
