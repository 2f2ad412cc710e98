//! What sending to each endpoint needs, prepared: its URL, its secrets in the open, its form.
//!
//! The dispatcher sends events by it; use cases that ask an application server something sign by it, too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use task_inbox_domain::schema::HookAuth;
use task_inbox_domain::webhook::format::Format;
use task_inbox_domain::webhook::signing::{self, HmacKey, Secret};
use task_inbox_domain::{Event, Timestamp};
use url::Url;
use uuid::Uuid;

use super::vault::Vault;
use crate::store::registry::{Endpoint, Origin, Registry};
use crate::store::secrets::{self, HEADERS, StoredSecret};
use crate::store::{Db, Result};

/// An endpoint, ready to be sent to.
pub(crate) struct Target {
    /// None: each event's task says where.
    url: Option<Url>,
    pub(crate) auth: HookAuth,
    pub(crate) format: Format,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) timeout: Option<Duration>,
    proof: Proof,
    /// Which receiver this is, of those that the endpoint has had.
    pub(crate) generation: i64,
    /// For callbacks, whether it stands for many hosts.
    pub(crate) callback_pattern: Option<bool>,
    /// Whether deliveries go out; of one that is paused or disabled, what is asked is signed all the same.
    sendable: bool,
    /// When the last of its secrets ends, if all of them do: from then on nothing can prove anything.
    end: Option<Timestamp>,
}

impl Target {
    fn has_key(&self) -> bool {
        self.end.is_none_or(|end| end > Timestamp::from(chrono::Utc::now()))
    }

    fn is_sendable(&self) -> bool {
        self.sendable && self.has_key()
    }

    /// The headers of a request: its own, what identifies and dates it, and what proves where it comes from.
    /// `id` has no dot (Standard Webhooks).
    pub(crate) fn headers(
        &self,
        id: &str,
        now: Timestamp,
        content_type: &'static str,
        body: &[u8],
    ) -> HeaderMap {
        let timestamp = now.as_secs();
        let mut headers = HeaderMap::with_capacity(6 + self.headers.len());
        // First, so that none of them takes the place of ours.
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        match &self.proof {
            Proof::Hmac(keys) => {
                let live = keys.iter().filter(|(_, end)| end.is_none_or(|end| end > now)).map(|(key, _)| key);
                insert(&mut headers, "webhook-signature", &signing::signatures(live, id, timestamp, body));
            }
            Proof::Head(name, value) => {
                headers.insert(name.clone(), value.clone());
            }
        }
        insert(&mut headers, "webhook-id", id);
        headers
    }

    /// Where everything is sent, if that is one place.
    pub(crate) fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// Where an event is sent.
    pub(crate) fn url_of(&self, event: &Event) -> Option<Cow<'_, Url>> {
        match &self.url {
            Some(url) => Some(Cow::Borrowed(url)),
            None => Url::parse(&event.task_facts().callback_url?).ok().map(Cow::Owned),
        }
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// How a webhook proves where it comes from.
enum Proof {
    /// A signature for each key; with the end of each, if it has one.
    Hmac(Vec<(HmacKey, Option<Timestamp>)>),
    /// A shared secret in a header.
    Head(HeaderName, HeaderValue),
}

/// The targets of one registry, under one master key ring.
#[derive(Default)]
struct Prepared {
    number: i64,
    ring: u64,
    targets: HashMap<Uuid, Arc<Target>>,
}

/// Targets by endpoint, made again when the registry or the ring changes.
#[derive(Default)]
pub struct Targets {
    prepared: RwLock<Prepared>,
    /// Many attempts may find the registry changed at once; one of them reads the secrets.
    refreshing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Targets").field("number", &self.read().number).finish_non_exhaustive()
    }
}

impl Targets {
    /// The target of an endpoint under this registry; `None` if it can't be sent to.
    pub(crate) async fn get(
        &self,
        db: &Db,
        vault: &Vault,
        registry: &Registry,
        endpoint: Uuid,
    ) -> Result<Option<Arc<Target>>> {
        Ok(self.signer(db, vault, registry, endpoint).await?.filter(|target| target.is_sendable()))
    }

    /// What signs with an endpoint's keys, whether or not deliveries go there now; `None` if it has no key.
    pub(crate) async fn signer(
        &self,
        db: &Db,
        vault: &Vault,
        registry: &Registry,
        endpoint: Uuid,
    ) -> Result<Option<Arc<Target>>> {
        self.refresh(db, vault, registry).await?;
        Ok(self.read().targets.get(&endpoint).filter(|target| target.has_key()).cloned())
    }

    /// The endpoints that have a target under this registry.
    pub(crate) async fn endpoints(&self, db: &Db, vault: &Vault, registry: &Registry) -> Result<Vec<Uuid>> {
        self.refresh(db, vault, registry).await?;
        let prepared = self.read();
        Ok(prepared.targets.iter().filter(|(_, target)| target.is_sendable()).map(|(id, _)| *id).collect())
    }

    async fn refresh(&self, db: &Db, vault: &Vault, registry: &Registry) -> Result<()> {
        if self.is_current(vault, registry) {
            return Ok(());
        }
        let _one = self.refreshing.lock().await;
        if !self.is_current(vault, registry) {
            // Before the secrets are opened: a ring that is replaced meanwhile makes them be opened again.
            let ring = vault.generation();
            let secrets = secrets::all(db).await?;
            let prepared = Prepared { ring, ..prepare(registry, vault, &secrets) };
            *self.prepared.write().unwrap_or_else(PoisonError::into_inner) = prepared;
        }
        Ok(())
    }

    fn is_current(&self, vault: &Vault, registry: &Registry) -> bool {
        let prepared = self.read();
        prepared.number >= registry.number && prepared.ring == vault.generation()
    }

    fn read(&self) -> RwLockReadGuard<'_, Prepared> {
        self.prepared.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prepare(registry: &Registry, vault: &Vault, secrets: &[StoredSecret]) -> Prepared {
    let mut by_endpoint: HashMap<Uuid, Vec<&StoredSecret>> = HashMap::new();
    for secret in secrets {
        by_endpoint.entry(secret.endpoint_id).or_default().push(secret);
    }
    let targets = registry
        .endpoints()
        .filter(|endpoint| endpoint.has_key)
        .filter_map(|endpoint| match target(endpoint, vault, by_endpoint.get(&endpoint.keys_of).map_or(&[], Vec::as_slice)) {
            Ok(target) => Some((endpoint.id, Arc::new(target))),
            Err(reason) => {
                tracing::error!(endpoint = %endpoint.id, schema = endpoint.schema, reason, "an endpoint can't be sent to");
                None
            }
        })
        .collect();
    Prepared { number: registry.number, ring: 0, targets }
}

fn target(
    endpoint: &Endpoint,
    vault: &Vault,
    secrets: &[&StoredSecret],
) -> std::result::Result<Target, String> {
    let kind = endpoint.hook.auth.kind();
    let (mut open, mut reason) = (Vec::new(), "it has no key".to_owned());
    for stored in secrets.iter().filter(|s| s.auth_kind == kind) {
        let opened =
            vault.open(stored.id, &stored.master_key_id, &stored.ciphertext).map_err(|e| e.to_string());
        let secret =
            opened.and_then(|text| Secret::parse(&endpoint.hook.auth, &text).map_err(|e| e.to_string()));
        match secret {
            Ok(secret) => open.push((secret, stored.expires)),
            // One that opens is enough for webhooks to go out.
            Err(error) => {
                tracing::error!(secret = %stored.id, schema = endpoint.schema, error, "a webhook key can't be used");
                reason = error;
            }
        }
    }
    let newest = open.first().ok_or(reason)?;
    // A header carries the newest; of signatures there is one for each.
    let used = if endpoint.hook.auth == HookAuth::Hmac { open.len() } else { 1 };
    let ends: Vec<_> = open.iter().take(used).map(|(_, end)| *end).collect();
    let end = if ends.contains(&None) { None } else { ends.into_iter().flatten().max() };
    let proof = match &endpoint.hook.auth {
        HookAuth::Hmac => Proof::Hmac(
            open.into_iter()
                .filter_map(|(secret, expires)| match secret {
                    Secret::Hmac(key) => Some((key, expires)),
                    Secret::Head(_) => None,
                })
                .collect(),
        ),
        HookAuth::Head { header } => {
            let mut value = HeaderValue::from_str(newest.0.expose()).map_err(|e| e.to_string())?;
            value.set_sensitive(true);
            Proof::Head(HeaderName::from_bytes(header.as_bytes()).map_err(|e| e.to_string())?, value)
        }
    };
    let headers = own_headers(endpoint, vault, secrets)?;
    let url = match endpoint.origin {
        Origin::Callback => None,
        _ => Some(Url::parse(&endpoint.hook.url).map_err(|e| e.to_string())?),
    };
    Ok(Target {
        url,
        auth: endpoint.hook.auth.clone(),
        format: endpoint.format,
        headers,
        timeout: endpoint.treatment.timeout,
        proof,
        generation: endpoint.generation,
        callback_pattern: endpoint.callback_pattern(),
        sendable: endpoint.is_sendable(),
        end,
    })
}

/// The headers that an endpoint wants on every attempt, opened.
fn own_headers(
    endpoint: &Endpoint,
    vault: &Vault,
    secrets: &[&StoredSecret],
) -> std::result::Result<Vec<(HeaderName, HeaderValue)>, String> {
    if endpoint.treatment.headers.is_empty() {
        return Ok(Vec::new());
    }
    let kept = secrets.iter().find(|s| s.auth_kind == HEADERS);
    let kept = kept.ok_or("the values of its headers are not there")?;
    let text = vault.open(kept.id, &kept.master_key_id, &kept.ciphertext).map_err(|e| e.to_string())?;
    let pairs: Vec<(String, String)> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let header = |(name, value): (String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?;
        let mut value = HeaderValue::from_str(&value).map_err(|e| e.to_string())?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    pairs.into_iter().map(header).collect()
}
