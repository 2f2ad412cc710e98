//! API keys: made, listed, revoked, and checked on every request.
//!
//! A key is 32 random bytes that are shown once; what is stored is its SHA-256, which is enough
//! for a secret that nobody can guess.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use task_inbox_domain::Timestamp;
use task_inbox_domain::log::Hash;
use task_inbox_domain::schema::parse::{NAME_RULE, is_name};
use uuid::Uuid;

use super::error::Result;
use super::patience::patiently;
use super::rate::Rate;
use super::{App, AppError, Permission, Principal, listening};
use crate::bus::Topic;
use crate::store::StoreError;
use crate::store::keys::{self as stored, StoredKey};

/// What a key that was made here begins with.
const PREFIX: &str = "ti_";
/// The fewest characters of a key that is given: the original's keys may be this short.
const MIN_GIVEN: usize = 8;
/// Below this many characters a given key is kept with a warning.
const WEAK: usize = 16;
/// The most characters of a key that is given.
const MAX_GIVEN: usize = 512;
/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// Most characters of the hint that tells keys apart.
const HINT: usize = 6;

/// A key to make.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// What it is called, in lists and in the log.
    pub name: String,
    /// The schemas it sees; `None`: all.
    pub schemas: Option<Vec<String>>,
    /// What it may do; `None`: [`Permission::DEFAULT`].
    pub permissions: Option<Vec<Permission>>,
    /// How long it works; `None`: until it is revoked.
    pub expires: Option<Duration>,
    /// How many requests it may make; `None`: any number.
    pub rate: Option<Rate>,
    /// The key itself, if it is not to be made.
    pub key: Option<String>,
}

/// A key as lists show it.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its first characters.
    pub hint: String,
    /// The schemas it sees; `None`: all.
    pub schemas: Option<Vec<String>>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// How many requests it may make.
    pub rate: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// When it was last used, within a few seconds.
    pub last_used: Option<Timestamp>,
}

/// A key that was made. The only time that it is shown.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// The key.
    pub key: String,
    /// What lists show of it.
    pub info: KeyInfo,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

impl CreatedKey {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.info.id
    }
}

impl From<StoredKey> for KeyInfo {
    fn from(key: StoredKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            hint: key.hint,
            schemas: key.schemas,
            permissions: key.permissions,
            rate: key.rate,
            created: key.created,
            expires: key.expires,
            revoked: key.revoked,
            last_used: key.last_used,
        }
    }
}

/// The longest that a key may be made to last: what the API's description lets be written, which every clock
/// can tell.
const MAX_EXPIRES: Duration = Duration::from_hours(99_999 * 24);

/// Makes a key.
pub async fn create(app: &App, who: &Principal, new: NewKey) -> Result<CreatedKey> {
    who.may(Permission::KeysWrite)?;
    let name = check_name(&new.name)?;
    let permissions = new.permissions.clone().unwrap_or_else(|| Permission::DEFAULT.to_vec());
    check_not_more_than(who, &permissions, new.schemas.as_deref())?;
    // One list has one form: by it a schema's removal knows the keys that see that schema alone.
    let schemas = new.schemas.map(|names| names.into_iter().collect::<BTreeSet<_>>().into_iter().collect());
    let mut warnings = unknown_schemas(app, schemas.as_deref());
    let key = match new.key {
        Some(key) => {
            warnings.extend(check_given(&key)?);
            key
        }
        None => format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())),
    };
    if new.expires.is_some_and(|after| after.is_zero() || after > MAX_EXPIRES) {
        return Err(AppError::invalid(
            "/expires_in",
            "expires_in must be longer than nothing and at most 99999d",
        ));
    }
    let now = App::now();
    let (expires, rate) = limits(who, new.expires.map(|after| now.plus(after)), new.rate)?;
    let row = StoredKey {
        id: Uuid::now_v7(),
        name,
        hash: hash(&key),
        hint: hint(&key),
        schemas,
        permissions: permissions.iter().map(ToString::to_string).collect(),
        rate: rate.map(|rate| rate.to_string()),
        created: now,
        created_by: who.actor.pseudonym(),
        expires,
        revoked: None,
        last_used: None,
    };
    patiently(|| stored::insert(&app.db, &row)).await.map_err(|error| match error {
        StoreError::Data(_) => AppError::conflict("this key exists already; give another one, or none"),
        other => other.into(),
    })?;
    app.bus.publish(Topic::Keys);
    Ok(CreatedKey { key, info: row.into(), warnings })
}

/// Every key that sees no more than the caller does, the newest last.
pub async fn list(app: &App, who: &Principal) -> Result<Vec<KeyInfo>> {
    who.may(Permission::KeysWrite)?;
    let (_, keys) = stored::all(&app.db).await?;
    let visible = keys.into_iter().filter(|key| who.sees_whatever(key.schemas.as_deref()));
    Ok(visible.map(KeyInfo::from).collect())
}

/// One key.
pub async fn get(app: &App, who: &Principal, id: Uuid) -> Result<KeyInfo> {
    who.may(Permission::KeysWrite)?;
    let key = stored::get(&app.db, id).await?;
    key.filter(|key| who.sees_whatever(key.schemas.as_deref()))
        .map(KeyInfo::from)
        .ok_or_else(|| no_such_key(id))
}

/// Ends a key; whoever uses it is refused from now on. Revoking twice changes nothing.
pub async fn revoke(app: &App, who: &Principal, id: Uuid) -> Result<KeyInfo> {
    get(app, who, id).await?;
    let now = App::now();
    let key = patiently(|| stored::revoke(&app.db, id, now)).await?.ok_or_else(|| no_such_key(id))?;
    // Here at once; elsewhere within the watcher's half second.
    app.keys.refresh(&app.db).await?;
    listening::revoke(app);
    app.bus.publish(Topic::Keys);
    Ok(key.into())
}

fn no_such_key(id: Uuid) -> AppError {
    AppError::NotFound(format!("there is no API key {id}; `task-inbox api_keys` lists them"))
}

/// Whose key this is.
///
/// # Errors
///
/// [`AppError::Forbidden`] for a key that is unknown, revoked or expired; with no key on the
/// server at all, it names the command that makes one. [`AppError::TooManyRequests`] over its rate.
pub async fn authenticate(app: &App, presented: &str) -> Result<Principal> {
    app.keys.authenticate(&app.db, &hash(presented), App::now()).await
}

/// The caller of a request that lasts, as it may do now.
///
/// # Errors
///
/// Its key was revoked, or has expired.
pub fn again(app: &App, who: &Principal) -> Result<Principal> {
    app.keys.again(who, App::now())
}

fn hash(key: &str) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

/// The first characters, and never more of a short key than a third.
fn hint(key: &str) -> String {
    format!("{}…", key.chars().take(HINT.min(key.len() / 3)).collect::<String>())
}

fn check_name(name: &str) -> Result<String> {
    let name = name.trim();
    let length = name.chars().count();
    if (1..=MAX_NAME).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(AppError::invalid(
        "/name",
        format!("a key's name is 1 to {MAX_NAME} characters, without control characters"),
    ))
}

/// A key can't be used to make a more powerful one.
fn check_not_more_than(
    who: &Principal,
    permissions: &[Permission],
    schemas: Option<&[String]>,
) -> Result<()> {
    if permissions.is_empty() {
        return Err(AppError::invalid("/permissions", "a key needs at least one permission"));
    }
    for permission in permissions {
        who.may(*permission)?;
    }
    if schemas.is_some_and(<[_]>::is_empty) {
        return Err(AppError::invalid("/schemas", "name at least one schema, or leave it out for all"));
    }
    if let Some((i, name)) = schemas.unwrap_or_default().iter().enumerate().find(|(_, s)| !is_name(s)) {
        let shown: String = name.chars().take(64).collect();
        return Err(AppError::invalid(
            &format!("/schemas/{i}"),
            format!("{shown:?} can't be a schema's name, which is {NAME_RULE}"),
        ));
    }
    if who.sees_whatever(schemas) {
        Ok(())
    } else {
        Err(AppError::Forbidden("a key can't make one that sees more than it does".to_owned()))
    }
}

/// A key that ends or is limited makes none that outlives it or may ask for more: what it leaves open
/// is its own.
fn limits(
    who: &Principal,
    expires: Option<Timestamp>,
    rate: Option<Rate>,
) -> Result<(Option<Timestamp>, Option<Rate>)> {
    if let (Some(own), Some(wanted)) = (who.expires, expires)
        && wanted > own
    {
        let what = format!("a key can't make one that lasts longer than it does, until {own}");
        return Err(AppError::Forbidden(what));
    }
    if let (Some(own), Some(wanted)) = (who.rate, rate)
        && wanted.exceeds(own)
    {
        let what = format!("a key can't make one with a higher rate than its own, {own}");
        return Err(AppError::Forbidden(what));
    }
    Ok((expires.or(who.expires), rate.or(who.rate)))
}

fn unknown_schemas(app: &App, schemas: Option<&[String]>) -> Vec<String> {
    let registry = app.registry.current();
    let unknown = schemas.unwrap_or_default().iter().filter(|s| registry.latest(s).is_none());
    unknown.map(|s| format!("no schema {s:?} is installed yet; the key will see it once it is")).collect()
}

fn check_given(key: &str) -> Result<Option<String>> {
    let length = key.len();
    if !(MIN_GIVEN..=MAX_GIVEN).contains(&length) || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(AppError::invalid(
            "/key",
            format!(
                "a given key must be {MIN_GIVEN} to {MAX_GIVEN} visible ASCII characters, without spaces"
            ),
        ));
    }
    let weak = length < WEAK;
    Ok(weak.then(|| {
        format!("the key has only {length} characters; one that nobody can guess has {WEAK} or more")
    }))
}
