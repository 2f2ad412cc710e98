//! The log.

use serde_json::{Value, json};

const HASH: &str = "5d1c7f0b8f6e1a9c3bb2a4d7e6f5049182736455aa9b8c7d6e5f40312213a4b5";
const FURTHER: &str = "b5a41322130f5e6d7c8b9aaa554637281940f5e6d7a4b2bb3c9a1e6f8b0f7c1d";

pub(in crate::http) fn log_head() -> Value {
    json!({"seq": 18_204, "hash": HASH, "floor": 0, "checkpoints": 3})
}

pub(in crate::http) fn checkpoint() -> Value {
    json!({
        "seq": 17_950, "hash": HASH, "created": "2026-11-21T06:00:00.000000Z",
        "signature": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
    })
}

pub(in crate::http) fn checkpoints() -> Value {
    json!({ "checkpoints": [checkpoint()] })
}

pub(in crate::http) fn verify_first() -> Value {
    json!({ "from": checkpoint() })
}

pub(in crate::http) fn verify_next() -> Value {
    json!({ "from": checkpoint(), "after": {"seq": 100_012, "hash": FURTHER}, "limit": 100_000 })
}

pub(in crate::http) fn verified() -> Value {
    json!({
        "ok": true, "events": 18_204, "first_bad": null, "proved_from": 17_950, "erased": 2, "detail": null,
        "next": null, "head": 18_204,
    })
}

pub(in crate::http) fn verified_in_part() -> Value {
    json!({
        "ok": true, "events": 100_012, "first_bad": null, "proved_from": 17_950, "erased": 2, "detail": null,
        "next": {"seq": 100_012, "hash": FURTHER}, "head": 240_110,
    })
}

pub(in crate::http) fn verified_altered() -> Value {
    json!({
        "ok": false, "events": 311, "first_bad": 312, "proved_from": null, "erased": 0,
        "detail": "the text of event 312 is not what was written", "next": null, "head": 18_204,
    })
}
