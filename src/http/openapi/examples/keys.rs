//! Keys.

use serde_json::{Value, json};

use super::{ENDPOINT, URL, with};

pub(in crate::http) fn me() -> Value {
    json!({
        "kind": "key", "id": "0199b8c4-0b52-7c11-a3e4-9f1d7c2b6a55", "name": "shop",
        "schemas": ["shop"], "permissions": ["tasks:write", "tasks:read"], "version": "0.1.0",
    })
}

pub(in crate::http) fn realtime_token() -> Value {
    json!({
        "token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJzY29wZXMiOlsidGFzazpyZWFkIl19.c2lnbmF0dXJl",
        "expires_in": 900,
    })
}

pub(in crate::http) fn new_api_key() -> Value {
    json!({
        "name": "shop", "schemas": ["shop"], "permissions": ["tasks:write", "tasks:read"],
        "expires_in": "90d", "rate": "100/s",
    })
}

pub(in crate::http) fn api_key() -> Value {
    json!({
        "id": "0199b8c4-0b52-7c11-a3e4-9f1d7c2b6a55", "name": "shop", "hint": "ti_Q2hv…", "schemas": ["shop"],
        "permissions": ["tasks:write", "tasks:read"], "rate": "100/s", "created": "2026-11-21T10:00:00.000000Z",
        "expires": "2027-02-19T10:00:00.000000Z", "revoked": null, "last_used": "2026-11-21T10:04:07.312907Z",
    })
}

pub(in crate::http) fn created_api_key() -> Value {
    let more =
        json!({"last_used": null, "key": "ti_Q2hvb3NlLWEtcmFuZG9tLWtleS1hbmQta2VlcC1pdC4", "warnings": []});
    with(api_key(), &more)
}

pub(in crate::http) fn revoked_api_key() -> Value {
    with(api_key(), &json!({"revoked": "2026-11-21T11:30:00.000000Z"}))
}

pub(in crate::http) fn api_keys() -> Value {
    json!({ "api_keys": [api_key()] })
}

fn webhook_key() -> Value {
    json!({
        "id": "0199b8c5-2d60-7b0a-8f53-1c9be2a4d733", "endpoint_id": ENDPOINT, "schema": "shop", "type": null,
        "kind": "hmac", "url": URL, "created": "2026-11-21T10:01:00.000000Z", "expires": null,
        "unused": false,
    })
}

pub(in crate::http) fn created_webhook_key() -> Value {
    with(webhook_key(), &json!({"key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "warnings": []}))
}

pub(in crate::http) fn ended_webhook_key() -> Value {
    with(webhook_key(), &json!({"expires": "2026-11-21T11:30:00.000000Z"}))
}

pub(in crate::http) fn webhook_keys() -> Value {
    let former = json!({
        "id": "0199a0b1-77c0-7e19-90aa-5b3c21f0de48", "created": "2026-11-16T09:12:44.120931Z",
        "expires": "2026-11-22T10:01:00.000000Z",
    });
    json!({ "webhook_keys": [webhook_key(), with(webhook_key(), &former)] })
}

pub(in crate::http) fn rekeyed() -> Value {
    json!({"moved": 100, "remaining": 41, "master_key_id": "2026-11"})
}
