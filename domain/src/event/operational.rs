//! Events that tell operators how delivering goes: endpoints that stop and recover, deliveries that
//! were given up.

use serde::Serialize;
use uuid::Uuid;

use crate::{Actor, Event, EventType, Timestamp};

/// What an operational event tells of an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointFacts {
    /// Its id.
    pub id: Uuid,
    /// Where it is.
    pub url: String,
    /// The schema it belongs to; empty if it was registered.
    pub schema: String,
    /// The type whose own it is.
    #[serde(rename = "type")]
    pub ttype: Option<String>,
    /// What its owner calls it.
    pub description: Option<String>,
    /// Since when every attempt failed.
    pub failing_since: Option<Timestamp>,
}

/// The event of an endpoint that stopped taking deliveries or takes them again. `reason` is a word for
/// programs, `message` a sentence for people.
pub fn endpoint_changed(
    id: Uuid,
    kind: EventType,
    endpoint: &EndpointFacts,
    reason: &str,
    message: Option<&str>,
    actor: &Actor,
    now: Timestamp,
) -> Event {
    let body = serde_json::json!({
        "endpoint": endpoint, "reason": reason, "message": message, "actor": actor,
    });
    made(id, kind, &endpoint.schema, actor, body.to_string(), now)
}

/// What `delivery.dead` tells of a delivery.
#[derive(Clone, Debug, Serialize)]
pub struct DeadDelivery {
    /// Its id.
    pub id: Uuid,
    /// Where it went.
    pub endpoint_id: Uuid,
    /// What it told of.
    pub event_id: Uuid,
    /// That event's type.
    pub event_type: &'static str,
    /// That event's task.
    pub task_id: Option<Uuid>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: &'static str,
    /// What went wrong the last time.
    pub error: Option<String>,
}

/// The event of a delivery that was given up.
pub fn delivery_dead(id: Uuid, schema: &str, delivery: &DeadDelivery, now: Timestamp) -> Event {
    let actor = Actor::system();
    let body = serde_json::json!({ "delivery": delivery, "actor": actor });
    made(id, EventType::DeliveryDead, schema, &actor, body.to_string(), now)
}

/// It names no task in its header: a task's history is what was done to the task.
fn made(id: Uuid, kind: EventType, schema: &str, actor: &Actor, body: String, now: Timestamp) -> Event {
    Event {
        id,
        kind,
        created: now,
        actor: actor.pseudonym(),
        schema: schema.to_owned(),
        ttype: None,
        task_id: None,
        version: None,
        body,
    }
}
