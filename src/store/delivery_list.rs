//! Deliveries as people look at them: live and ended ones in one list, with their attempts.

use sea_orm::QueryResult;
use task_inbox_domain::{EventType, Timestamp};
use uuid::Uuid;

use super::db::Db;
use super::error::{Result, StoreError};
use super::row::Row;
use super::sql::{Sql, Ty};

/// Where a delivery is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It waits. A dispatcher that leases it moves it to [`DeliveryStatus::Sending`].
    Pending,
    /// A dispatcher holds its lease. The settlement of its attempt moves it on; without one, it is
    /// pending again when the lease runs out.
    Sending,
    /// The receiver took it. Nothing moves it on.
    Delivered,
    /// It was given up. Sending it again moves it to [`DeliveryStatus::Resent`].
    Dead,
    /// It was given up, and sent again as another delivery. Nothing moves it on.
    Resent,
    /// It was withdrawn before it was sent.
    Cancelled,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sending, Self::Delivered, Self::Dead, Self::Resent, Self::Cancelled];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Resent => "resent",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Sending)
    }
}

/// Which deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only the one with this id.
    pub id: Option<Uuid>,
    /// Only those of these schemas; what a key may see. `None`: of all.
    pub schemas: Option<Vec<String>>,
    /// Only those to these endpoints; what a key may see. `None`: to all.
    pub endpoints: Option<Vec<Uuid>>,
    /// Only those of this schema.
    pub schema: Option<String>,
    /// Only those to this endpoint.
    pub endpoint: Option<Uuid>,
    /// Only those of events of this task.
    pub task: Option<Uuid>,
    /// Only those of this event.
    pub event: Option<Uuid>,
    /// Only those with this status.
    pub status: Option<DeliveryStatus>,
}

/// A delivery, live or ended.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    /// Its id.
    pub id: Uuid,
    /// The endpoint that it goes to.
    pub endpoint_id: Uuid,
    /// Where that is; `None` if the endpoint is gone with its schema.
    pub url: Option<String>,
    /// What it tells of.
    pub event_id: Uuid,
    /// The event's type; `None` if the log was trimmed.
    pub event_type: Option<EventType>,
    /// The event's number; `None` if the log was trimmed.
    pub seq: Option<i64>,
    /// The schema of the event.
    pub schema: String,
    /// The event's task.
    pub task_id: Option<Uuid>,
    /// The task's version.
    pub version: Option<i64>,
    /// Where it is in its life.
    pub status: DeliveryStatus,
    /// Why it waits, or why it was given up.
    pub reason: Option<String>,
    /// How many attempts were made.
    pub attempts: i32,
    /// Whether somebody asked for it once more.
    pub is_resend: bool,
    /// When it may next be claimed: when it is tried again, or when the lease on it runs out.
    pub due_at: Option<Timestamp>,
    /// When its event was written.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// One attempt at a delivery.
#[derive(Clone, Debug)]
pub struct AttemptRow {
    /// 1, 2, 3 ...
    pub number: i32,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// `delivered`, or the kind of failure.
    pub outcome: String,
    /// The answer's status.
    pub status: Option<i32>,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response: Option<Vec<u8>>,
}

const COMMON: &str = "d.id, d.endpoint_id, d.event_id, d.schema_name, d.task_id, d.version, d.attempts, d.created_at, d.is_resend";

/// Up to `limit` deliveries that pass, newest first, before the one with the id `before`.
///
/// A delivery that ends while this is read is in one of the two tables: it is one statement.
pub async fn list(
    db: &Db,
    filter: &DeliveryFilter,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<DeliveryRow>> {
    if filter.schemas.as_ref().is_some_and(Vec::is_empty)
        || filter.endpoints.as_ref().is_some_and(Vec::is_empty)
    {
        return Ok(Vec::new());
    }
    let limit = limit as i64;
    // What an operator asks for may be what no index is for, as the live deliveries of one event: those pay for none.
    let sql = Sql::new(db.engine(), "SELECT p.*, e.url AS url, v.kind AS kind, v.seq AS seq FROM (");
    let mut sql = sql.walks();
    let live = filter.status.is_none_or(DeliveryStatus::is_live);
    if live {
        sql = sql
            .push("SELECT id, endpoint_id, event_id, schema_name, task_id, version, attempts, created_at, is_resend,
                   status, reason, CASE WHEN reason IS NULL THEN due_at END AS due_at, finished_at FROM (SELECT ")
            .push(COMMON)
            // What an earlier delivery of its task holds back is derived as the claim derives it.
            .push(
                ", CASE WHEN d.lease_token IS NOT NULL AND d.due_at > {now} THEN 'sending' ELSE 'pending' END AS status,
                 CASE WHEN d.task_id IS NOT NULL AND EXISTS (SELECT 1 FROM deliveries o WHERE o.task_id = d.task_id
                    AND o.endpoint_id = d.endpoint_id AND o.version < d.version)
                 THEN 'waits_for_earlier' END AS reason, d.due_at, CAST(NULL AS bigint) AS finished_at
                 FROM deliveries d WHERE d.due_at >= 0",
            );
        if let Some(task) = filter.task {
            sql = sql.push(" AND d.task_id = ").bind(task);
        }
        sql = match filter.status {
            Some(DeliveryStatus::Sending) => sql.push(" AND d.lease_token IS NOT NULL AND d.due_at > {now}"),
            Some(DeliveryStatus::Pending) => sql.push(" AND (d.lease_token IS NULL OR d.due_at <= {now})"),
            _ => sql,
        };
        sql = page(sql, filter, before, limit).push(") AS live");
    }
    if filter.status.is_none_or(|s| !s.is_live()) {
        sql =
            sql.push(if live { " UNION ALL " } else { "" }).push("SELECT * FROM (SELECT ").push(COMMON).push(
                ", d.outcome AS status, d.reason, CAST(NULL AS bigint) AS due_at, d.finished_at
                 FROM finished_deliveries d WHERE true",
            );
        if let Some(task) = filter.task {
            // By the two indexes that there are.
            sql = sql
                .push(" AND d.event_id IN (SELECT t.id FROM events t WHERE t.task_id = ")
                .bind(task)
                .push(")");
        }
        if let Some(status) = filter.status {
            sql = sql.push(" AND d.outcome = ").bind(status.as_str());
            if status != DeliveryStatus::Delivered {
                // The condition of the index on these few, to the letter.
                sql = sql.push(" AND d.outcome <> 'delivered'");
            }
        }
        sql = page(sql, filter, before, limit).push(") AS finished");
    }
    sql = sql
        .push(
            ") AS p LEFT JOIN endpoints e ON e.id = p.endpoint_id LEFT JOIN events v ON v.id = p.event_id
             ORDER BY p.id DESC LIMIT ",
        )
        .bind(limit);
    sql.all(db.read()).await?.iter().map(from_row).collect()
}

/// The conditions that both tables share, and the page.
fn page(mut sql: Sql, filter: &DeliveryFilter, before: Option<Uuid>, limit: i64) -> Sql {
    if let Some(id) = filter.id {
        sql = sql.push(" AND d.id = ").bind(id);
    }
    if let Some(id) = before {
        sql = sql.push(" AND d.id < ").bind(id);
    }
    if let Some(schemas) = &filter.schemas {
        let names = schemas.iter().map(|s| s.as_str().into()).collect();
        sql = sql.push(" AND d.schema_name").any(Ty::Text, names);
    }
    if let Some(endpoints) = &filter.endpoints {
        sql = sql.push(" AND d.endpoint_id").any_id(endpoints.iter().copied());
    }
    if let Some(schema) = &filter.schema {
        sql = sql.push(" AND d.schema_name = ").bind(schema.as_str());
    }
    if let Some(endpoint) = filter.endpoint {
        sql = sql.push(" AND d.endpoint_id = ").bind(endpoint);
    }
    if let Some(event) = filter.event {
        sql = sql.push(" AND d.event_id = ").bind(event);
    }
    sql.push(" ORDER BY d.id DESC LIMIT ").bind(limit)
}

/// The attempts at a delivery, in their order.
pub async fn attempts(db: &Db, delivery: Uuid) -> Result<Vec<AttemptRow>> {
    let sql = Sql::new(
        db.engine(),
        "SELECT number, started_at, duration_us, outcome, status, error, response FROM attempts WHERE delivery_id = ",
    )
    .bind(delivery)
    .push(" ORDER BY number");
    let read = |row: &QueryResult| -> Result<AttemptRow> {
        Ok(AttemptRow {
            number: row.get("number")?,
            started: Timestamp::from_micros(row.get("started_at")?),
            duration_us: row.get("duration_us")?,
            outcome: row.get("outcome")?,
            status: row.get("status")?,
            error: row.get("error")?,
            response: row.get("response")?,
        })
    };
    sql.all(db.read()).await?.iter().map(read).collect()
}

fn from_row(row: &QueryResult) -> Result<DeliveryRow> {
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    };
    let status: String = row.get("status")?;
    let kind: Option<String> = row.get("kind")?;
    Ok(DeliveryRow {
        id: row.get("id")?,
        endpoint_id: row.get("endpoint_id")?,
        url: row.get("url")?,
        event_id: row.get("event_id")?,
        event_type: kind.as_deref().and_then(EventType::parse),
        seq: row.get("seq")?,
        schema: row.get("schema_name")?,
        task_id: row.get("task_id")?,
        version: row.get("version")?,
        status: DeliveryStatus::parse(&status)
            .ok_or_else(|| StoreError::Corrupt(format!("delivery status {status:?}")))?,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        is_resend: row.get("is_resend")?,
        due_at: time("due_at")?,
        created: Timestamp::from_micros(row.get("created_at")?),
        finished: time("finished_at")?,
    })
}
