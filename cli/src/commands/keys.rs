//! `api_key`, `api_keys`, `revoke_key`.

use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::app::rate::Rate;
use task_inbox::config::duration;
use uuid::Uuid;

use crate::api::{Api, Call};
use crate::output::{Answer, Cell, Table, list as items, shown, text};

/// Arguments of `api_key`.
#[derive(clap::Args)]
pub(crate) struct ApiKey {
    /// What it is called
    #[arg(long)]
    name: String,
    /// A schema that it sees; may be repeated. Without one: all
    #[arg(long = "schema", value_name = "SCHEMA")]
    schemas: Vec<String>,
    /// What it may do; may be repeated. Without one: tasks:write and tasks:read. With endpoints:write it may register
    /// endpoints that hear of every task that it sees, and that stay when it ends
    #[arg(long = "permission", value_name = "PERMISSION", value_parser = permission)]
    permissions: Vec<String>,
    /// How long it works: 90d, 12h
    #[arg(long, value_name = "SPAN", value_parser = expiry)]
    expires: Option<String>,
    /// How many requests it may make of each replica: 100/s, 1000/m
    #[arg(long, value_parser = rate)]
    rate: Option<String>,
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

fn permission(text: &str) -> Result<String, String> {
    let known = Permission::ALL.map(Permission::as_str);
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(format!("there are {}", known.join(", "))) }
}

fn expiry(text: &str) -> Result<String, String> {
    if duration::parse(text)?.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(text.to_owned())
}

fn rate(text: &str) -> Result<String, String> {
    Rate::parse(text).map(|_| text.to_owned())
}

pub(crate) async fn create(args: &ApiKey, api: &Api) -> anyhow::Result<Answer> {
    let named = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
    let body = json!({
        "name": args.name, "schemas": named(&args.schemas), "permissions": named(&args.permissions),
        "expires_in": args.expires, "rate": args.rate, "key": args.key,
    });
    let made = api.send(Call::post(&["api-keys"], &body)).await?;
    let text = format!(
        "{}\n\nThis is the key {} ({}); it is not shown again.",
        text(&made, "key"),
        text(&made, "name"),
        shown(&made, "permissions")
    );
    Ok(Answer::new(made.clone(), text).warn_of(&made))
}

pub(crate) async fn list(api: &Api) -> anyhow::Result<Answer> {
    let answer = api.send(Call::get(&["api-keys"])).await?;
    let row = |key: &Value| {
        let status = match (key["revoked"].is_string(), key["expires"].is_string()) {
            (true, _) => format!("revoked {}", shown(key, "revoked")),
            (false, true) => format!("until {}", shown(key, "expires")),
            (false, false) => "active".to_owned(),
        };
        vec![
            shown(key, "id").into(),
            shown(key, "name").into(),
            Cell::status(status),
            shown(key, "last_used").into(),
            shown(key, "hint").into(),
            if key["schemas"].is_null() { "all".into() } else { shown(key, "schemas").into() },
            shown(key, "permissions").into(),
            shown(key, "rate").into(),
        ]
    };
    let table = Table::new(&["id", "name", "status", "last used", "key", "schemas", "permissions", "rate"])
        .none("there are no API keys; make one with `task-inbox api_key --name NAME`")
        .rows(items(&answer, "api_keys").iter().map(row))
        .to_text();
    Ok(Answer::painted(answer, table))
}

pub(crate) async fn revoke(args: &RevokeKey, api: &Api) -> anyhow::Result<Answer> {
    let key = api.send(Call::delete(&["api-keys", &args.id.to_string()]).repeatable()).await?;
    let text = format!("the key {} ({}) is revoked", shown(&key, "name"), shown(&key, "hint"));
    Ok(Answer::new(key, text))
}
