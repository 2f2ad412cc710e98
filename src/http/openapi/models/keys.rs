//! Keys, and whose they are.

use utoipa::ToSchema;
use uuid::Uuid;

use super::log::ActorKind;

/// One thing that a key can be allowed.
#[derive(ToSchema)]
pub(in crate::http) enum Permission {
    /// Post tasks.
    #[schema(rename = "tasks:write")]
    TasksWrite,
    /// Read tasks, their history and the events.
    #[schema(rename = "tasks:read")]
    TasksRead,
    /// Decide tasks.
    #[schema(rename = "tasks:resolve")]
    TasksResolve,
    /// Install and remove schemas.
    #[schema(rename = "schemas:write")]
    SchemasWrite,
    /// List schemas.
    #[schema(rename = "schemas:read")]
    SchemasRead,
    /// Make, list and revoke keys.
    #[schema(rename = "keys:write")]
    KeysWrite,
    /// Read endpoints, deliveries and attempts.
    #[schema(rename = "endpoints:read")]
    EndpointsRead,
    /// Register, change, pause, resume and test endpoints; send again. What is registered hears of every task of the
    /// schemas that the key sees, with what it says, also without `tasks:read`; and it goes on when the key has ended.
    #[schema(rename = "endpoints:write")]
    EndpointsWrite,
    /// Read the log's head and checkpoints, and verify the log.
    #[schema(rename = "audit:read")]
    AuditRead,
    /// Make checkpoints.
    #[schema(rename = "audit:write")]
    AuditWrite,
    /// Begin and end maintenance.
    #[schema(rename = "maintenance:write")]
    MaintenanceWrite,
}

/// Whose credential it is.
#[derive(ToSchema)]
pub(in crate::http) struct Me {
    /// What kind of principal.
    kind: ActorKind,
    /// The key's id.
    #[schema(required = true)]
    id: Option<Uuid>,
    /// Its name.
    #[schema(required = true)]
    name: Option<String>,
    /// The schemas that it sees; null: all.
    #[schema(required = true)]
    schemas: Option<Vec<String>>,
    /// What it may do.
    permissions: Vec<Permission>,
    /// The service's version.
    version: String,
}

/// A token for the realtime connection.
#[derive(ToSchema)]
pub(in crate::http) struct RealtimeToken {
    /// A JWT, to be given with `LISTEN`.
    token: String,
    /// How long it can be used, in seconds.
    expires_in: u64,
}

/// A schema's name.
#[derive(ToSchema)]
#[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9:_-]{0,63}$")]
pub(in crate::http) struct SchemaName(String);

/// An API key to make.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewApiKey {
    /// What it is called, in lists and in the log.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    name: String,
    /// The schemas that it sees; absent: all.
    #[schema(min_items = 1, max_items = 1000, inline)]
    schemas: Option<Vec<SchemaName>>,
    /// What it may do; absent: `tasks:write` and `tasks:read`.
    #[schema(min_items = 1)]
    permissions: Option<Vec<Permission>>,
    /// How long it works: `500ms`, `15s`, `10m`, `12h`, `90d`; absent: until it is revoked.
    #[schema(example = "90d", pattern = "^[1-9][0-9]{0,4}(ms|s|m|h|d)$")]
    expires_in: Option<String>,
    /// How many requests it may make of each replica, which counts by itself: `100/s`, `1000/m`, `5000/h`;
    /// absent: any number.
    #[schema(example = "100/s", pattern = "^[1-9][0-9]{0,8}/(s|m|h)$")]
    rate: Option<String>,
    /// The key itself, if one is to be taken over: 8 to 512 visible ASCII characters.
    #[schema(min_length = 8, max_length = 512, pattern = "^[!-~]*$")]
    key: Option<String>,
}

/// What is kept of an API key.
#[derive(ToSchema)]
pub(in crate::http) struct ApiKey {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// Its first characters.
    hint: String,
    /// The schemas that it sees; null: all.
    #[schema(required = true)]
    schemas: Option<Vec<String>>,
    /// What it may do.
    permissions: Vec<String>,
    /// How many requests it may make; null: any number.
    #[schema(required = true)]
    rate: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// When it stops working.
    #[schema(required = true, format = DateTime)]
    expires: Option<String>,
    /// When it was revoked.
    #[schema(required = true, format = DateTime)]
    revoked: Option<String>,
    /// When it was last used, within a few seconds.
    #[schema(required = true, format = DateTime)]
    last_used: Option<String>,
}

/// An API key that was made.
#[derive(ToSchema)]
pub(in crate::http) struct CreatedApiKey {
    #[schema(inline)]
    #[serde(flatten)]
    info: ApiKey,
    /// The key: shown this once.
    key: String,
    /// What is odd about it.
    warnings: Vec<String>,
}

/// The API keys that a key sees.
#[derive(ToSchema)]
pub(in crate::http) struct ApiKeyList {
    /// Oldest first.
    api_keys: Vec<ApiKey>,
}

/// A webhook key to make.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewWebhookKey {
    /// The schema; absent where `endpoint` is named.
    #[schema(example = "ti:sample", min_length = 1, max_length = 64)]
    schema: Option<String>,
    /// A registered endpoint's id, in the place of a schema and a type.
    endpoint: Option<Uuid>,
    /// The type whose own endpoint it is for; absent: the schema's.
    #[schema(min_length = 1, max_length = 64)]
    r#type: Option<String>,
    /// The key itself, if one is to be taken over: for `hmac`, `whsec_` and 24 to 64 bytes in base64; for
    /// `head`, 1 to 512 visible ASCII characters.
    #[schema(min_length = 1, max_length = 512, pattern = "^[!-~]+$")]
    key: Option<String>,
    /// Whether it takes the place of the key there is.
    rotate: Option<bool>,
    /// How long that one goes on beside it, up to `30d`; absent: `24h`. With `rotate` only.
    #[schema(example = "24h", pattern = "^[0-9]{1,5}(ms|s|m|h|d)$")]
    overlap: Option<String>,
}

/// How an endpoint's webhooks prove where they come from.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum AuthKind {
    /// A signature after Standard Webhooks.
    Hmac,
    /// The key itself in a header.
    Head,
}

/// What is shown of a webhook key.
#[derive(ToSchema)]
pub(in crate::http) struct WebhookKey {
    /// Its id.
    id: Uuid,
    /// The endpoint that it belongs to.
    endpoint_id: Uuid,
    /// The endpoint's schema; null if it was registered.
    #[schema(required = true)]
    schema: Option<String>,
    /// The type whose own endpoint it is; null: the schema's, or none.
    #[schema(required = true)]
    r#type: Option<String>,
    /// How it is used.
    kind: AuthKind,
    /// Where webhooks go with it.
    url: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// When it ends, if it was replaced.
    #[schema(required = true, format = DateTime)]
    expires: Option<String>,
    /// Whether nothing goes out with it: the endpoint's `hook_auth` is of the other kind now. Going back uses it again.
    unused: bool,
}

/// A webhook key that was made.
#[derive(ToSchema)]
pub(in crate::http) struct CreatedWebhookKey {
    #[schema(inline)]
    #[serde(flatten)]
    info: WebhookKey,
    /// The key: shown this once.
    key: String,
    /// What is odd about it.
    warnings: Vec<String>,
}

/// The webhook keys that a key sees.
#[derive(ToSchema)]
pub(in crate::http) struct WebhookKeyList {
    /// Newest first.
    webhook_keys: Vec<WebhookKey>,
}

/// A step of a move to another master key.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Rekey {
    /// How many webhook keys to move at most, 500 by default.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<i64>,
}

/// How far a move to another master key has come.
#[derive(ToSchema)]
pub(in crate::http) struct Rekeyed {
    /// How many webhook keys this step moved.
    moved: u64,
    /// How many are still encrypted under another master key.
    remaining: i64,
    /// The id of the master key that they move to: the first of the ring.
    master_key_id: String,
}
