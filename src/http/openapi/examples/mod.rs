//! Bodies as they really are, for the description: one shop, one order, from the key that posts it
//! to the webhook that arrives.
//!
//! The API's tests check each of them against the schema it stands beside.

mod deliveries;
mod keys;
mod log;

pub(in crate::http) use deliveries::*;
pub(in crate::http) use keys::*;
pub(in crate::http) use log::*;

const ENDPOINT: &str = "0199b8c4-51d1-7a32-9d0f-2f6f1c5b7a10";
const TASK: &str = "0199b8c9-7c44-7d51-8a76-3e0b1f7f4c21";
const EVENT: &str = "0199b8d0-19ab-7f0e-b7c5-6d1f50b3c9e4";
const URL: &str = "https://shop.example/hooks/tasks";
