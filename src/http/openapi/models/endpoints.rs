//! Endpoints.

use std::collections::BTreeMap;

use utoipa::ToSchema;
use uuid::Uuid;

use super::keys::AuthKind;
use super::log::EventType;

/// Where an endpoint comes from.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum Origin {
    /// A schema's `default_hook_url`.
    Schema,
    /// A type's `hook_url`.
    Type,
    /// Somebody registered it.
    Registered,
    /// A host that a schema lets tasks be called back at (`callback_hosts`).
    Callback,
}

/// In which form an event is sent.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum HookFormat {
    /// The whole event, as JSON.
    Full,
    /// Only the decision, as JSON; of events of no task, the whole event.
    Output,
    /// A message that ntfy shows; the URL is the topic's.
    Ntfy,
    /// A message that Slack shows, by an incoming webhook.
    Slack,
    /// A message that Discord shows, by a channel's webhook.
    Discord,
}

/// Whether an endpoint takes deliveries.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum EndpointStatus {
    /// Deliveries go out.
    Active,
    /// Somebody paused it: deliveries wait until it is resumed.
    Paused,
    /// It answered 410, or failed for five days: deliveries wait. Resuming it, a new URL or a new key makes it
    /// active again.
    Disabled,
    /// The schema's latest version no longer names it: what is live still goes out.
    Removed,
}

/// Why an endpoint's deliveries wait.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum Held {
    /// Somebody paused it.
    Paused,
    /// It answered 410, or failed for days.
    Disabled,
    /// It failed again and again: one delivery is tried at `next_probe`.
    Failing,
    /// It has no key: make one.
    NoKey,
    /// Its key is encrypted under a master key that this server lacks.
    NoMasterKey,
}

/// Where webhooks go.
#[derive(ToSchema)]
pub(in crate::http) struct Endpoint {
    /// Its id.
    id: Uuid,
    /// Where it comes from.
    origin: Origin,
    /// The schema that declares it; null if it was registered.
    #[schema(required = true)]
    schema: Option<String>,
    /// The type whose own it is; null: the schema's, or none.
    #[schema(required = true)]
    r#type: Option<String>,
    /// Where. For callbacks, the host: each task says where there.
    url: String,
    /// How its webhooks prove where they come from.
    kind: AuthKind,
    /// The header that carries the key, for `head`.
    #[schema(required = true)]
    header: Option<String>,
    /// In which form events are sent.
    format: HookFormat,
    /// The schemas whose events it gets; null: all.
    #[schema(required = true)]
    schemas: Option<Vec<String>>,
    /// The types whose tasks' events it gets; null: all.
    #[schema(required = true)]
    task_types: Option<Vec<String>>,
    /// The events that it gets.
    event_types: Vec<EventType>,
    /// The states of tasks after whose events it is told, `unset` among them; null: all.
    #[schema(required = true)]
    states: Option<Vec<String>>,
    /// Headers of its own, by name. Values may be secrets, and are not shown.
    headers: BTreeMap<String, String>,
    /// The most attempts in a time, of all replicas together; null: any number.
    #[schema(required = true)]
    rate: Option<String>,
    /// The most attempts at once, of each replica; null: as for every endpoint.
    #[schema(required = true)]
    concurrency: Option<u32>,
    /// The hard end of an attempt; null: as for every endpoint.
    #[schema(required = true)]
    timeout: Option<String>,
    /// What it is for.
    #[schema(required = true)]
    description: Option<String>,
    /// Whether it takes deliveries.
    status: EndpointStatus,
    /// Why it has that status: what who paused it said, or what it answered.
    #[schema(required = true)]
    status_reason: Option<String>,
    /// Why deliveries wait, if they do, as this server sees it.
    #[schema(required = true)]
    held: Option<Held>,
    /// Since when every attempt failed; null if the last one succeeded.
    #[schema(required = true, format = DateTime)]
    failing_since: Option<String>,
    /// How many attempts failed since then.
    failures: u32,
    /// When one delivery is tried, while the endpoint is left alone because it fails.
    #[schema(required = true, format = DateTime)]
    next_probe: Option<String>,
    /// Whether it has a key.
    has_key: bool,
    /// How many deliveries have not ended; counted up to 10000.
    #[schema(minimum = 0, maximum = 10000)]
    waiting: i64,
    /// When it was first installed or registered.
    #[schema(format = DateTime)]
    created: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    updated: String,
}

/// The endpoints that a key sees.
#[derive(ToSchema)]
pub(in crate::http) struct EndpointList {
    /// Those of schemas by schema and type, then the registered ones by age.
    endpoints: Vec<Endpoint>,
}

/// A short name, of a schema, a type or a state.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9:_-]*$")]
pub(in crate::http) struct ShortName(String);

/// The value of a header.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 1024, pattern = "^[!-~]([ -~]*[!-~])?$")]
pub(in crate::http) struct HeaderValue(String);

/// An endpoint to register. What is not said is open: events of all schemas, types and states, but not the
/// operational ones.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewEndpoint {
    /// Where webhooks go: http or https, without user name, password and fragment.
    #[schema(
        min_length = 8,
        max_length = 2048,
        pattern = "^[hH][tT][tT][pP][sS]?://",
        example = "https://shop.example/hooks/tasks"
    )]
    url: String,
    /// In which form events are sent; absent: `full`.
    format: Option<HookFormat>,
    /// Only events of these schemas. Needed from a key that sees some schemas only.
    #[schema(max_items = 100, inline)]
    schemas: Option<Vec<ShortName>>,
    /// Only events of tasks of types with these names.
    #[schema(max_items = 100, inline)]
    task_types: Option<Vec<ShortName>>,
    /// Only these events; `endpoint.*` and `delivery.dead` come only where they are named.
    #[schema(max_items = 100)]
    event_types: Option<Vec<EventType>>,
    /// Only events of tasks that are in one of these states after it; `unset` is one.
    #[schema(max_items = 100, inline)]
    states: Option<Vec<ShortName>>,
    /// Headers of its own on every attempt, at most 20; not `Host`, `User-Agent`, `Content-*`, `webhook-*` and those
    /// of the connection.
    #[schema(inline)]
    headers: Option<BTreeMap<String, HeaderValue>>,
    /// The most attempts in a time, of all replicas together: `100/s`, `1000/m`, `5000/h`.
    #[schema(example = "100/s", pattern = "^[1-9][0-9]{0,8}/(s|m|h)$")]
    rate: Option<String>,
    /// The most attempts at once, of each replica.
    #[schema(minimum = 1, maximum = 128)]
    concurrency: Option<i64>,
    /// The hard end of an attempt, the answer's body included: `1s` to `15s`.
    #[schema(example = "5s", pattern = "^([1-9]|1[0-5])s$")]
    timeout: Option<String>,
    /// What it is for.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// The key itself, if one is to be taken over: `whsec_` and 24 to 64 bytes in base64.
    #[schema(min_length = 38, max_length = 94, pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
    key: Option<String>,
}

/// What to change of a registered endpoint: what is absent stays, `null` takes back what was said.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EndpointChange {
    /// Where webhooks go from now on. One that was disabled becomes active, and nothing is known against it.
    #[schema(nullable = false, min_length = 8, max_length = 2048, pattern = "^[hH][tT][tT][pP][sS]?://")]
    url: Option<String>,
    /// In which form events are sent; null: `full`.
    format: Option<HookFormat>,
    /// Only events of these schemas; null: of all.
    #[schema(max_items = 100, inline)]
    schemas: Option<Vec<ShortName>>,
    /// Only events of tasks of types with these names; null: of all.
    #[schema(max_items = 100, inline)]
    task_types: Option<Vec<ShortName>>,
    /// Only these events; null: all but the operational ones.
    #[schema(max_items = 100)]
    event_types: Option<Vec<EventType>>,
    /// Only events of tasks that are in one of these states after it; null: in any.
    #[schema(max_items = 100, inline)]
    states: Option<Vec<ShortName>>,
    /// Headers of its own, in the place of all that there were; null: none.
    #[schema(inline)]
    headers: Option<BTreeMap<String, HeaderValue>>,
    /// The most attempts in a time; null: any number.
    #[schema(example = "100/s", pattern = "^[1-9][0-9]{0,8}/(s|m|h)$")]
    rate: Option<String>,
    /// The most attempts at once, of each replica; null: as for every endpoint.
    #[schema(minimum = 1, maximum = 128)]
    concurrency: Option<i64>,
    /// The hard end of an attempt; null: as for every endpoint.
    #[schema(example = "5s", pattern = "^([1-9]|1[0-5])s$")]
    timeout: Option<String>,
    /// What it is for; null: it is not said.
    #[schema(max_length = 1000)]
    description: Option<String>,
}

/// An endpoint that was registered.
#[derive(ToSchema)]
pub(in crate::http) struct RegisteredEndpoint {
    #[schema(inline)]
    #[serde(flatten)]
    endpoint: Endpoint,
    /// What its webhooks are signed with: shown this once.
    key: String,
    /// What is odd about it.
    warnings: Vec<String>,
}

/// An endpoint that was changed.
#[derive(ToSchema)]
pub(in crate::http) struct ChangedEndpoint {
    #[schema(inline)]
    #[serde(flatten)]
    endpoint: Endpoint,
    /// What is odd about it.
    warnings: Vec<String>,
}

/// An endpoint that is gone.
#[derive(ToSchema)]
pub(in crate::http) struct RemovedEndpoint {
    /// Its id.
    id: Uuid,
    /// How many deliveries were withdrawn with it.
    #[schema(minimum = 0)]
    withdrawn: u64,
}

/// Why an endpoint is paused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Pause {
    /// For who looks at it, and for `endpoint.paused`.
    #[schema(min_length = 1, max_length = 1000, example = "the shop is being deployed")]
    message: Option<String>,
}

/// What came of a test.
#[derive(ToSchema)]
pub(in crate::http) struct TestedEndpoint {
    /// Whether the receiver took it: it answered 2xx.
    delivered: bool,
    /// The answer's status; null if there was none.
    #[schema(required = true)]
    status: Option<i32>,
    /// How long it took.
    duration_ms: i64,
    /// `delivered`, `status` for any other answer, or the kind of failure, as `timeout`, `connect`, `dns`,
    /// `tls`, `address_refused`, `protocol`.
    outcome: String,
    /// What went wrong.
    #[schema(required = true)]
    error: Option<String>,
    /// The beginning of the answer's body, as text; null if there was no answer.
    #[schema(required = true)]
    response: Option<String>,
}
