//! Endpoints.

use serde_json::{Value, json};

use super::{ENDPOINT, URL, with};

pub(in crate::http) fn endpoint() -> Value {
    json!({
        "id": ENDPOINT, "origin": "schema", "schema": "shop", "type": null, "url": URL, "kind": "hmac",
        "header": null, "format": "full", "schemas": ["shop"], "task_types": null,
        "event_types": ["task.state_changed"], "states": null, "headers": {}, "rate": null, "concurrency": null,
        "timeout": null, "description": null, "status": "active", "status_reason": null, "held": null,
        "failing_since": null, "failures": 0, "next_probe": null, "has_key": true, "waiting": 1,
        "created": "2026-11-21T10:00:30.000000Z", "updated": "2026-11-21T10:00:30.000000Z",
    })
}

pub(in crate::http) fn endpoints() -> Value {
    json!({ "endpoints": [endpoint(), registered()] })
}

pub(in crate::http) fn new_endpoint() -> Value {
    json!({
        "url": "https://ops.example/hooks/inbox", "schemas": ["shop"], "states": ["unset", "granted"],
        "headers": {"x-tenant": "shop"}, "rate": "100/s", "timeout": "5s", "description": "the warehouse",
    })
}

fn registered() -> Value {
    let more = json!({
        "id": "0199b8e0-4410-7c2b-b7f9-0d52c6a1e93f", "origin": "registered", "schema": null,
        "url": "https://ops.example/hooks/inbox", "event_types": [
            "task.created", "task.state_changed", "task.assigned", "task.commented", "task.due", "task.escalated",
            "task.cancelled", "task.amended", "task.expired", "task.superseded", "schema.version_created", "schema.removed",
        ],
        "states": ["unset", "granted"], "headers": {"x-tenant": "***"}, "rate": "100/s", "timeout": "5s",
        "description": "the warehouse", "waiting": 0,
    });
    with(endpoint(), &more)
}

pub(in crate::http) fn registered_endpoint() -> Value {
    with(registered(), &json!({"key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "warnings": []}))
}

pub(in crate::http) fn changed_endpoint() -> Value {
    with(registered(), &json!({"rate": "20/s", "states": null, "warnings": []}))
}

pub(in crate::http) fn removed_endpoint() -> Value {
    json!({ "id": "0199b8e0-4410-7c2b-b7f9-0d52c6a1e93f", "withdrawn": 12 })
}

pub(in crate::http) fn paused_endpoint() -> Value {
    let more = json!({"status": "paused", "held": "paused", "status_reason": "the shop is being deployed", "waiting": 318});
    with(endpoint(), &more)
}

pub(in crate::http) fn tested_endpoint() -> Value {
    json!({
        "delivered": false, "status": 401, "duration_ms": 12, "outcome": "status", "error": "answered 401",
        "response": "the signature is wrong",
    })
}
