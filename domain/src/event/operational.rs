//! Events that tell operators how delivering goes: endpoints that stop and recover, deliveries that
//! were given up.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::webhook::url;
use crate::{Actor, Event, EventType, Timestamp};

/// What an operational event tells of an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointFacts {
    /// Its id.
    pub id: Uuid,
    /// Where it is. The event tells its origin alone.
    #[serde(serialize_with = "origin_alone")]
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
    /// The one schema whose events it gets, which the event is found by; empty if it gets those of several.
    #[serde(skip)]
    pub concerns: String,
}

fn origin_alone<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&url::origin(url))
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
    made(id, kind, &endpoint.concerns, actor, body.to_string(), now)
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

/// The endpoint that an operational event is about: it is told to who may know of everything that goes there.
pub fn endpoint_of(event: &Event) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Body {
        endpoint: Option<Named>,
        delivery: Option<Sent>,
    }
    #[derive(Deserialize)]
    struct Named {
        id: Uuid,
    }
    #[derive(Deserialize)]
    struct Sent {
        endpoint_id: Uuid,
    }
    if !event.kind.is_operational() {
        return None;
    }
    let body: Body = serde_json::from_str(&event.body).ok()?;
    body.endpoint.map(|e| e.id).or_else(|| body.delivery.map(|d| d.endpoint_id))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_an_endpoint_tells_which_and_no_more_than_its_origin() {
        let id = Uuid::from_u128(7);
        let facts = EndpointFacts {
            id,
            url: "https://hooks.slack.com/services/T0/B0/secret".to_owned(),
            schema: String::new(),
            ttype: None,
            description: None,
            failing_since: None,
            concerns: "shop".to_owned(),
        };
        let (kind, now) = (EventType::EndpointPaused, Timestamp::from_micros(1));
        let event = endpoint_changed(Uuid::nil(), kind, &facts, "failing", None, &Actor::system(), now);
        assert_eq!((endpoint_of(&event), event.schema.as_str()), (Some(id), "shop"));
        let body: serde_json::Value = serde_json::from_str(&event.body).expect("JSON");
        let expected = serde_json::json!({
            "id": id, "url": "https://hooks.slack.com", "schema": "", "type": null, "description": null,
            "failing_since": null,
        });
        assert_eq!(body["endpoint"], expected);
    }

    #[test]
    fn a_dead_delivery_tells_its_endpoint() {
        let delivery = DeadDelivery {
            id: Uuid::nil(),
            endpoint_id: Uuid::from_u128(8),
            event_id: Uuid::nil(),
            event_type: "task.created",
            task_id: None,
            attempts: 1,
            reason: "exhausted",
            error: None,
        };
        let event = delivery_dead(Uuid::nil(), "shop", &delivery, Timestamp::from_micros(1));
        assert_eq!(endpoint_of(&event), Some(Uuid::from_u128(8)));
        assert_eq!(endpoint_of(&Event { kind: EventType::TaskCreated, ..event }), None);
    }
}
