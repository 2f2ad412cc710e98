//! Endpoints and deliveries.

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
}

/// What of an event is sent.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum HookBody {
    /// The whole event.
    Full,
    /// Only the decision.
    Output,
}

/// Whether an endpoint takes deliveries.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum EndpointStatus {
    /// Deliveries go out.
    Active,
    /// It answered 410: deliveries wait. A new URL or a new key makes it active again.
    Disabled,
    /// The schema's latest version no longer names it: what is live still goes out.
    Removed,
}

/// Why an endpoint's deliveries wait.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum Held {
    /// It has no key: make one.
    NoKey,
    /// It answered 410.
    Disabled,
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
    /// Its schema.
    schema: String,
    /// The type whose own it is; null: the schema's.
    #[schema(required = true)]
    r#type: Option<String>,
    /// Where.
    url: String,
    /// How its webhooks prove where they come from.
    kind: AuthKind,
    /// The header that carries the key, for `head`.
    #[schema(required = true)]
    header: Option<String>,
    /// What of an event is sent.
    body: HookBody,
    /// The events that it gets.
    event_types: Vec<EventType>,
    /// Whether it takes deliveries.
    status: EndpointStatus,
    /// Why it has that status.
    #[schema(required = true)]
    status_reason: Option<String>,
    /// Why deliveries wait, if they do, as this server sees it.
    #[schema(required = true)]
    held: Option<Held>,
    /// Whether it has a key.
    has_key: bool,
    /// How many deliveries have not ended; counted up to 10000.
    #[schema(minimum = 0, maximum = 10000)]
    waiting: i64,
    /// When it was first installed.
    #[schema(format = DateTime)]
    created: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    updated: String,
}

/// The endpoints that a key sees.
#[derive(ToSchema)]
pub(in crate::http) struct EndpointList {
    /// By schema and type.
    endpoints: Vec<Endpoint>,
}

/// Where a delivery is in its life.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum DeliveryStatus {
    /// It waits for its time, or for what `reason` says.
    Pending,
    /// It is being sent.
    Sending,
    /// The receiver took it.
    Delivered,
    /// It was given up, for what `reason` says.
    Dead,
    /// It was withdrawn before it was sent.
    Cancelled,
}

/// One event on its way to one endpoint.
#[derive(ToSchema)]
pub(in crate::http) struct Delivery {
    /// Its id.
    id: Uuid,
    /// The endpoint that it goes to.
    endpoint_id: Uuid,
    /// Where that is; null if it was removed with its schema.
    #[schema(required = true)]
    url: Option<String>,
    /// The event, as the header `webhook-id` names it.
    #[schema(pattern = "^evt_")]
    event_id: String,
    /// What the event is about; null if the log was trimmed.
    #[schema(required = true)]
    event_type: Option<EventType>,
    /// The event's schema.
    schema: String,
    /// The event's task.
    #[schema(required = true)]
    task_id: Option<Uuid>,
    /// The task's version after the event. A task's deliveries go out in this order.
    #[schema(required = true)]
    version: Option<i64>,
    /// The event's place in the log; null if the log was trimmed.
    #[schema(required = true)]
    seq: Option<i64>,
    /// Where it is in its life.
    status: DeliveryStatus,
    /// Why it waits (`no_key`, `disabled`, `no_master_key`, `waits_for_earlier`) or was given up
    /// (`exhausted`, `gone`, `schema_removed`, ...).
    #[schema(required = true)]
    reason: Option<String>,
    /// How many attempts were made and written down.
    attempts: i32,
    /// Pending: when it is tried next. Sending: when another process may take over. Null once it ended.
    #[schema(required = true, format = DateTime)]
    due_at: Option<String>,
    /// When its event was written.
    #[schema(format = DateTime)]
    created: String,
    /// When it ended.
    #[schema(required = true, format = DateTime)]
    finished: Option<String>,
}

/// A page of deliveries.
#[derive(ToSchema)]
pub(in crate::http) struct DeliveryList {
    /// Newest first.
    deliveries: Vec<Delivery>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// One request that was sent to a receiver.
#[derive(ToSchema)]
pub(in crate::http) struct Attempt {
    /// 1, 2, 3 ...
    number: i32,
    /// When it began.
    #[schema(format = DateTime)]
    started: String,
    /// How long it took.
    duration_ms: i64,
    /// `delivered`, `status` for any other answer, or the kind of failure, as `timeout`, `connect`, `dns`,
    /// `tls`, `address_refused`, `protocol`.
    outcome: String,
    /// The answer's status; null if there was none.
    #[schema(required = true)]
    status: Option<i32>,
    /// What went wrong.
    #[schema(required = true)]
    error: Option<String>,
    /// The beginning of the answer's body, as text.
    #[schema(required = true)]
    response: Option<String>,
}

/// A delivery with its attempts.
#[derive(ToSchema)]
pub(in crate::http) struct DeliveryAnswer {
    /// The delivery.
    delivery: Delivery,
    /// Its attempts, oldest first.
    attempts: Vec<Attempt>,
}
