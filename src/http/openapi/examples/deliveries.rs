//! Endpoints and deliveries.

use serde_json::{Value, json};

use super::{ENDPOINT, EVENT, TASK, URL};

pub(in crate::http) fn endpoint() -> Value {
    json!({
        "id": ENDPOINT, "origin": "schema", "schema": "shop", "type": null, "url": URL, "kind": "hmac",
        "header": null, "body": "full", "event_types": ["task.state_changed"], "status": "active",
        "status_reason": null, "held": null, "has_key": true, "waiting": 1,
        "created": "2026-11-21T10:00:30.000000Z", "updated": "2026-11-21T10:00:30.000000Z",
    })
}

pub(in crate::http) fn endpoints() -> Value {
    json!({ "endpoints": [endpoint()] })
}

fn one() -> Value {
    json!({
        "id": "0199b8d0-19ab-7f0e-b7c5-6d1f50b3c9e5", "endpoint_id": ENDPOINT, "url": URL,
        "event_id": format!("evt_{EVENT}"), "event_type": "task.state_changed", "schema": "shop", "task_id": TASK,
        "version": 2, "seq": 18_204, "status": "pending", "reason": null, "attempts": 1,
        "due_at": "2026-11-21T10:13:07.612044Z", "created": "2026-11-21T10:13:02.251880Z", "finished": null,
    })
}

pub(in crate::http) fn deliveries() -> Value {
    json!({ "deliveries": [one()], "next_cursor": null })
}

pub(in crate::http) fn delivery() -> Value {
    json!({
        "delivery": one(),
        "attempts": [{
            "number": 1, "started": "2026-11-21T10:13:02.253412Z", "duration_ms": 8, "outcome": "status",
            "status": 503, "error": "answered 503", "response": "upstream is restarting",
        }],
    })
}
