//! What a tool is called with, out of the text of the request.
//!
//! The SDK's own reading would round numbers that a double can't hold, and a person would decide about another number
//! than the agent sent. Here they are refused, as everywhere in the inbox.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use task_inbox_domain::Document;
use task_inbox_domain::schema::validate::{Problem, Validator};

use crate::app::AppError;

/// Arguments that match the tool's schema.
pub(super) struct Arguments(Document);

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Reads the arguments of a `tools/call`. A null is an argument that isn't there.
pub(super) fn read(body: &[u8], input: &Validator) -> Result<Arguments, AppError> {
    let message: Message<'_> = serde_json::from_slice(body).map_err(|e| unreadable(&e.to_string()))?;
    let given = Document::parse_object(message.params.arguments.map_or("{}", RawValue::get));
    let given = given.map_err(|e| unreadable(&e.to_string()))?;
    let mut members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(given.as_str()).map_err(|e| unreadable(&e.to_string()))?;
    members.retain(|_, value| value.get() != "null");
    let text = serde_json::to_string(&members).map_err(|e| AppError::Internal(e.to_string()))?;
    let document = Document::from_stored(text);
    match input.check("", Some(&document)) {
        none if none.is_empty() => Ok(Arguments(document)),
        problems => Err(AppError::problems("the arguments don't match the tool's inputSchema", problems)),
    }
}

fn unreadable(what: &str) -> AppError {
    let detail = format!("the arguments can't be taken as they are: {what}");
    AppError::Invalid { detail: detail.clone(), problems: vec![Problem::new("", detail)] }
}

impl Arguments {
    /// As a tool's own type.
    pub(super) fn as_type<T: DeserializeOwned>(&self) -> Result<T, AppError> {
        serde_json::from_str(self.0.as_str())
            .map_err(|e| AppError::Internal(format!("arguments that match the schema can't be read: {e}")))
    }
}
