//! The keys that webhooks are signed with or carry.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use task_inbox_domain::Timestamp;
use task_inbox_domain::schema::HookAuth;
use task_inbox_domain::webhook::signing::{HeadKey, HmacKey, Secret};
use uuid::Uuid;

use super::error::Result;
use super::patience::patiently;
use super::{App, AppError, Permission, Principal, content, endpoints, maintenance};
use crate::bus::Topic;
use crate::store::registry::{Endpoint, Origin, Registry};
use crate::store::secrets::{self, Added, MAX_SIDE_BY_SIDE, NewSecret, Replaces, StoredSecret};

/// How long a key goes on beside the one that replaces it, if nothing else is said.
pub const OVERLAP: Duration = Duration::from_hours(24);
/// The longest that it may.
const MAX_OVERLAP: Duration = Duration::from_hours(30 * 24);

/// How often a key is made again because its endpoint changed meanwhile.
const ATTEMPTS: usize = 5;

/// A webhook key to make.
#[derive(Clone, Debug, Default)]
pub struct NewWebhookKey {
    /// The schema.
    pub schema: String,
    /// The type whose own endpoint it is for; `None`: the schema's.
    pub ttype: Option<String>,
    /// The endpoint, in the place of a schema and a type.
    pub endpoint: Option<Uuid>,
    /// The key itself, if it is not to be made.
    pub key: Option<String>,
    /// Whether it takes the place of a key that is there.
    pub rotate: bool,
    /// How long that one goes on beside it; `None`: [`OVERLAP`].
    pub overlap: Option<Duration>,
}

/// A webhook key as lists show it.
#[derive(Clone, Debug)]
pub struct WebhookKeyInfo {
    /// Its id.
    pub id: Uuid,
    /// The endpoint that it belongs to.
    pub endpoint_id: Uuid,
    /// The endpoint's schema.
    pub schema: String,
    /// The type whose own endpoint it is; `None`: the schema's.
    pub ttype: Option<String>,
    /// `hmac` or `head`.
    pub kind: String,
    /// Where it goes.
    pub url: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if it was replaced.
    pub expires: Option<Timestamp>,
    /// Whether nothing goes out with it: its endpoint proves itself otherwise now.
    pub unused: bool,
}

impl WebhookKeyInfo {
    fn new(secret: StoredSecret, endpoint: &Endpoint) -> Self {
        Self {
            id: secret.id,
            endpoint_id: endpoint.id,
            schema: endpoint.schema.clone(),
            ttype: endpoint.ttype.clone(),
            unused: secret.auth_kind != endpoint.hook.auth.kind(),
            kind: secret.auth_kind,
            url: endpoint.hook.url.clone(),
            created: secret.created,
            expires: secret.expires,
        }
    }
}

/// A webhook key that was made or taken over. The only time that it is shown.
#[derive(Clone, Debug)]
pub struct CreatedWebhookKey {
    /// The key.
    pub key: String,
    /// What lists show of it.
    pub info: WebhookKeyInfo,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// Makes the key of a schema's endpoint, or of a type's own; or takes over one that is given.
///
/// An endpoint that has a key keeps it, unless `rotate` says that the new one takes its place.
/// Deliveries that waited for a key go out.
pub async fn create(app: &App, who: &Principal, new: NewWebhookKey) -> Result<CreatedWebhookKey> {
    who.may(Permission::KeysWrite)?;
    // A key that leaked is replaced whatever goes on; making the first one can wait.
    if !new.rotate {
        maintenance::admit(app, who)?;
    }
    check_overlap(&new)?;
    for _ in 0..ATTEMPTS {
        let registry = app.registry.refresh(&app.db).await?;
        let endpoint = match new.endpoint {
            Some(id) => by_id(&registry, who, id)?,
            None => endpoint(&registry, who, &new.schema, new.ttype.as_deref())?,
        };
        let (mut created, secret) = prepare(app, endpoint, &new)?;
        let kept = patiently(|| secrets::all(&app.db)).await?;
        if !app.vault.fits(&kept)? {
            return Err(AppError::conflict(format!(
                "no webhook key under the master key {0:?} opens with the one that is given by this name: give the \
                 server's TASK_INBOX_MASTER_KEY, or, where it is lost, a new one by another name, as {0}2:{{base64}}",
                secret.master_key_id
            )));
        }
        created.warnings.extend(going_on(&kept, endpoint, &secret));
        match patiently(|| secrets::add(&app.db, secret.clone())).await? {
            Added::Kept => {
                // The key is kept, and this is the only time that it is shown: a database that is gone now
                // must not hide it. Who has not heard of it looks within a second.
                if let Err(error) = announce(app).await {
                    tracing::warn!(%error, "a new webhook key could not be announced");
                }
                return Ok(created);
            }
            Added::HasKey => return Err(has_key(&new)),
            Added::Full { next_end } => return Err(full(next_end)),
            Added::Moved => {}
        }
    }
    Err(AppError::registry_keeps_moving())
}

/// The keys that have not ended, of the endpoints that the caller sees, newest first.
pub async fn list(app: &App, who: &Principal, schema: Option<&str>) -> Result<Vec<WebhookKeyInfo>> {
    who.may(Permission::KeysWrite)?;
    let (all, registry) = (secrets::all(&app.db).await?, app.registry.refresh(&app.db).await?);
    let keys = all.into_iter().filter(|secret| secret.auth_kind != secrets::HEADERS);
    let visible = keys.filter_map(|secret| {
        let endpoint = registry.endpoint(secret.endpoint_id).filter(|e| endpoints::sees(who, e))?;
        schema.is_none_or(|name| endpoint.schema == name).then(|| WebhookKeyInfo::new(secret, endpoint))
    });
    Ok(visible.collect())
}

/// Ends a key now: nothing is signed with it any more.
pub async fn remove(app: &App, who: &Principal, id: Uuid) -> Result<WebhookKeyInfo> {
    let not_found = || AppError::NotFound(format!("there is no webhook key {id}, or it has ended"));
    let info = list(app, who, None).await?.into_iter().find(|key| key.id == id).ok_or_else(not_found)?;
    if !patiently(|| secrets::remove(&app.db, id)).await? {
        return Err(not_found());
    }
    announce(app).await?;
    Ok(WebhookKeyInfo { expires: Some(App::now()), ..info })
}

/// Lets this process know at once, and tells the others.
async fn announce(app: &App) -> Result<()> {
    app.registry.refresh(&app.db).await?;
    app.bus.publish(Topic::Registry);
    app.bus.publish(Topic::Due);
    Ok(())
}

/// The key in the open, for whoever asked, and sealed, to be kept.
fn prepare(app: &App, endpoint: &Endpoint, new: &NewWebhookKey) -> Result<(CreatedWebhookKey, NewSecret)> {
    let auth = &endpoint.hook.auth;
    let secret = match &new.key {
        Some(text) => Secret::parse(auth, text).map_err(|e| AppError::invalid("/key", e.to_string()))?,
        None => generate(auth),
    };
    let (replaces, warnings) = replaces(auth, new);
    let (id, created) = (Uuid::now_v7(), App::now());
    let (master_key_id, ciphertext) = app.vault.seal(id, secret.expose())?;
    let kept = NewSecret {
        id,
        endpoint_id: endpoint.id,
        auth_kind: auth.kind(),
        master_key_id,
        ciphertext,
        created,
        replaces: new.rotate.then_some(replaces),
    };
    let info = WebhookKeyInfo {
        id,
        endpoint_id: endpoint.id,
        schema: endpoint.schema.clone(),
        ttype: endpoint.ttype.clone(),
        kind: auth.kind().to_owned(),
        url: endpoint.hook.url.clone(),
        created,
        expires: None,
        unused: false,
    };
    Ok((CreatedWebhookKey { key: secret.expose().to_owned(), info, warnings }, kept))
}

/// Whoever ends a key at once may not know that older ones still sign.
fn going_on(kept: &[StoredSecret], endpoint: &Endpoint, new: &NewSecret) -> Vec<String> {
    if new.replaces != Some(Replaces::Current(Duration::ZERO)) {
        return Vec::new();
    }
    let of_it = kept.iter().filter(|s| s.endpoint_id == endpoint.id && s.auth_kind == new.auth_kind);
    let ending = of_it.filter_map(|s| Some((s.id, s.expires?)));
    ending
        .map(|(id, until)| {
            format!(
                "the key {id}, which was replaced before, still signs until {until}; `task-inbox revoke_webhook_key \
                 {id}` ends it now"
            )
        })
        .collect()
}

fn check_overlap(new: &NewWebhookKey) -> Result<()> {
    match new.overlap {
        Some(_) if !new.rotate => Err(AppError::invalid(
            "/overlap",
            "overlap goes with rotate: without it, there is nothing to overlap with",
        )),
        Some(overlap) if overlap > MAX_OVERLAP => {
            Err(AppError::invalid("/overlap", "an overlap is at most 30d"))
        }
        _ => Ok(()),
    }
}

/// What becomes of the former keys. A header holds one key, so that one of two would be the wrong one for
/// a receiver that knows the other.
fn replaces(auth: &HookAuth, new: &NewWebhookKey) -> (Replaces, Vec<String>) {
    match auth {
        HookAuth::Hmac => (Replaces::Current(new.overlap.unwrap_or(OVERLAP)), Vec::new()),
        HookAuth::Head { header } => {
            let warning = new.overlap.filter(|overlap| !overlap.is_zero()).map(|_| {
                format!(
                    "the header {header} carries one key, so the former ended at once; overlap has no effect"
                )
            });
            (Replaces::All, warning.into_iter().collect())
        }
    }
}

fn full(next_end: Option<Timestamp>) -> AppError {
    let next = next_end.map_or_else(String::new, |end| format!("; the next of them ends at {end}"));
    AppError::conflict(format!(
        "{MAX_SIDE_BY_SIDE} keys sign this endpoint's webhooks already, the most that there may be{next}: rotate \
         then, or end one that no receiver needs any more (`task-inbox revoke_webhook_key`)"
    ))
}

fn has_key(new: &NewWebhookKey) -> AppError {
    let which = match (&new.endpoint, &new.ttype) {
        (Some(id), _) => id.to_string(),
        (None, Some(ttype)) => format!("of {} {ttype}", new.schema),
        (None, None) => format!("of {}", new.schema),
    };
    AppError::conflict(format!("the endpoint {which} has a key; `rotate` (`--rotate`) replaces it"))
}

/// The command that makes the key of an endpoint. Callbacks are signed with their schema's.
pub fn command(origin: Origin, id: &str, schema: &str, ttype: Option<&str>) -> String {
    match (origin, ttype) {
        (Origin::Registered, _) => format!("task-inbox webhook_key --endpoint {id}"),
        (_, Some(ttype)) => format!("task-inbox webhook_key {schema} --type {ttype}"),
        (_, None) => format!("task-inbox webhook_key {schema}"),
    }
}

/// The command that makes this endpoint's key.
pub(super) fn command_of(endpoint: &Endpoint) -> String {
    let Endpoint { origin, id, schema, ttype, .. } = endpoint;
    command(*origin, &id.to_string(), schema, ttype.as_deref())
}

/// A new key.
pub(super) fn generate(auth: &HookAuth) -> Secret {
    let bytes: [u8; 32] = rand::random();
    match auth {
        HookAuth::Hmac => Secret::Hmac(HmacKey::from_bytes(&bytes).expect("32 bytes are a key")),
        HookAuth::Head { .. } => {
            let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            Secret::Head(HeadKey::parse(&text).expect("base64 is visible ASCII"))
        }
    }
}

/// The endpoint with an id. One whose keys are another's, as a callback's are, is told which.
fn by_id<'a>(registry: &'a Registry, who: &Principal, id: Uuid) -> Result<&'a Endpoint> {
    let endpoint = registry.endpoint(id).filter(|e| endpoints::sees(who, e));
    let endpoint = endpoint.ok_or_else(|| AppError::NotFound(format!("there is no endpoint {id}")))?;
    if endpoint.keys_of != id {
        return Err(AppError::conflict(format!(
            "callbacks are signed with the key of their schema: make that with `{}`",
            command_of(endpoint)
        )));
    }
    Ok(endpoint)
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
    registry.key_bearer(schema, ttype).map(AsRef::as_ref).ok_or_else(|| {
        AppError::NotFound(match ttype {
            Some(name) => format!(
                "type {name} of {schema} has no hook_url of its own; its events go to the schema's endpoint, \
                 so leave out the type"
            ),
            None => format!("schema {schema} has neither a default_hook_url nor callback_hosts, so there is nothing to sign for"),
        })
    })
}
