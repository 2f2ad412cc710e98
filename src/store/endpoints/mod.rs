//! Endpoints as people look at them, with what waits for them; and (`write`) what they do to them.

mod ending;
mod write;

use sea_orm::QueryResult;
use task_inbox_domain::Timestamp;
use task_inbox_domain::webhook::breaker::Health;
use uuid::Uuid;

use super::db::Db;
use super::deliveries;
use super::error::Result;
use super::registry::{self, Endpoint, EndpointStatus, Origin};
use super::row::Row;
use super::sql::Sql;

pub use ending::{give_up, sweep};
pub use write::{create, pause, remove, resume, update};

/// Beyond this, what waits is not counted any further.
pub const MAX_COUNTED: i64 = 10_000;

/// Which endpoints.
#[derive(Clone, Debug, Default)]
pub struct EndpointFilter {
    /// Only the one with this id.
    pub id: Option<Uuid>,
    /// Only those that get events of this schema.
    pub schema: Option<String>,
    /// Only those with this status.
    pub status: Option<EndpointStatus>,
    /// Only those that come from there.
    pub origin: Option<Origin>,
}

/// An endpoint with what waits for it.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// How many deliveries are live, up to [`MAX_COUNTED`].
    pub waiting: i64,
    /// How it has been doing.
    pub health: Health,
    /// When it was first installed.
    pub created: Timestamp,
    /// When its URL, its form or its status last changed.
    pub updated: Timestamp,
}

/// The endpoints that pass: those of schemas by schema and type, then the registered ones by age. `sees` says
/// which of them the caller may know of.
pub async fn list(
    db: &Db,
    filter: &EndpointFilter,
    sees: impl Fn(&Endpoint) -> bool,
) -> Result<Vec<EndpointRow>> {
    let mut sql = Sql::new(db.engine(), "SELECT e.*, ")
        .push(registry::KEY_END)
        .push(" AS key_end, (SELECT count(*) FROM (SELECT 1 AS one FROM deliveries d WHERE d.endpoint_id = e.id AND d.due_at >= 0 LIMIT ")
        .bind(MAX_COUNTED)
        .push(") AS w) AS waiting FROM endpoints e WHERE NOT (e.origin = 'registered' AND e.status = 'removed')");
    if let Some(id) = filter.id {
        sql = sql.push(" AND e.id = ").bind(id);
    }
    if let Some(schema) = &filter.schema {
        sql = sql.push(" AND (e.schema_name IS NULL OR e.schema_name = ").bind(schema.as_str()).push(")");
    }
    if let Some(status) = filter.status {
        sql = sql.push(" AND ").push(registry::SHOWN_STATUS).push(" = ").bind(status.as_str());
    }
    if let Some(origin) = filter.origin {
        sql = sql.push(" AND e.origin = ").bind(origin.as_str());
    }
    sql = sql.push(" ORDER BY (e.schema_name IS NULL), e.schema_name, coalesce(e.ttype, ''), e.id");
    let rows: Vec<_> = sql.all(db.read()).await?.iter().map(from_row).collect::<Result<_>>()?;
    let named = |e: &Endpoint| {
        let (Some(schema), Some(schemas)) = (&filter.schema, e.schemas()) else { return true };
        schemas.contains(schema)
    };
    Ok(rows.into_iter().filter(|row| named(&row.endpoint) && sees(&row.endpoint)).collect())
}

fn from_row(row: &QueryResult) -> Result<EndpointRow> {
    Ok(EndpointRow {
        endpoint: registry::endpoint(row)?,
        waiting: row.get("waiting")?,
        health: deliveries::health(row)?,
        created: Timestamp::from_micros(row.get("created_at")?),
        updated: Timestamp::from_micros(row.get("updated_at")?),
    })
}
