//! Deliveries, and sending again.

use serde_json::{Value, json};

use super::{ENDPOINT, EVENT, TASK, URL, with};

fn one() -> Value {
    json!({
        "id": "0199b8d0-19ab-7f0e-b7c5-6d1f50b3c9e5", "endpoint_id": ENDPOINT, "url": URL,
        "event_id": format!("evt_{EVENT}"), "event_type": "task.state_changed", "schema": "shop", "task_id": TASK,
        "version": 2, "seq": 18_204, "status": "pending", "reason": null, "attempts": 1, "is_resend": false,
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

pub(in crate::http) fn resent() -> Value {
    let more = json!({
        "id": "0199b8f1-60aa-7e02-9d3c-51d0b6a2f0c8", "is_resend": true, "attempts": 0, "version": null,
        "due_at": "2026-11-21T11:02:41.020110Z", "created": "2026-11-21T11:02:41.020110Z",
    });
    json!({ "delivery": with(one(), &more), "attempts": [] })
}

pub(in crate::http) fn new_replay() -> Value {
    json!({ "endpoint": ENDPOINT, "what": "since", "since": "2026-11-21T09:00:00Z" })
}

pub(in crate::http) fn replay() -> Value {
    json!({
        "id": "0199b8f2-0c2e-7d50-8f13-7e3a9c5b1d64", "endpoint_id": ENDPOINT, "what": "since",
        "since": "2026-11-21T09:00:00.000000Z", "schema": null, "status": "running", "resent": 1_500,
        "next_seq": 17_301, "last_seq": 18_204, "created": "2026-11-21T11:03:24.718204Z",
        "created_by": "key:0199b8c4-0b52-7c11-a3e4-9f1d7c2b6a55", "finished": null,
    })
}

pub(in crate::http) fn cancelled_replay() -> Value {
    with(replay(), &json!({"status": "cancelled", "finished": "2026-11-21T11:03:31.114002Z"}))
}

pub(in crate::http) fn replays() -> Value {
    json!({ "replays": [replay()], "next_cursor": null })
}
