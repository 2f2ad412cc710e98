//! What is asked about endpoints, and said of them.

use std::time::Duration;

use axum::http::Uri;
use task_inbox_domain::schema::parse::nearest;
use task_inbox_domain::webhook::format::Format;
use task_inbox_domain::webhook::url::MAX_URL;
use task_inbox_domain::{EventType, Rate};

use super::{ANY, MAX_NAME};
use crate::app::duration;
use crate::app::endpoints::{EndpointChange, MAX_CONCURRENCY};
use crate::http::fields::Fields;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::store::endpoints::EndpointFilter;
use crate::store::registry::{EndpointStatus, Origin};

/// Which endpoints.
pub(in crate::http::v1) fn endpoint_list(uri: &Uri) -> Result<EndpointFilter, Problem> {
    let query = Parameters::parse(uri.query(), &["schema", "status", "origin"])?;
    Ok(EndpointFilter {
        id: None,
        schema: query.text("schema")?.map(str::to_owned),
        status: query.read(
            "status",
            &one_of(&EndpointStatus::ALL.map(EndpointStatus::as_str)),
            EndpointStatus::parse,
        )?,
        origin: query.read("origin", &one_of(&Origin::ALL.map(Origin::as_str)), Origin::parse)?,
    })
}

fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// The endpoint to register, and the key to take over.
pub(in crate::http::v1) fn new_endpoint(body: &[u8]) -> Result<(EndpointChange, Option<String>), Problem> {
    let mut fields = Fields::parse(body)?;
    let url = Some(fields.required("url", MAX_URL)).filter(|url| !url.is_empty());
    let change = EndpointChange { url, ..change(&mut fields) };
    let key = fields.name("key", ANY);
    fields.finish()?;
    Ok((change, key))
}

/// What to change of an endpoint: what is absent stays, and null takes back what was said.
pub(in crate::http::v1) fn endpoint_change(body: &[u8]) -> Result<EndpointChange, Problem> {
    let mut fields = Fields::parse(body)?;
    let url = match fields.change("url", |fields, name| fields.name(name, MAX_URL)) {
        Some(None) => {
            fields.refuse("url", "can't be taken back; leave it out, or delete the endpoint");
            None
        }
        url => url.flatten(),
    };
    let change = EndpointChange { url, ..change(&mut fields) };
    fields.finish()?;
    Ok(change)
}

/// All but the URL.
fn change(fields: &mut Fields<'_>) -> EndpointChange {
    EndpointChange {
        url: None,
        format: fields.change("format", format).map(Option::unwrap_or_default),
        schemas: fields.change("schemas", names),
        task_types: fields.change("task_types", names),
        event_types: fields.change("event_types", event_types),
        states: fields.change("states", names),
        headers: fields.change("headers", |fields, name| fields.texts(name, ANY)),
        rate: fields.change("rate", |fields, name| fields.parsed(name, Rate::parse)),
        concurrency: fields.change("concurrency", |fields, name| {
            fields.integer(name, 1..=i64::from(MAX_CONCURRENCY)).map(|most| most as u32)
        }),
        timeout: fields.change("timeout", span),
        description: fields.change("description", |fields, name| fields.text(name, ANY)),
    }
}

fn names(fields: &mut Fields<'_>, name: &str) -> Option<Vec<String>> {
    fields.names(name, MAX_NAME)
}

fn span(fields: &mut Fields<'_>, name: &str) -> Option<Duration> {
    fields.parsed(name, duration::parse)
}

fn format(fields: &mut Fields<'_>, name: &str) -> Option<Format> {
    fields.parsed(name, |text| {
        let known = Format::ALL.map(Format::as_str);
        Format::parse(text).ok_or_else(|| format!("is none of {}{}", known.join(", "), nearest(text, &known)))
    })
}

fn event_types(fields: &mut Fields<'_>, name: &str) -> Option<Vec<EventType>> {
    let names = fields.names(name, MAX_NAME)?;
    let known = EventType::ALL.map(EventType::as_str);
    let mut kinds = Vec::with_capacity(names.len());
    for (i, text) in names.iter().enumerate() {
        if let Some(kind) = EventType::parse(text) {
            kinds.push(kind);
            continue;
        }
        let hint = nearest(text, &known);
        let all = if hint.is_empty() { format!("; there is {}", known.join(", ")) } else { hint };
        fields.refuse(&format!("{name}/{i}"), format!("is no event{all}"));
    }
    Some(kinds)
}

/// Why an endpoint is paused; a body is not needed.
pub(in crate::http::v1) fn pause(body: &[u8]) -> Result<Option<String>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut fields = Fields::parse(body)?;
    let message = fields.name("message", ANY);
    fields.finish()?;
    Ok(message)
}
