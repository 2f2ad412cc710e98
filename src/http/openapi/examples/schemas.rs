//! Schemas.

use serde_json::{Value, json};

use super::{ENDPOINT, URL, tasks};

pub(in crate::http) fn schema_file() -> Value {
    "name: shop\nsemver: '1.2'\ndefault_hook_url: https://shop.example/hooks/tasks\ntasktypes:\n- name: refund\n  \
     pending_states: [asked, checked]\n  resolved_states: [paid, refused]\n"
        .into()
}

pub(in crate::http) fn installation() -> Value {
    json!({
        "name": "shop", "semver": "1.2", "version": 3, "breaking": false,
        "changes": ["type refund: the state checked was added"],
        "warnings": ["webhooks to https://shop.example/hooks/tasks wait for a key; make one with \
                      `task-inbox webhook_key shop`"],
    })
}

fn one() -> Value {
    json!({
        "name": "shop", "semver": "1.2", "version": 3, "installed": "2026-11-21T10:00:30.000000Z",
        "description": "What a shop asks", "types": [tasks::ttype()],
        "endpoints": [{"id": ENDPOINT, "ttype": null, "url": URL, "status": "active", "held": null}],
    })
}

pub(in crate::http) fn schemas() -> Value {
    json!({ "schemas": [one()] })
}

pub(in crate::http) fn schema() -> Value {
    super::with(one(), &json!({ "source": schema_file() }))
}

pub(in crate::http) fn removal() -> Value {
    json!({"name": "shop", "versions": 3, "tasks": 1204, "deleted": true})
}
