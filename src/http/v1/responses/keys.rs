//! Answers about keys.

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use task_inbox_domain::Timestamp;
use task_inbox_domain::actor::ActorKind;
use uuid::Uuid;

use crate::app::Principal;
use crate::app::keys::{CreatedKey, KeyInfo};
use crate::app::rekey::Rekeyed;
use crate::app::webhook_keys::{CreatedWebhookKey, WebhookKeyInfo};
use crate::http::answer;
use crate::http::problem::Problem;

#[derive(Serialize)]
struct Me<'a> {
    kind: ActorKind,
    id: Option<Uuid>,
    name: Option<&'a str>,
    schemas: Option<&'a [String]>,
    permissions: Vec<&'static str>,
    version: &'static str,
}

/// Whose credential it is.
pub(in crate::http::v1) fn me(who: &Principal) -> Result<Response, Problem> {
    let me = Me {
        kind: who.actor.kind,
        id: who.actor.id,
        name: who.actor.name.as_deref(),
        schemas: who.schemas.as_deref(),
        permissions: who.permissions.iter().map(|p| p.as_str()).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    answer::json(StatusCode::OK, &me)
}

#[derive(Serialize)]
struct ApiKey<'a> {
    id: Uuid,
    name: &'a str,
    hint: &'a str,
    schemas: Option<&'a [String]>,
    permissions: &'a [String],
    rate: Option<&'a str>,
    created: Timestamp,
    expires: Option<Timestamp>,
    revoked: Option<Timestamp>,
    last_used: Option<Timestamp>,
    /// Both in the answer to making it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<&'a [String]>,
}

impl<'a> ApiKey<'a> {
    fn of(info: &'a KeyInfo) -> Self {
        Self {
            id: info.id,
            name: &info.name,
            hint: &info.hint,
            schemas: info.schemas.as_deref(),
            permissions: &info.permissions,
            rate: info.rate.as_deref(),
            created: info.created,
            expires: info.expires,
            revoked: info.revoked,
            last_used: info.last_used,
            key: None,
            warnings: None,
        }
    }
}

/// A key that was made: the one time that it is shown.
pub(in crate::http::v1) fn created_api_key(made: &CreatedKey) -> Result<Response, Problem> {
    let body = ApiKey { key: Some(&made.key), warnings: Some(&made.warnings), ..ApiKey::of(&made.info) };
    let mut response = answer::json(StatusCode::CREATED, &body)?;
    answer::set(&mut response, header::LOCATION, &format!("/api/v1/api-keys/{}", made.info.id));
    Ok(response)
}

/// One key.
pub(in crate::http::v1) fn api_key(info: &KeyInfo) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &ApiKey::of(info))
}

/// The keys that a caller sees.
pub(in crate::http::v1) fn api_key_list(keys: &[KeyInfo]) -> Result<Response, Problem> {
    let keys: Vec<_> = keys.iter().map(ApiKey::of).collect();
    answer::json(StatusCode::OK, &json!({ "api_keys": keys }))
}

#[derive(Serialize)]
struct WebhookKey<'a> {
    id: Uuid,
    endpoint_id: Uuid,
    schema: Option<&'a str>,
    r#type: Option<&'a str>,
    kind: &'a str,
    url: &'a str,
    created: Timestamp,
    expires: Option<Timestamp>,
    unused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<&'a [String]>,
}

impl<'a> WebhookKey<'a> {
    fn of(info: &'a WebhookKeyInfo) -> Self {
        Self {
            id: info.id,
            endpoint_id: info.endpoint_id,
            schema: Some(info.schema.as_str()).filter(|name| !name.is_empty()),
            r#type: info.ttype.as_deref(),
            kind: &info.kind,
            url: &info.url,
            created: info.created,
            expires: info.expires,
            unused: info.unused,
            key: None,
            warnings: None,
        }
    }
}

/// A webhook key that was made: the one time that it is shown.
pub(in crate::http::v1) fn created_webhook_key(made: &CreatedWebhookKey) -> Result<Response, Problem> {
    let body =
        WebhookKey { key: Some(&made.key), warnings: Some(&made.warnings), ..WebhookKey::of(&made.info) };
    answer::json(StatusCode::CREATED, &body)
}

/// One webhook key.
pub(in crate::http::v1) fn webhook_key(info: &WebhookKeyInfo) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &WebhookKey::of(info))
}

/// The webhook keys that a caller sees.
pub(in crate::http::v1) fn webhook_key_list(keys: &[WebhookKeyInfo]) -> Result<Response, Problem> {
    let keys: Vec<_> = keys.iter().map(WebhookKey::of).collect();
    answer::json(StatusCode::OK, &json!({ "webhook_keys": keys }))
}

/// How far the move to the first master key has come.
pub(in crate::http::v1) fn rekeyed(done: &Rekeyed) -> Result<Response, Problem> {
    let Rekeyed { moved, remaining, master_key_id } = done;
    let body = json!({ "moved": moved, "remaining": remaining, "master_key_id": master_key_id });
    answer::json(StatusCode::OK, &body)
}
