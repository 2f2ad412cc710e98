//! Webhook keys: made, rotated, listed, ended, moved to another master key.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{requests, responses};
use crate::app::{rekey, webhook_keys};
use crate::http::Http;
use crate::http::call::Call;
use crate::http::caller::{Anytime, Caller};
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// Make or rotate a webhook key
///
/// Needs `keys:write`. The key of a schema's endpoint, of a type's own, or of a registered one: `hmac` keys sign
/// webhooks (Standard Webhooks), `head` keys are sent along in a header. The answer is the only time that the
/// key is shown. Deliveries that waited for a key go out.
///
/// With `rotate`, the new key takes the place of the one there is, which goes on for `overlap` (24 h
/// by default, at most 30 days, `0s` ends it at once): until then both sign, so that a receiver can
/// change over in between. Keys that were replaced before keep the end that they were given: of an
/// endpoint's keys up to five sign side by side, and a rotation beyond that is refused. A `head` endpoint
/// sends one header, so its former key ends at once.
#[utoipa::path(
    post, path = "/api/v1/webhook-keys", tag = "keys", operation_id = "createWebhookKey",
    request_body(content = models::NewWebhookKey, description = "For which endpoint", examples(
        ("first" = (summary = "The first key of a schema", value = json!({"schema": "ti:sample"}))),
        ("rotation" = (summary = "A new key beside the old one, which ends in an hour",
            value = json!({"schema": "shop", "type": "refund", "rotate": true, "overlap": "1h"}))),
        ("registered" = (summary = "A new key of a registered endpoint", value = json!({
            "endpoint": "0199b8e0-4410-7c2b-b7f9-0d52c6a1e93f", "rotate": true
        }))),
    )),
    responses(
        (status = 201, body = models::CreatedWebhookKey, description = "The key was made",
            example = json!(examples::created_webhook_key())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "The endpoint has a key, and `rotate` was not said; or it has five, and the detail says when the next ends"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn create(
    State(http): State<Http>,
    Anytime(who): Anytime,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let new = requests::keys::new_webhook_key(&call.body)?;
    responses::keys::created_webhook_key(&webhook_keys::create(&http.app, &who, new).await?)
}

/// List webhook keys, newest first
///
/// Needs `keys:write`. Keys that have ended are gone.
#[utoipa::path(
    get, path = "/api/v1/webhook-keys", tag = "keys", operation_id = "listWebhookKeys",
    params(("schema" = Option<String>, Query, description = "Only keys of this schema", min_length = 1, max_length = 1024, example = "ti:sample")),
    responses(
        (status = 200, body = models::WebhookKeyList, description = "The keys, without their secrets",
            example = json!(examples::webhook_keys())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let schema = requests::keys::webhook_key_list(&uri)?;
    responses::keys::webhook_key_list(&webhook_keys::list(&http.app, &who, schema.as_deref()).await?)
}

/// End a webhook key
///
/// Needs `keys:write`. Nothing is signed with it any more: on this server at once, on every replica
/// within a second. Without another key, the endpoint's deliveries wait.
#[utoipa::path(
    delete, path = "/api/v1/webhook-keys/{id}", tag = "keys", operation_id = "deleteWebhookKey",
    params(("id" = uuid::Uuid, Path, description = "The key's id")),
    responses(
        (status = 200, body = models::WebhookKey, description = "The key, which has ended",
            example = json!(examples::ended_webhook_key())),
        problems::Unkeyed, problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn remove(
    State(http): State<Http>,
    Anytime(who): Anytime,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    let id = requests::id(&id, "webhook key")?;
    responses::keys::webhook_key(&webhook_keys::remove(&http.app, &who, id).await?)
}

/// Encrypt webhook keys under the first master key
///
/// Needs `keys:write` for all schemas. Webhook keys are kept encrypted under a master key. To change
/// it: put the new one before the old one in the ring of every server, call this until `remaining`
/// is 0, and take the old one out. Each call moves up to `limit` keys; deliveries go on meanwhile.
#[utoipa::path(
    post, path = "/api/v1/webhook-keys/rekey", tag = "keys", operation_id = "rekeyWebhookKeys",
    request_body(content = Option<models::Rekey>, description = "How many; not needed", examples(
        ("some" = (summary = "At most 100 of them", value = json!({"limit": 100}))),
    )),
    responses(
        (status = 200, body = models::Rekeyed, description = "How far it has come",
            example = json!(examples::rekeyed())),
        (status = 409, body = models::Problem, content_type = "application/problem+json",
            description = "What remains is encrypted under a master key that this server lacks"),
        problems::Authenticated, problems::WithBody,
    )
)]
pub(in crate::http) async fn rekey(
    State(http): State<Http>,
    Caller(who): Caller,
    call: Call,
) -> Result<Response, Problem> {
    requests::no_parameters(&call.uri)?;
    let limit = requests::keys::rekey(&call.body)?;
    responses::keys::rekeyed(&rekey::step(&http.app, &who, limit).await?)
}
