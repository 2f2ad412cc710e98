//! Having the last word on a decision: what the application answers when its guard is asked.
//!
//! A question comes once, so that there is nothing to deduplicate, and nothing of it is kept. It is told
//! from a webhook by its type.

use serde_json::{Value, json};

/// The answer to a question and why it is so, if this is one: no more is given back than was paid.
pub(crate) fn answer(document: &Value) -> Option<Value> {
    if document["type"] != "task.guard" {
        return None;
    }
    let cents = |of: &Value| of["cents"].as_i64().unwrap_or_default();
    let data = &document["data"];
    let (paid, given) = (cents(&data["task"]["meta"]), cents(&data["output"]));
    Some(if given <= paid {
        json!({"allow": true})
    } else {
        json!({"allow": false, "reason": format!("only {paid} cents were paid")})
    })
}
