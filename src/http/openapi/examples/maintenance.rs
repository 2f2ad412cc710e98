//! Maintenance.

use serde_json::{Value, json};

const MESSAGE: &str = "The shop moves to new servers until 14:00 UTC.";

pub(in crate::http) fn new_maintenance() -> Value {
    json!({"schema": "shop", "message": MESSAGE, "retry_after": "15m", "hold_deliveries": true})
}

pub(in crate::http) fn maintenance() -> Value {
    json!({
        "schema": "shop", "message": MESSAGE, "retry_after": "15m", "hold_deliveries": true,
        "since": "2026-11-21T13:00:00.000000Z", "by": "key:0199b8c4-0b52-7c11-a3e4-9f1d7c2b6a55",
    })
}

pub(in crate::http) fn maintenance_list() -> Value {
    json!({ "maintenance": [maintenance()] })
}
