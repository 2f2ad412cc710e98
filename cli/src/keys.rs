//! `api_key`, `api_keys`, `revoke_key`.

use std::time::Duration;

use serde_json::{Value, json};
use task_inbox::app::keys::{self, KeyInfo, NewKey};
use task_inbox::app::rate::Rate;
use task_inbox::app::{Permission, Principal};
use task_inbox::config::{Config, duration};
use uuid::Uuid;

use crate::output::{Answer, or_dash, table};
use crate::session::with_app;

/// Arguments of `api_key`.
#[derive(clap::Args)]
pub(crate) struct ApiKey {
    /// What it is called
    #[arg(long)]
    name: String,
    /// A schema that it sees; may be repeated. Without one: all
    #[arg(long = "schema", value_name = "SCHEMA")]
    schemas: Vec<String>,
    /// What it may do; may be repeated. Without one: tasks:write and tasks:read
    #[arg(long = "permission", value_name = "PERMISSION", value_parser = permission)]
    permissions: Vec<Permission>,
    /// How long it works: 90d, 12h
    #[arg(long, value_name = "SPAN", value_parser = expiry)]
    expires: Option<Duration>,
    /// How many requests it may make: 100/s, 1000/m
    #[arg(long, value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// Take over this key instead of making one
    #[arg(long)]
    key: Option<String>,
}

/// Arguments of `revoke_key`.
#[derive(clap::Args)]
pub(crate) struct RevokeKey {
    /// The key's id
    id: Uuid,
}

fn permission(text: &str) -> Result<Permission, String> {
    Permission::parse(text).ok_or_else(|| {
        let known: Vec<_> = Permission::ALL.iter().map(|p| p.as_str()).collect();
        format!("there are {}", known.join(", "))
    })
}

fn expiry(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        span => Ok(span),
    }
}

pub(crate) async fn create(args: ApiKey, config: &Config) -> anyhow::Result<Answer> {
    let new = NewKey {
        name: args.name,
        schemas: (!args.schemas.is_empty()).then_some(args.schemas),
        permissions: (!args.permissions.is_empty()).then_some(args.permissions),
        expires: args.expires,
        rate: args.rate,
        key: args.key,
    };
    with_app(config, async |app| {
        let created = keys::create(app, &Principal::cli(), new).await?;
        let mut json = key_json(&created.info);
        json["key"] = created.key.as_str().into();
        json["warnings"] = created.warnings.clone().into();
        let info = &created.info;
        let text = format!(
            "{}\n\nThis is the key {} ({}); it is not shown again.",
            created.key,
            info.name,
            info.permissions.join(", ")
        );
        Ok(Answer::new(json, text).warn(&created.warnings))
    })
    .await
}

pub(crate) async fn list(config: &Config) -> anyhow::Result<Answer> {
    with_app(config, async |app| {
        let keys = keys::list(app, &Principal::cli()).await?;
        let row = |k: &KeyInfo| {
            let status = match (k.revoked, k.expires) {
                (Some(at), _) => format!("revoked {at}"),
                (None, Some(at)) => format!("until {at}"),
                (None, None) => "active".to_owned(),
            };
            vec![
                k.id.to_string(),
                k.name.clone(),
                k.hint.clone(),
                k.schemas.as_ref().map_or_else(|| "all".to_owned(), |s| s.join(", ")),
                k.permissions.join(", "),
                or_dash(k.rate.as_ref()),
                status,
                or_dash(k.last_used),
            ]
        };
        let rows: Vec<_> = keys.iter().map(row).collect();
        let head = ["id", "name", "key", "schemas", "permissions", "rate", "status", "last used"];
        let text =
            table(&head, &rows, "there are no API keys; make one with `task-inbox api_key --name NAME`");
        Ok(Answer::new(json!({"api_keys": keys.iter().map(key_json).collect::<Vec<_>>()}), text))
    })
    .await
}

pub(crate) async fn revoke(args: RevokeKey, config: &Config) -> anyhow::Result<Answer> {
    with_app(config, async |app| {
        let key = keys::revoke(app, &Principal::cli(), args.id).await?;
        Ok(Answer::new(key_json(&key), format!("the key {} ({}) is revoked", key.name, key.hint)))
    })
    .await
}

fn key_json(key: &KeyInfo) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "schemas": key.schemas,
        "permissions": key.permissions,
        "rate": key.rate,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "last_used": key.last_used,
    })
}
