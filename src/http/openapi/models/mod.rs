//! The shapes of bodies and answers, for the description alone.
//!
//! Bodies are read and answers written by hand elsewhere, for exact errors and for speed. These
//! types are never made: the API's tests check every answer that they see against the schema
//! that is generated from them.
#![expect(dead_code, reason = "only the schemas generated from these are used")]

mod audit;
mod deliveries;
mod endpoints;
mod errors;
mod keys;
mod log;
mod maintenance;
mod schemas;
mod tasks;

pub(in crate::http) use audit::{Checkpoint, CheckpointList, LogHead, Verified, Verify};
pub(in crate::http) use deliveries::{
    DeliveryAnswer, DeliveryList, DeliveryStatus, NewReplay, Replay, ReplayList, ReplayPreview,
};
pub(in crate::http) use endpoints::{
    ChangedEndpoint, Endpoint, EndpointChange, EndpointList, EndpointStatus, NewEndpoint, Origin, Pause,
    RegisteredEndpoint, RemovedEndpoint, TestedEndpoint,
};
pub(in crate::http) use errors::{ConflictProblem, GoneProblem, Problem};
pub(in crate::http) use keys::{
    ApiKey, ApiKeyList, CreatedApiKey, CreatedWebhookKey, Me, NewApiKey, NewWebhookKey, RealtimeToken, Rekey,
    Rekeyed, WebhookKey, WebhookKeyList,
};
pub(in crate::http) use log::{Actor, EventList, EventType, TaskHistory};
pub(in crate::http) use maintenance::{Maintenance, MaintenanceList, NewMaintenance};
pub(in crate::http) use schemas::{Installation, Removal, SchemaAnswer, SchemaList};
pub(in crate::http) use tasks::{
    Amend, Cancel, Decide, Decided, Phase, PostTask, Resolved, Task, TaskAnswer, TaskList, TaskType,
};
