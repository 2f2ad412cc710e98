//! Bodies as they really are, for the description: one shop, one order, from the key that posts it
//! to the webhook that arrives.
//!
//! The API's tests check each of them against the schema it stands beside.

mod deliveries;
mod endpoints;
mod keys;
mod log;
mod maintenance;
mod schemas;
mod tasks;

pub(in crate::http) use deliveries::*;
pub(in crate::http) use endpoints::*;
pub(in crate::http) use keys::*;
pub(in crate::http) use log::*;
pub(in crate::http) use maintenance::*;
pub(in crate::http) use schemas::*;
pub(in crate::http) use tasks::*;

use serde_json::Value;

const ENDPOINT: &str = "0199b8c4-51d1-7a32-9d0f-2f6f1c5b7a10";
const TASK: &str = "0199b8c9-7c44-7d51-8a76-3e0b1f7f4c21";
const TTYPE: &str = "0199b8c4-51d1-7a32-9d0f-2f6f1c5b7a0e";
const EVENT: &str = "0199b8d0-19ab-7f0e-b7c5-6d1f50b3c9e4";
const URL: &str = "https://shop.example/hooks/tasks";

/// An object with more members, or other ones.
fn with(mut value: Value, more: &Value) -> Value {
    if let (Some(object), Some(more)) = (value.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
    value
}
