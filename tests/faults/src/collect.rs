//! What the service says it holds, once everything is over.

use std::fmt::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::{Database, Installation, receiver};

use crate::journal::{
    Arrival, Attempt, CREATED, Delivery, Event, Lost, STATE_CHANGED, TaskSeen, Verification,
};
use crate::load::task_seen;

async fn get(client: &mut Client, path: &str, key: &str) -> Result<Value> {
    let answer = client.send(&Request::new("GET", path, &[("api-key", key)])).await?;
    ensure!(answer.is_success(), "GET {path}: {} {}", answer.status, String::from_utf8_lossy(answer.body()));
    Ok(answer.json())
}

/// The whole log, through the feed.
pub(crate) async fn events(address: SocketAddr, key: &str) -> Result<Vec<Event>> {
    let mut client = Client::new(address);
    let mut events = Vec::new();
    let mut path = "/api/v1/events?limit=500".to_owned();
    loop {
        let page = get(&mut client, &path, key).await?;
        let items = page["events"].as_array().context("a page has events")?;
        if items.is_empty() {
            return Ok(events);
        }
        for item in items {
            events.push(event(item)?);
        }
        let next = page["next_cursor"].as_str().context("a page of events has a next_cursor")?;
        path = format!("/api/v1/events?limit=500&after={next}");
    }
}

/// An event, out of an item of the feed.
pub(crate) fn event(item: &Value) -> Result<Event> {
    let data = &item["data"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let kind = text(&item["type"]).with_context(|| format!("an event without type: {item}"))?;
    let marker = match kind.as_str() {
        CREATED => text(&data["task"]["meta"]["marker"]),
        STATE_CHANGED => text(&data["reason"]),
        // Nobody's call made it.
        _ => None,
    };
    Ok(Event {
        seq: data["seq"].as_i64().context("an event without seq")?,
        id: text(&data["event_id"]).context("an event without id")?,
        kind,
        task: task_seen(&data["task"]),
        previous_state: text(&data["previous_state"]),
        actor: text(&data["actor"]["id"]).or_else(|| text(&data["actor"]["kind"])),
        external_id: text(&data["task"]["external_id"]),
        marker,
        value: hash(item.to_string().as_bytes()),
    })
}

/// Every task, through the list, and each by its own address.
pub(crate) async fn tasks(address: SocketAddr, key: &str) -> Result<Vec<TaskSeen>> {
    let mut client = Client::new(address);
    let mut tasks = Vec::new();
    let mut path = "/api/v1/tasks/?limit=500".to_owned();
    loop {
        let page = get(&mut client, &path, key).await?;
        let items = page["tasks"].as_array().context("a page has tasks")?;
        for item in items {
            tasks.push(task_seen(item).with_context(|| format!("not a task: {item}"))?);
        }
        match page["next_cursor"].as_str() {
            Some(next) if !items.is_empty() => path = format!("/api/v1/tasks/?limit=500&cursor={next}"),
            _ => break,
        }
    }
    for listed in &tasks {
        let one = get(&mut client, &format!("/api/v1/tasks/{}", listed.id), key).await?;
        ensure!(task_seen(&one["task"]).as_ref() == Some(listed), "the list shows {listed:?}, GET {one}");
    }
    Ok(tasks)
}

/// An id column as 32 hexadecimal digits, on either engine.
fn id(database: &Database, column: &str) -> String {
    match database {
        Database::Postgres(_) => format!("replace({column}::text, '-', '')"),
        Database::Sqlite(_) => format!(
            "CASE typeof({column}) WHEN 'blob' THEN lower(hex({column})) ELSE replace({column}, '-', '') END"
        ),
    }
}

/// Every delivery, live and finished.
pub(crate) async fn deliveries(database: &Database) -> Result<Vec<Delivery>> {
    let columns = format!(
        "{} AS id, {} AS event, {} AS endpoint, attempts",
        id(database, "id"),
        id(database, "event_id"),
        id(database, "endpoint_id")
    );
    let rows = database
        .query(&format!(
            "SELECT {columns}, outcome FROM finished_deliveries UNION ALL SELECT {columns}, NULL FROM deliveries"
        ))
        .await?;
    rows.into_iter().map(|row| Ok(serde_json::from_value(row)?)).collect()
}

/// Every settled attempt.
pub(crate) async fn attempts(database: &Database) -> Result<Vec<Attempt>> {
    let rows = database
        .query(&format!(
            "SELECT {} AS delivery, number, {} AS lease, status FROM attempts",
            id(database, "delivery_id"),
            id(database, "lease_token")
        ))
        .await?;
    rows.into_iter().map(|row| Ok(serde_json::from_value(row)?)).collect()
}

/// A list for `IN`, which PostgreSQL wants to hold something.
fn quoted(ttypes: &[String]) -> String {
    ttypes.iter().fold("''".to_owned(), |list, ttype| list + ", '" + ttype + "'")
}

/// How many deliveries still live, but for those to endpoints of these types.
pub(crate) async fn live_deliveries(database: &Database, without: &[String]) -> Result<i64> {
    let rows = database
        .query(&format!(
            "SELECT count(*) AS live FROM deliveries WHERE endpoint_id NOT IN
                (SELECT id FROM endpoints WHERE ttype IN ({}))",
            quoted(without)
        ))
        .await?;
    rows[0]["live"].as_i64().context("a count")
}

/// The ids of the endpoints of these types.
pub(crate) async fn lost(database: &Database, ttypes: &[String]) -> Result<Vec<Lost>> {
    let select = format!(
        "SELECT {} AS endpoint FROM endpoints WHERE ttype IN ({})",
        id(database, "id"),
        quoted(ttypes)
    );
    let rows = database.query(&select).await?;
    rows.into_iter().map(|row| Ok(serde_json::from_value(row)?)).collect()
}

/// A settled attempt, with what came of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Tried {
    /// The type whose endpoint it went to.
    pub(crate) ttype: String,
    pub(crate) number: i64,
    pub(crate) outcome: String,
    pub(crate) status: Option<u16>,
    pub(crate) milliseconds: i64,
    /// Bytes of the answer that were kept.
    pub(crate) kept: i64,
}

/// Every settled attempt at an endpoint that a type has for itself.
pub(crate) async fn tried(database: &Database) -> Result<Vec<Tried>> {
    let select = "SELECT e.ttype, a.number, a.outcome, a.status, a.duration_us / 1000 AS milliseconds,
            coalesce(length(a.response), 0) AS kept
         FROM attempts a JOIN endpoints e ON e.id = a.endpoint_id WHERE e.ttype IS NOT NULL";
    let rows = database.query(select).await?;
    rows.into_iter().map(|row| Ok(serde_json::from_value(row)?)).collect()
}

/// Runs `audit verify`, from a checkpoint if there is one.
pub(crate) async fn verification(installation: &Installation, from: Option<&str>) -> Result<Verification> {
    let mut arguments = vec!["audit", "verify"];
    arguments.extend(from.iter().flat_map(|from| ["--from", from]));
    let output = installation.try_cli(&arguments).await?;
    ensure!(output.json.is_object(), "audit verify printed no JSON: {}", output.stderr);
    Ok(Verification {
        ok: output.json["ok"] == true,
        events: output.json["events"].as_i64().unwrap_or(-1),
        text: output.json.to_string(),
    })
}

/// The receiver's journal in the audit's terms.
pub(crate) fn arrival(arrival: &receiver::Arrival) -> Arrival {
    let body: Value = serde_json::from_slice(&arrival.body).unwrap_or_default();
    Arrival {
        path: arrival.path.clone(),
        webhook_id: arrival.webhook_id.clone(),
        is_authentic: arrival.is_authentic,
        body: hash(&arrival.body),
        value: hash(body.to_string().as_bytes()),
        status: arrival.status,
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
