//! Endpoints as people look at them: with what waits for them.

use sea_orm::QueryResult;
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use super::db::Db;
use super::error::Result;
use super::registry::{self, Endpoint, EndpointStatus};
use super::row::Row;
use super::sql::{Sql, Ty};

/// Beyond this, what waits is not counted any further.
pub const MAX_COUNTED: i64 = 10_000;

/// Which endpoints.
#[derive(Clone, Debug, Default)]
pub struct EndpointFilter {
    /// Only the one with this id.
    pub id: Option<Uuid>,
    /// Only those of these schemas; what a key may see. `None`: of all.
    pub schemas: Option<Vec<String>>,
    /// Only those of this schema.
    pub schema: Option<String>,
    /// Only those with this status.
    pub status: Option<EndpointStatus>,
}

/// An endpoint with what waits for it.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// How many deliveries are live, up to [`MAX_COUNTED`].
    pub waiting: i64,
    /// When it was first installed.
    pub created: Timestamp,
    /// When its URL, its form or its status last changed.
    pub updated: Timestamp,
}

/// The endpoints that pass, by schema and type.
pub async fn list(db: &Db, filter: &EndpointFilter) -> Result<Vec<EndpointRow>> {
    let mut sql = Sql::new(db.engine(), "SELECT e.*, ")
        .push(registry::KEY_END)
        .push(" AS key_end, (SELECT count(*) FROM (SELECT 1 AS one FROM deliveries d WHERE d.endpoint_id = e.id LIMIT ")
        .bind(MAX_COUNTED)
        .push(") AS w) AS waiting FROM endpoints e WHERE e.origin IN ('schema', 'type')");
    if let Some(id) = filter.id {
        sql = sql.push(" AND e.id = ").bind(id);
    }
    if let Some(schemas) = &filter.schemas {
        if schemas.is_empty() {
            return Ok(Vec::new());
        }
        let names = schemas.iter().map(|s| s.as_str().into()).collect();
        sql = sql.push(" AND e.schema_name").any(Ty::Text, names);
    }
    if let Some(schema) = &filter.schema {
        sql = sql.push(" AND e.schema_name = ").bind(schema.as_str());
    }
    if let Some(status) = filter.status {
        sql = sql.push(" AND e.status = ").bind(status.as_str());
    }
    sql = sql.push(" ORDER BY e.schema_name, coalesce(e.ttype, '')");
    sql.all(db.read()).await?.iter().map(from_row).collect()
}

fn from_row(row: &QueryResult) -> Result<EndpointRow> {
    Ok(EndpointRow {
        endpoint: registry::endpoint(row)?,
        waiting: row.get("waiting")?,
        created: Timestamp::from_micros(row.get("created_at")?),
        updated: Timestamp::from_micros(row.get("updated_at")?),
    })
}
