//! API keys, as hashes.
//!
//! Every change counts `log_head.keys` up in the same transaction: that is how other processes
//! notice. A key's last use is no change.

use sea_orm::{ConnectionTrait, QueryResult, TransactionTrait};
use task_inbox_domain::Timestamp;
use task_inbox_domain::log::Hash;
use uuid::Uuid;

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::log::to_hash;
use super::row::Row;
use super::sql::{Column, Null, Rows, Sql, Ty};

/// A key as it is kept.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: Hash,
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
    /// By whom, as a pseudonym.
    pub created_by: String,
    /// When it stops working.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

const COLUMNS: &str = "id, name, hash, hint, schemas, permissions, rate, created_at, created_by, expires_at,
    revoked_at, last_used_at";

/// Keeps a key.
///
/// # Errors
///
/// [`StoreError::Data`] if there is a key with this hash.
pub async fn insert(db: &Db, key: &StoredKey) -> Result<()> {
    let transaction = db.begin().await?;
    let values: [sea_orm::Value; 12] = [
        key.id.into(),
        key.name.as_str().into(),
        key.hash.to_vec().into(),
        key.hint.as_str().into(),
        key.schemas.as_deref().map(json).into(),
        json(&key.permissions).into(),
        key.rate.clone().into(),
        key.created.as_micros().into(),
        key.created_by.as_str().into(),
        key.expires.map(Timestamp::as_micros).into(),
        key.revoked.map(Timestamp::as_micros).into(),
        key.last_used.map(Timestamp::as_micros).into(),
    ];
    let mut sql = Sql::new(db.engine(), "INSERT INTO api_keys (").push(COLUMNS).push(") VALUES (");
    for (i, value) in values.into_iter().enumerate() {
        sql = sql.push(if i == 0 { "" } else { ", " }).bind(value);
    }
    sql.push(")").execute(&transaction).await?;
    bump(db.engine(), &transaction).await?;
    Ok(transaction.commit().await?)
}

/// The key with this id.
pub async fn get(db: &Db, id: Uuid) -> Result<Option<StoredKey>> {
    let row = select(db.engine()).push(" WHERE id = ").bind(id).one(db.read()).await?;
    row.as_ref().map(from_row).transpose()
}

/// Ends a key and returns it; one that was ended before stays as it was. `None` if there is none.
pub async fn revoke(db: &Db, id: Uuid, now: Timestamp) -> Result<Option<StoredKey>> {
    let transaction = db.begin().await?;
    let ended = Sql::new(db.engine(), "UPDATE api_keys SET revoked_at = ")
        .bind(now.as_micros())
        .push(" WHERE revoked_at IS NULL AND id = ")
        .bind(id)
        .execute(&transaction)
        .await?;
    let row = select(db.engine()).push(" WHERE id = ").bind(id).one(&transaction).await?;
    let Some(row) = row else { return Ok(None) };
    let key = from_row(&row)?;
    if ended > 0 {
        bump(db.engine(), &transaction).await?;
    }
    transaction.commit().await?;
    Ok(Some(key))
}

/// The number of the log's head, and every key, oldest first.
pub async fn all(db: &Db) -> Result<(i64, Vec<StoredKey>)> {
    // The number is read first: whatever changes while the rest is read makes it stale, never the
    // other way round.
    let transaction = db.read().begin().await?;
    let head = Sql::new(db.engine(), "SELECT keys FROM log_head").one(&transaction).await?;
    let number = head.ok_or_else(|| StoreError::Corrupt("log_head is empty".to_owned()))?.get("keys")?;
    let rows = select(db.engine()).push(" ORDER BY id").all(&transaction).await?;
    transaction.commit().await?;
    Ok((number, rows.iter().map(from_row).collect::<Result<_>>()?))
}

const USED: &[Column] = &[("id", Ty::Uuid, Null::Never), ("at", Ty::Int, Null::Never)];

/// Writes when keys were last used. Sorted by id, as rows are always locked.
pub async fn touch(db: &Db, used: &[(Uuid, Timestamp)]) -> Result<()> {
    let mut rows = Rows::new(USED);
    for (id, at) in used {
        rows.push(vec![(*id).into(), at.as_micros().into()]);
    }
    let transaction = db.begin().await?;
    rows.run(db.engine(), &transaction, |sql, rows| {
        let sql = sql.push("UPDATE api_keys SET last_used_at = u.at FROM ");
        rows.table(sql)
            .push(" AS u WHERE api_keys.id = u.id AND (last_used_at IS NULL OR last_used_at < u.at)")
    })
    .await?;
    Ok(transaction.commit().await?)
}

/// Tells every process that keys changed. Takes the log's head, so it comes last.
async fn bump(engine: Engine, db: &impl ConnectionTrait) -> Result<()> {
    Sql::new(engine, "UPDATE log_head SET keys = keys + 1 WHERE id = 1").execute(db).await?;
    Ok(())
}

fn select(engine: Engine) -> Sql {
    Sql::new(engine, "SELECT ").push(COLUMNS).push(" FROM api_keys")
}

fn json(names: &[String]) -> String {
    serde_json::to_string(names).expect("a list of strings is JSON")
}

fn names(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(format!("a list of an API key: {e}")))
}

fn from_row(row: &QueryResult) -> Result<StoredKey> {
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    };
    Ok(StoredKey {
        id: row.get("id")?,
        name: row.get("name")?,
        hash: to_hash(row.get("hash")?)?,
        hint: row.get("hint")?,
        schemas: row.get::<Option<String>>("schemas")?.as_deref().map(names).transpose()?,
        permissions: names(&row.get::<String>("permissions")?)?,
        rate: row.get("rate")?,
        created: Timestamp::from_micros(row.get("created_at")?),
        created_by: row.get("created_by")?,
        expires: time("expires_at")?,
        revoked: time("revoked_at")?,
        last_used: time("last_used_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, hash: u8) -> StoredKey {
        StoredKey {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            hash: [hash; 32],
            hint: "ti_abc…".to_owned(),
            schemas: Some(vec!["a".to_owned()]),
            permissions: vec!["tasks:read".to_owned()],
            rate: Some("5/s".to_owned()),
            created: Timestamp::from_micros(1),
            created_by: "cli".to_owned(),
            expires: Some(Timestamp::from_micros(9)),
            revoked: None,
            last_used: None,
        }
    }

    #[tokio::test]
    async fn every_change_is_noticed_and_a_use_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::connect(&format!("sqlite://{}", folder.path().join("a.db").display()))
            .await
            .expect("a database");
        db.migrate_up().await.expect("migrated");
        let (start, none) = all(&db).await.expect("read");
        assert!(none.is_empty());

        let (one, two) =
            (key("one", 1), StoredKey { schemas: None, rate: None, expires: None, ..key("two", 2) });
        insert(&db, &one).await.expect("kept");
        insert(&db, &two).await.expect("kept");
        assert!(matches!(insert(&db, &key("again", 1)).await, Err(StoreError::Data(_))));
        let (number, keys) = all(&db).await.expect("read");
        assert_eq!(number, start + 2);
        assert_eq!((keys[0].id, &keys[0].schemas, &keys[0].rate), (one.id, &one.schemas, &one.rate));
        assert_eq!((keys[1].hash, &keys[1].schemas, keys[1].expires), (two.hash, &None, None));

        let first = revoke(&db, one.id, Timestamp::from_micros(5)).await.expect("revoked").expect("is there");
        let again = revoke(&db, one.id, Timestamp::from_micros(6)).await.expect("revoked").expect("is there");
        assert_eq!((first.revoked, again.revoked), (Some(Timestamp::from_micros(5)), first.revoked));
        assert_eq!(all(&db).await.expect("read").0, start + 3, "once");
        assert_eq!(get(&db, one.id).await.expect("read").and_then(|k| k.revoked), first.revoked);
        assert!(get(&db, Uuid::nil()).await.expect("read").is_none());
        assert!(revoke(&db, Uuid::nil(), Timestamp::from_micros(5)).await.expect("asked").is_none());

        let before = all(&db).await.expect("read").0;
        touch(&db, &[(one.id, Timestamp::from_micros(8)), (two.id, Timestamp::from_micros(7))])
            .await
            .expect("written");
        touch(&db, &[(one.id, Timestamp::from_micros(3))]).await.expect("written");
        let (number, keys) = all(&db).await.expect("read");
        assert_eq!(number, before);
        assert_eq!(keys[0].last_used, Some(Timestamp::from_micros(8)), "never backwards");
    }
}
