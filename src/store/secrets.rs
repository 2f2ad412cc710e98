//! Endpoints' secrets, encrypted. What opens them is not here.

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::Result;
use super::registry::EndpointStatus;
use super::row::Row;
use super::sql::Sql;

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
    /// Whether the endpoint's other secrets end with it.
    pub replaces: bool,
}

/// Keeps a secret. An endpoint that had been disabled takes deliveries again: somebody is there.
pub async fn add(db: &Db, secret: NewSecret) -> Result<()> {
    let engine = db.engine();
    let transaction = db.begin().await?;
    Sql::new(engine, "SELECT id FROM endpoints WHERE id = ")
        .bind(secret.endpoint_id)
        .push(" {locked}")
        .one(&transaction)
        .await?;
    if secret.replaces {
        Sql::new(engine, "DELETE FROM endpoint_secrets WHERE endpoint_id = ")
            .bind(secret.endpoint_id)
            .execute(&transaction)
            .await?;
    }
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
    .bind(secret.master_key_id)
    .push(", ")
    .bind(secret.ciphertext)
    .push(", ")
    .bind(secret.created.as_micros())
    .push(", NULL)")
    .execute(&transaction)
    .await?;
    Sql::new(engine, "UPDATE endpoints SET status_reason = NULL, status = ")
        .bind(EndpointStatus::Active.as_str())
        .push(" WHERE id = ")
        .bind(secret.endpoint_id)
        .push(" AND status = ")
        .bind(EndpointStatus::Disabled.as_str())
        .execute(&transaction)
        .await?;
    bump_registry(engine, &transaction).await?;
    Ok(transaction.commit().await?)
}

/// Tells every process that schemas, endpoints or secrets changed. Takes the log's head, so it
/// comes last in a transaction.
pub(super) async fn bump_registry(engine: Engine, db: &impl ConnectionTrait) -> Result<()> {
    Sql::new(engine, "UPDATE log_head SET registry = registry + 1 WHERE id = 1").execute(db).await?;
    Ok(())
}

const SELECT: &str = "SELECT id, endpoint_id, auth_kind, master_key_id, ciphertext, created_at, expires_at
    FROM endpoint_secrets WHERE (expires_at IS NULL OR expires_at > {now})";

/// The secrets of an endpoint that have not ended, newest first.
pub async fn of_endpoint(db: &Db, endpoint: Uuid) -> Result<Vec<StoredSecret>> {
    let sql = Sql::new(db.engine(), SELECT)
        .push(" AND endpoint_id = ")
        .bind(endpoint)
        .push(" ORDER BY created_at DESC, id DESC");
    sql.all(db.read()).await?.iter().map(from_row).collect()
}

/// Every secret that has not ended, the newest of each endpoint first.
pub async fn all(db: &Db) -> Result<Vec<StoredSecret>> {
    let sql = Sql::new(db.engine(), SELECT).push(" ORDER BY created_at DESC, id DESC");
    sql.all(db.read()).await?.iter().map(from_row).collect()
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
