//! Deliveries, and sending again.

use utoipa::ToSchema;
use uuid::Uuid;

use super::log::EventType;

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
    /// It was given up, and sent again as another delivery.
    Resent,
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
    /// Where that is; null if the endpoint was removed.
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
    /// Why it waits (`paused`, `disabled`, `no_key`, `no_master_key`, `waits_for_earlier`) or was given up
    /// (`exhausted`, `gone`, `schema_removed`, `endpoint_removed`, ...).
    #[schema(required = true)]
    reason: Option<String>,
    /// How many attempts were made and written down.
    attempts: i32,
    /// Whether somebody had it sent again: such a one waits for no other, and holds none up.
    is_resend: bool,
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

/// What a replay sends again.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum ReplayWhat {
    /// Every delivery that was given up.
    Dead,
    /// Every event since a time that the endpoint wants as things are now, whatever became of it then.
    Since,
}

/// What to send again.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewReplay {
    /// The endpoint's id.
    endpoint: Uuid,
    /// Which of its deliveries.
    what: ReplayWhat,
    /// From when on; with `what: since`, and needed there.
    #[schema(format = DateTime, example = "2026-11-21T10:00:00Z")]
    since: Option<String>,
    /// Only those of this schema's events.
    #[schema(min_length = 1, max_length = 64, example = "ti:sample")]
    schema: Option<String>,
    /// Only say how many that would be.
    dry_run: Option<bool>,
}

/// What a replay would send.
#[derive(ToSchema)]
pub(in crate::http) struct ReplayPreview {
    /// How many deliveries.
    #[schema(minimum = 0)]
    count: i64,
    /// Whether there may be more: only the first 200000 events were looked at.
    at_least: bool,
}

/// Where a replay is in its life.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum ReplayStatus {
    /// A dispatcher works on it; after a restart, it goes on where it was.
    Running,
    /// Everything was sent again.
    Done,
    /// Somebody ended it. What it had made goes out.
    Cancelled,
}

/// A job that sends again.
#[derive(ToSchema)]
pub(in crate::http) struct Replay {
    /// Its id.
    id: Uuid,
    /// The endpoint.
    endpoint_id: Uuid,
    /// What is sent again.
    what: ReplayWhat,
    /// From when on; null for what is dead.
    #[schema(required = true, format = DateTime)]
    since: Option<String>,
    /// Only events of this schema; null: of all.
    #[schema(required = true)]
    schema: Option<String>,
    /// Where it is in its life.
    status: ReplayStatus,
    /// How many deliveries it has made.
    #[schema(minimum = 0)]
    resent: i64,
    /// The event of the log that it looks at next; null for what is dead.
    #[schema(required = true)]
    next_seq: Option<i64>,
    /// The last event that it looks at: the last one when it was made; null for what is dead.
    #[schema(required = true)]
    last_seq: Option<i64>,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// By whom: `key:{id}`, or `cli`.
    created_by: String,
    /// When it ended.
    #[schema(required = true, format = DateTime)]
    finished: Option<String>,
}

/// A page of replays.
#[derive(ToSchema)]
pub(in crate::http) struct ReplayList {
    /// Newest first.
    replays: Vec<Replay>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}
