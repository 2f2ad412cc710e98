//! Tasks, their history and the events.

use serde_json::{Value, json};

use super::{EVENT, TASK, TTYPE, with};

const KEY: &str = "0199b8c4-0b52-7c11-a3e4-9f1d7c2b6a55";
const DESK: &str = "0199b8c6-31aa-7fd0-91c2-0a5e7d4c8b12";

fn sender() -> Value {
    json!({"kind": "key", "id": KEY, "name": "shop"})
}

fn decider() -> Value {
    json!({"kind": "key", "id": DESK, "name": "support desk", "on_behalf_of": "agent 12"})
}

fn open() -> Value {
    json!({
        "id": TASK, "created": "2026-11-21T10:04:07.312907Z", "updated": "2026-11-21T10:04:07.312907Z",
        "ttype_id": TTYPE, "schema": "shop", "semver": "1.2", "state": "asked", "resolved": false, "phase": "open",
        "user_id": null, "meta": {"order": "4711", "amount": 18.50}, "output": null, "external_id": "refund-4711",
        "priority": null, "due_at": null, "callback_url": null, "merge_key": null, "version": 1,
        "allowed_transitions": ["checked", "paid", "refused"],
    })
}

fn paid() -> Value {
    let more = json!({
        "updated": "2026-11-21T10:13:02.250114Z", "state": "paid", "resolved": true, "phase": "resolved",
        "output": {"amount": 18.50}, "version": 2, "allowed_transitions": [],
    });
    with(open(), &more)
}

pub(in crate::http) fn post_task() -> Value {
    json!({
        "schema_name": "shop", "task": "refund", "meta": {"order": "4711", "amount": 18.50},
        "external_id": "refund-4711",
    })
}

pub(in crate::http) fn task() -> Value {
    json!({ "task": open(), "ttype": "refund" })
}

pub(in crate::http) fn decide() -> Value {
    json!({
        "state": "paid", "output": {"amount": 18.50}, "reason": "Arrived broken, with photographs",
        "on_behalf_of": "agent 12",
    })
}

pub(in crate::http) fn decided() -> Value {
    json!({ "task": paid() })
}

pub(in crate::http) fn amend() -> Value {
    json!({ "meta": {"amount": 17.00, "note": null}, "reason": "One of the two came back whole" })
}

pub(in crate::http) fn amended() -> Value {
    let changed = json!({"meta": {"order": "4711", "amount": 17.00}, "version": 2, "updated": "2026-11-21T10:09:41.004212Z"});
    json!({ "task": with(open(), &changed) })
}

pub(in crate::http) fn cancelled() -> Value {
    let changed = json!({"phase": "cancelled", "version": 2, "updated": "2026-11-21T10:09:41.004212Z", "allowed_transitions": []});
    json!({ "task": with(open(), &changed) })
}

pub(super) fn ttype() -> Value {
    json!({
        "schema_name": "shop", "semver": "1.2", "name": "refund", "title": "Refund",
        "description": "Money goes back", "pending_states": ["asked", "checked"],
        "resolved_states": ["paid", "refused"], "initial_state": "asked", "reason_required": ["refused"],
        "timeouts": {"after": "3d", "expires": false, "final_state": "refused"}, "binds": [], "merge_key": ["/order"],
        "input": {
            "type": "object", "required": ["order"],
            "properties": {"order": {"type": "string"}, "amount": {"type": "number", "minimum": 0}},
        },
        "output": {"paid": {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}},
    })
}

pub(in crate::http) fn tasks() -> Value {
    json!({ "tasks": [open()], "types": {TTYPE: ttype()}, "next_cursor": null })
}

pub(in crate::http) fn history() -> Value {
    json!({ "history": [
        {
            "id": "0199b8c9-7c44-7d51-8a76-3e0b1f7f4c22", "created": "2026-11-21T10:04:07.312907Z",
            "task_id": TASK, "state": "asked", "resolved": false, "editor_id": KEY, "assigned_id": null,
            "update_meta": {"order": "4711", "amount": 18.50}, "actor": sender(), "reason": null, "output": null,
            "seq": 18_190,
        },
        {
            "id": EVENT, "created": "2026-11-21T10:13:02.250114Z", "task_id": TASK, "state": "paid",
            "resolved": true, "editor_id": DESK, "assigned_id": null, "update_meta": null, "actor": decider(),
            "reason": "Arrived broken, with photographs", "output": {"amount": 18.50}, "guard": "allowed",
            "seq": 18_204,
        },
    ]})
}

pub(in crate::http) fn events() -> Value {
    let mut task = paid();
    if let Some(task) = task.as_object_mut() {
        // In the API's answers about a task alone.
        task.remove("allowed_transitions");
    }
    json!({
        "events": [{
            "type": "task.state_changed",
            "timestamp": "2026-11-21T10:13:02.250114Z",
            "data": {
                "event_id": EVENT, "seq": 18_204, "cursor": "AQAAAAAAAEcc", "task": task, "ttype": "refund",
                "previous_state": "asked", "actor": decider(), "reason": "Arrived broken, with photographs",
                "output": {"amount": 18.50}, "update_meta": null, "guard": "allowed",
            },
        }],
        "next_cursor": "AQAAAAAAAEcc",
    })
}
