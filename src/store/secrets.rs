//! Endpoints' secrets, encrypted. What opens them is not here.

use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::db::{Db, Engine};
use super::deliveries::{FORGET, hasten};
use super::error::Result;
use super::registry::EndpointStatus;
use super::row::Row;
use super::sql::{Sql, Ty};

/// A secret as it is kept.
#[derive(Clone)]
pub struct StoredSecret {
    /// Its id: the associated data of its encryption.
    pub id: Uuid,
    /// The endpoint that it belongs to.
    pub endpoint_id: Uuid,
    /// `hmac` or `head`.
    pub auth_kind: String,
    /// The master key that it is encrypted under.
    pub master_key_id: String,
    /// Nonce and ciphertext.
    pub ciphertext: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

impl std::fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A secret to keep.
#[derive(Clone)]
pub struct NewSecret {
    /// Its id: the associated data of its encryption.
    pub id: Uuid,
    /// The endpoint that it belongs to.
    pub endpoint_id: Uuid,
    /// `hmac` or `head`.
    pub auth_kind: &'static str,
    /// The master key that it is encrypted under.
    pub master_key_id: String,
    /// Nonce and ciphertext.
    pub ciphertext: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// What becomes of the endpoint's other secrets. `None`: it is added only if there is none.
    pub replaces: Option<Replaces>,
}

/// The kind of a secret that holds the values of an endpoint's own headers: a JSON array of names and values.
pub const HEADERS: &str = "headers";

/// The most secrets that sign side by side: each makes `webhook-signature` longer and each attempt dearer.
pub const MAX_SIDE_BY_SIDE: usize = 5;

/// What becomes of an endpoint's other secrets when one is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// Those of its kind end now: where one alone can be used.
    All,
    /// The current one, which has no end yet, goes on for so much longer. Those that have an end keep
    /// it: their receivers were promised the time until then.
    Current(Duration),
}

/// What came of adding a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    Kept,
    /// The endpoint has a secret, which was not to be replaced.
    HasKey,
    /// With it there would be more than [`MAX_SIDE_BY_SIDE`].
    Full {
        /// When the next of them ends.
        next_end: Option<Timestamp>,
    },
    /// The endpoint is gone, or is of another kind by now.
    Moved,
}

/// Keeps a secret. An endpoint that had been disabled takes deliveries again: somebody is there.
pub async fn add(db: &Db, secret: NewSecret) -> Result<Added> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    let endpoint = Sql::new(engine, "SELECT auth_kind FROM endpoints WHERE id = ")
        .bind(secret.endpoint_id)
        .push(" {locked}")
        .one(&transaction)
        .await?;
    match endpoint {
        Some(row) if row.get::<String>("auth_kind")? == secret.auth_kind => {}
        _ => return Ok(Added::Moved),
    }
    let others = live(engine)
        .push(" AND endpoint_id = ")
        .bind(secret.endpoint_id)
        .push(" AND auth_kind = ")
        .bind(secret.auth_kind)
        .push(NEWEST_FIRST)
        .all(&transaction)
        .await?;
    let others = others.iter().map(from_row).collect::<Result<Vec<_>>>()?;
    match secret.replaces {
        None if !others.is_empty() => return Ok(Added::HasKey),
        None => {}
        Some(replaces) => {
            let stay = others.iter().filter(|other| replaces.leaves(other));
            if stay.clone().count() >= MAX_SIDE_BY_SIDE {
                return Ok(Added::Full { next_end: stay.filter_map(|other| other.expires).min() });
            }
            end_others(engine, &transaction, &secret, replaces).await?;
        }
    }
    insert(engine, &transaction, &secret).await?;
    // Nothing is known against it: its first failure must not be the last of those days.
    let enabled = Sql::new(engine, "UPDATE endpoints SET status_reason = NULL, updated_at = {now}, ")
        .push(FORGET)
        .push(", status = ")
        .bind(EndpointStatus::Active.as_str())
        .push(" WHERE id = ")
        .bind(secret.endpoint_id)
        .push(" AND status = ")
        .bind(EndpointStatus::Disabled.as_str())
        .execute(&transaction)
        .await?;
    if enabled > 0 {
        hasten(engine, &transaction, secret.endpoint_id).await?;
    }
    bump_registry(engine, &transaction).await?;
    transaction.commit().await?;
    Ok(Added::Kept)
}

/// Puts the values of an endpoint's own headers in the place of those that there are; `None`: it has none.
pub(super) async fn put_headers(
    engine: Engine,
    db: &impl ConnectionTrait,
    endpoint: Uuid,
    headers: Option<&NewSecret>,
) -> Result<()> {
    Sql::new(engine, "DELETE FROM endpoint_secrets WHERE endpoint_id = ")
        .bind(endpoint)
        .push(" AND auth_kind = ")
        .bind(HEADERS)
        .execute(db)
        .await?;
    match headers {
        Some(secret) => insert(engine, db, secret).await,
        None => Ok(()),
    }
}

/// Writes a new secret's row.
pub(super) async fn insert(engine: Engine, db: &impl ConnectionTrait, secret: &NewSecret) -> Result<()> {
    Sql::new(
        engine,
        "INSERT INTO endpoint_secrets (id, endpoint_id, auth_kind, master_key_id, ciphertext, created_at, expires_at)
         VALUES (",
    )
    .bind(secret.id)
    .push(", ")
    .bind(secret.endpoint_id)
    .push(", ")
    .bind(secret.auth_kind)
    .push(", ")
    .bind(secret.master_key_id.as_str())
    .push(", ")
    .bind(secret.ciphertext.clone())
    .push(", ")
    .bind(secret.created.as_micros())
    .push(", NULL)")
    .execute(db)
    .await?;
    Ok(())
}

impl Replaces {
    /// Whether a secret goes on beside the new one.
    fn leaves(self, other: &StoredSecret) -> bool {
        match self {
            Self::All => false,
            Self::Current(overlap) => other.expires.is_some() || !overlap.is_zero(),
        }
    }
}

/// Ends what a new secret takes the place of, now or later. What is of another kind signs nothing now, and
/// stays for a version that goes back to it.
async fn end_others(
    engine: Engine,
    db: &impl ConnectionTrait,
    new: &NewSecret,
    replaces: Replaces,
) -> Result<()> {
    let sql = match replaces {
        Replaces::All => Sql::new(engine, "DELETE FROM endpoint_secrets WHERE endpoint_id = "),
        Replaces::Current(Duration::ZERO) => {
            Sql::new(engine, "DELETE FROM endpoint_secrets WHERE expires_at IS NULL AND endpoint_id = ")
        }
        Replaces::Current(overlap) => Sql::new(engine, "UPDATE endpoint_secrets SET expires_at = {now} + ")
            .bind(overlap.as_micros() as i64)
            .push(" WHERE expires_at IS NULL AND endpoint_id = "),
    };
    sql.bind(new.endpoint_id).push(" AND auth_kind = ").bind(new.auth_kind).execute(db).await?;
    Ok(())
}

/// Takes a secret away: nothing is signed with it from now on. `false` if there is none.
pub async fn remove(db: &Db, id: Uuid) -> Result<bool> {
    let transaction = db.begin().await?;
    let removed = Sql::new(db.engine(), "DELETE FROM endpoint_secrets WHERE id = ")
        .bind(id)
        .execute(&transaction)
        .await?;
    if removed == 0 {
        return Ok(false);
    }
    bump_registry(db.engine(), &transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Tells every process that schemas, endpoints or secrets changed. Takes the log's head, so it
/// comes last in a transaction.
pub(super) async fn bump_registry(engine: Engine, db: &impl ConnectionTrait) -> Result<()> {
    Sql::new(engine, "UPDATE log_head SET registry = registry + 1 WHERE id = 1").execute(db).await?;
    Ok(())
}

/// The most secrets of one step of a move to another master key.
pub const MAX_REKEYED: usize = 500;

/// A secret that was encrypted anew.
pub struct Resealed {
    /// Its id.
    pub id: Uuid,
    /// Its endpoint.
    pub endpoint_id: Uuid,
    /// What it was.
    pub former: Vec<u8>,
    /// The master key that it is encrypted under now.
    pub master_key_id: String,
    /// What it is now.
    pub ciphertext: Vec<u8>,
}

/// Up to `limit` secrets that are encrypted under one of these master keys.
pub async fn under(db: &Db, master_key_ids: &[String], limit: usize) -> Result<Vec<StoredSecret>> {
    if master_key_ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = master_key_ids.iter().map(|id| id.as_str().into()).collect();
    let sql = live(db.engine()).push(" AND master_key_id").any(Ty::Text, ids);
    sql.push(" ORDER BY id LIMIT ").bind(limit as i64).all(db.read()).await?.iter().map(from_row).collect()
}

/// How many secrets are encrypted under another master key than this, by the key's id.
pub async fn count_elsewhere(db: &Db, master_key_id: &str) -> Result<Vec<(String, i64)>> {
    let sql = Sql::new(
        db.engine(),
        "SELECT master_key_id, count(*) AS n FROM endpoint_secrets
         WHERE (expires_at IS NULL OR expires_at > {now}) AND master_key_id <> ",
    )
    .bind(master_key_id)
    .push(" GROUP BY master_key_id ORDER BY master_key_id");
    let rows = sql.all(db.write()).await?;
    rows.iter().map(|row| Ok((row.get("master_key_id")?, row.get("n")?))).collect()
}

/// Puts secrets in the place of what they were, in one transaction; what is not that any more is
/// left alone. Returns how many were replaced.
pub async fn replace(db: &Db, secrets: &[Resealed]) -> Result<u64> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    // A rotation holds its endpoint while it ends secrets.
    Sql::new(engine, "SELECT id FROM endpoints WHERE id")
        .any_id(secrets.iter().map(|s| s.endpoint_id))
        .push(" ORDER BY id {locked}")
        .all(&transaction)
        .await?;
    let mut replaced = 0;
    for secret in secrets {
        replaced += Sql::new(engine, "UPDATE endpoint_secrets SET master_key_id = ")
            .bind(secret.master_key_id.as_str())
            .push(", ciphertext = ")
            .bind(secret.ciphertext.clone())
            .push(" WHERE id = ")
            .bind(secret.id)
            .push(" AND ciphertext = ")
            .bind(secret.former.clone())
            .execute(&transaction)
            .await?;
    }
    if replaced > 0 {
        bump_registry(engine, &transaction).await?;
    }
    transaction.commit().await?;
    Ok(replaced)
}

/// The secrets that have not ended.
fn live(engine: Engine) -> Sql {
    Sql::new(
        engine,
        "SELECT id, endpoint_id, auth_kind, master_key_id, ciphertext, created_at, expires_at
         FROM endpoint_secrets WHERE (expires_at IS NULL OR expires_at > {now})",
    )
}

const NEWEST_FIRST: &str = " ORDER BY created_at DESC, id DESC";

/// Every secret that has not ended, the newest of each endpoint first.
pub async fn all(db: &Db) -> Result<Vec<StoredSecret>> {
    live(db.engine()).push(NEWEST_FIRST).all(db.read()).await?.iter().map(from_row).collect()
}

fn from_row(row: &QueryResult) -> Result<StoredSecret> {
    Ok(StoredSecret {
        id: row.get("id")?,
        endpoint_id: row.get("endpoint_id")?,
        auth_kind: row.get("auth_kind")?,
        master_key_id: row.get("master_key_id")?,
        ciphertext: row.get("ciphertext")?,
        created: Timestamp::from_micros(row.get("created_at")?),
        expires: row.get::<Option<i64>>("expires_at")?.map(Timestamp::from_micros),
    })
}
