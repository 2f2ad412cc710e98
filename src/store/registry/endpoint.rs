//! An endpoint: somewhere that webhooks go.

use std::time::Duration;

use sea_orm::QueryResult;
use task_inbox_domain::event::operational::EndpointFacts;
use task_inbox_domain::schema::{Hook, HookAuth};
use task_inbox_domain::webhook::format::Format;
use task_inbox_domain::webhook::interest::Interest;
use task_inbox_domain::{EventType, Rate, Timestamp};
use uuid::Uuid;

use crate::store::error::{Result, StoreError};
use crate::store::row::Row;

/// Where an endpoint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A schema's `default_hook_url`.
    Schema,
    /// A type's `hook_url`.
    Type,
    /// Somebody registered it.
    Registered,
    /// A host that a schema lets tasks be called back at.
    Callback,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 4] = [Self::Schema, Self::Type, Self::Registered, Self::Callback];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Type => "type",
            Self::Registered => "registered",
            Self::Callback => "callback",
        }
    }

    /// Reads the stored name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == text)
    }
}

/// Whether an endpoint takes deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointStatus {
    /// Deliveries go out. Somebody moves it to [`EndpointStatus::Paused`]; a 410, or days of failures, to
    /// [`EndpointStatus::Disabled`].
    Active,
    /// Somebody paused it: deliveries wait. Resuming makes it active again.
    Paused,
    /// It answered 410 or failed for days: deliveries wait. Resuming, a new URL or a new key makes it
    /// active again.
    Disabled,
    /// It is being deleted: nothing is made for it and nothing goes out. What is under way is waited for, and
    /// then its row goes.
    Removed,
}

impl EndpointStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::Disabled, Self::Removed];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }

    /// Reads the stored name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// How an endpoint wants to be treated. What it doesn't say is as for every endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// The names of headers of its own, on every attempt. Their values are kept as secrets are.
    pub headers: Vec<String>,
    /// The most attempts in a time, of all replicas together.
    pub rate: Option<Rate>,
    /// The most attempts at once, of each replica.
    pub concurrency: Option<u32>,
    /// The hard end of one attempt.
    pub timeout: Option<Duration>,
}

/// Somewhere that webhooks go.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// Where it comes from.
    pub origin: Origin,
    /// The schema it belongs to; empty if it was registered.
    pub schema: String,
    /// The type it belongs to, if it is a type's own.
    pub ttype: Option<String>,
    /// Where, and how a webhook proves where it comes from. For callbacks, the host in place of the URL: each
    /// task says which.
    pub hook: Hook,
    /// In which form an event is sent.
    pub format: Format,
    /// What a registered one asks for.
    pub interest: Interest,
    /// How it wants to be treated.
    pub treatment: Treatment,
    /// What its owner says it is.
    pub description: Option<String>,
    /// Whether it is registered, or its schema's latest version names it. Where none does, no new deliveries are
    /// made for it, and what is live still goes out.
    pub declared: bool,
    /// Raised when what answers there is to be judged anew.
    pub generation: i64,
    /// Whether it takes deliveries.
    pub status: EndpointStatus,
    /// Why it has that status.
    pub status_reason: Option<String>,
    /// The endpoint whose secrets it uses: its own, but that callbacks are signed with their schema's.
    pub keys_of: Uuid,
    /// Whether there is a secret of its kind that has not ended.
    pub has_key: bool,
    /// When the last of those secrets ends, if all of them do.
    pub key_end: Option<Timestamp>,
}

impl Endpoint {
    /// Whether deliveries may go out now; what is not sendable waits.
    pub fn is_sendable(&self) -> bool {
        self.held_reason().is_none()
    }

    /// Why deliveries wait, if they do: `paused`, `disabled`, `removed`, `no_key`.
    pub fn held_reason(&self) -> Option<&'static str> {
        match self.status {
            EndpointStatus::Active if self.has_key => None,
            EndpointStatus::Active => Some("no_key"),
            held => Some(held.as_str()),
        }
    }

    /// Whether new deliveries are made for it.
    pub fn is_named(&self) -> bool {
        self.declared && self.status != EndpointStatus::Removed
    }

    /// Its status as people see it: what no version names is removed, unless it is held.
    pub fn shown_status(&self) -> EndpointStatus {
        match self.status {
            EndpointStatus::Active if !self.declared => EndpointStatus::Removed,
            status => status,
        }
    }

    /// For one that stands for callbacks, whether it is a pattern of many hosts.
    pub fn callback_pattern(&self) -> Option<bool> {
        (self.origin == Origin::Callback).then(|| self.hook.url.starts_with("*."))
    }

    /// What operators are told of it.
    pub fn facts(&self, failing_since: Option<Timestamp>) -> EndpointFacts {
        EndpointFacts {
            id: self.id,
            url: self.hook.url.clone(),
            schema: self.schema.clone(),
            ttype: self.ttype.clone(),
            description: self.description.clone(),
            failing_since,
            concerns: match self.schemas() {
                Some([only]) => only.clone(),
                _ => String::new(),
            },
        }
    }

    /// The schemas whose events it gets; `None`: all.
    pub fn schemas(&self) -> Option<&[String]> {
        match self.origin {
            Origin::Registered => self.interest.schemas.as_deref(),
            _ => Some(std::slice::from_ref(&self.schema)),
        }
    }
}

/// The status of an endpoint `e` as people see it: [`Endpoint::shown_status`].
pub(in crate::store) const SHOWN_STATUS: &str =
    "CASE WHEN e.status = 'active' AND NOT e.declared THEN 'removed' ELSE e.status END";

/// When the last secret of an endpoint `e` ends that is of its kind: no row, none; the greatest
/// integer, never.
pub(in crate::store) const KEY_END: &str =
    "(SELECT max(coalesce(s.expires_at, 9223372036854775807)) FROM endpoint_secrets s
    WHERE s.endpoint_id = e.id AND s.auth_kind = e.auth_kind AND (s.expires_at IS NULL OR s.expires_at > {now}))";

/// An endpoint out of its row, with [`KEY_END`] as `key_end`.
pub(in crate::store) fn from_row(row: &QueryResult) -> Result<Endpoint> {
    let kind: String = row.get("auth_kind")?;
    let auth = match (kind.as_str(), row.get::<Option<String>>("auth_header")?) {
        ("hmac", _) => HookAuth::Hmac,
        ("head", Some(header)) => HookAuth::Head { header },
        _ => return Err(unreadable("auth_kind", &kind)),
    };
    let key_end: Option<i64> = row.get("key_end")?;
    let id = row.get("id")?;
    Ok(Endpoint {
        id,
        origin: known(row, "origin", Origin::parse)?,
        schema: row.get::<Option<String>>("schema_name")?.unwrap_or_default(),
        ttype: row.get("ttype")?,
        hook: Hook { url: row.get("url")?, auth },
        format: known(row, "body_shape", Format::parse)?,
        interest: interest(row)?,
        treatment: treatment(row)?,
        description: row.get("description")?,
        declared: row.get("declared")?,
        generation: row.get("generation")?,
        status: known(row, "status", EndpointStatus::parse)?,
        status_reason: row.get("status_reason")?,
        keys_of: id,
        has_key: key_end.is_some(),
        key_end: key_end.filter(|end| *end != i64::MAX).map(Timestamp::from_micros),
    })
}

fn unreadable(column: &str, text: &str) -> StoreError {
    StoreError::Corrupt(format!("endpoint {column} {text:?}"))
}

fn known<T>(row: &QueryResult, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| unreadable(column, &text))
}

/// A column that holds JSON.
fn json<T: serde::de::DeserializeOwned>(row: &QueryResult, column: &str) -> Result<Option<T>> {
    let Some(text) = row.get::<Option<String>>(column)? else { return Ok(None) };
    serde_json::from_str(&text).map_err(|_| unreadable(column, &text))
}

fn interest(row: &QueryResult) -> Result<Interest> {
    // An empty list is none at all: what the endpoints of schemas have.
    let names = json::<Vec<String>>(row, "event_types")?.filter(|names| !names.is_empty());
    let event_types = names.map(|names| {
        let parse = |name: &String| EventType::parse(name).ok_or_else(|| unreadable("event_types", name));
        names.iter().map(parse).collect::<Result<_>>()
    });
    Ok(Interest {
        schemas: json(row, "schemas")?,
        task_types: json(row, "task_types")?,
        event_types: event_types.transpose()?,
        states: json(row, "states")?,
    })
}

fn treatment(row: &QueryResult) -> Result<Treatment> {
    let rate = row.get::<Option<String>>("rate_limit")?;
    Ok(Treatment {
        headers: json(row, "header_names")?.unwrap_or_default(),
        rate: rate.map(|text| Rate::parse(&text).map_err(|_| unreadable("rate_limit", &text))).transpose()?,
        concurrency: row.get::<Option<i32>>("concurrency")?.map(|n| n.max(1) as u32),
        timeout: row.get::<Option<i64>>("timeout_ms")?.map(|ms| Duration::from_millis(ms.max(1) as u64)),
    })
}
