//! The keys that webhooks are signed with or carry.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use task_inbox_domain::schema::HookAuth;
use task_inbox_domain::webhook::signing::{HeadKey, HmacKey, Secret};
use uuid::Uuid;

use super::error::Result;
use super::patience::patiently;
use super::{App, AppError, Permission, Principal, content};
use crate::bus::Topic;
use crate::store::registry::{Endpoint, Registry};
use crate::store::secrets::{self, NewSecret};

/// A webhook key that was made or taken over. The only time that it is shown.
#[derive(Clone, Debug)]
pub struct CreatedWebhookKey {
    /// Its id.
    pub id: Uuid,
    /// The key.
    pub key: String,
    /// `hmac` or `head`.
    pub kind: &'static str,
    /// Where it goes.
    pub url: String,
}

/// Makes the key of a schema's endpoint, or of a type's own; or takes over one that is given.
///
/// An endpoint that has a key keeps it, unless `rotate` says that the new one replaces it.
/// Deliveries that waited for a key go out.
pub async fn create(
    app: &App,
    who: &Principal,
    schema: &str,
    ttype: Option<&str>,
    given: Option<String>,
    rotate: bool,
) -> Result<CreatedWebhookKey> {
    who.may(Permission::KeysWrite)?;
    let registry = app.registry.refresh(&app.db).await?;
    let endpoint = endpoint(&registry, who, schema, ttype)?;
    if endpoint.has_key && !rotate {
        return Err(AppError::conflict(format!(
            "the endpoint of {} has a key; `--rotate` replaces it",
            ttype.map_or_else(|| schema.to_owned(), |t| format!("{schema} {t}"))
        )));
    }
    let auth = &endpoint.hook.auth;
    let secret = match given {
        Some(text) => Secret::parse(auth, &text).map_err(|e| AppError::invalid("/key", e.to_string()))?,
        None => generate(auth),
    };
    let id = Uuid::now_v7();
    let (master_key_id, ciphertext) = app.vault.seal(id, secret.expose())?;
    let kind = match auth {
        HookAuth::Hmac => "hmac",
        HookAuth::Head { .. } => "head",
    };
    let new = NewSecret {
        id,
        endpoint_id: endpoint.id,
        auth_kind: kind,
        master_key_id,
        ciphertext,
        created: App::now(),
        replaces: rotate,
    };
    patiently(|| secrets::add(&app.db, new.clone())).await?;
    app.registry.refresh(&app.db).await?;
    app.bus.publish(Topic::Registry);
    app.bus.publish(Topic::Due);
    Ok(CreatedWebhookKey { id, key: secret.expose().to_owned(), kind, url: endpoint.hook.url.clone() })
}

fn generate(auth: &HookAuth) -> Secret {
    let bytes: [u8; 32] = rand::random();
    match auth {
        HookAuth::Hmac => Secret::Hmac(HmacKey::from_bytes(&bytes).expect("32 bytes are a key")),
        HookAuth::Head { .. } => {
            let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            Secret::Head(HeadKey::parse(&text).expect("base64 is visible ASCII"))
        }
    }
}

fn endpoint<'a>(
    registry: &'a Registry,
    who: &Principal,
    schema: &str,
    ttype: Option<&str>,
) -> Result<&'a Endpoint> {
    let Some(latest) = registry.latest(schema).filter(|_| who.sees(schema)) else {
        return Err(AppError::NotFound(content::no_such_schema(registry, who, schema)));
    };
    if let Some(name) = ttype.filter(|name| latest.schema.task_type(name).is_none()) {
        return Err(AppError::NotFound(content::no_such_type(registry, who, schema, name)));
    }
    registry.endpoint_of(schema, ttype).map(AsRef::as_ref).ok_or_else(|| {
        AppError::NotFound(match ttype {
            Some(name) => format!(
                "type {name} of {schema} has no hook_url of its own; its events go to the schema's endpoint, \
                 so leave out the type"
            ),
            None => format!("schema {schema} has no default_hook_url, so there is nothing to sign for"),
        })
    })
}
