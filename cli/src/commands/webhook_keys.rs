//! `webhook_key`, `webhook_keys`, `revoke_webhook_key`.

use serde_json::{Value, json};
use task_inbox::config::duration;
use uuid::Uuid;

use crate::api::{Api, Call};
use crate::output::{Answer, Cell, Table, list as items, shown, text};

/// Arguments of `webhook_key`.
#[derive(clap::Args)]
pub(crate) struct WebhookKey {
    /// The schema
    #[arg(required_unless_present = "endpoint", conflicts_with = "endpoint")]
    schema: Option<String>,
    /// The registered endpoint that it is for, in the place of a schema
    #[arg(long, value_name = "ID", conflicts_with = "ttype")]
    endpoint: Option<Uuid>,
    /// The type whose own endpoint it is for
    #[arg(long = "type", value_name = "TYPE")]
    ttype: Option<String>,
    /// Take over this key instead of making one
    #[arg(long)]
    key: Option<String>,
    /// Replace the key that there is
    #[arg(long)]
    rotate: bool,
    /// How long the replaced key signs beside the new one: 24h if it is not said, 30d at most, 0s
    /// not at all
    #[arg(long, value_name = "SPAN", requires = "rotate", value_parser = span)]
    overlap: Option<String>,
}

/// Arguments of `webhook_keys`.
#[derive(clap::Args)]
pub(crate) struct WebhookKeys {
    /// Only those of this schema
    schema: Option<String>,
}

/// Arguments of `revoke_webhook_key`.
#[derive(clap::Args)]
pub(crate) struct RevokeWebhookKey {
    /// The key's id
    id: Uuid,
}

fn span(text: &str) -> Result<String, String> {
    duration::parse(text).map(|_| text.to_owned())
}

pub(crate) async fn create(args: &WebhookKey, api: &Api) -> anyhow::Result<Answer> {
    let body = json!({
        "schema": args.schema, "type": args.ttype, "endpoint": args.endpoint, "key": args.key, "rotate": args.rotate,
        "overlap": args.overlap,
    });
    let made = api.send(Call::post(&["webhook-keys"], &body)).await?;
    let use_of_it = if text(&made, "kind") == "head" { "is sent along with" } else { "signs" };
    let text = format!(
        "{}\n\nThis key {use_of_it} webhooks to {}; give it to the receiver. It is not shown again.",
        text(&made, "key"),
        text(&made, "url")
    );
    Ok(Answer::new(made.clone(), text).warn_of(&made))
}

pub(crate) async fn list(args: &WebhookKeys, api: &Api) -> anyhow::Result<Answer> {
    let answer = api.send(Call::get(&["webhook-keys"]).query("schema", args.schema.as_ref())).await?;
    let row = |key: &Value| {
        let status = if key["unused"] == true {
            "unused".to_owned()
        } else if key["expires"].is_string() {
            format!("until {}", shown(key, "expires"))
        } else {
            "active".to_owned()
        };
        vec![
            shown(key, "id").into(),
            Cell::status(status),
            shown(key, "schema").into(),
            shown(key, "type").into(),
            shown(key, "kind").into(),
            shown(key, "url").into(),
            shown(key, "created").into(),
        ]
    };
    let table = Table::new(&["id", "status", "schema", "type", "kind", "url", "created"])
        .none("there are no webhook keys; make one with `task-inbox webhook_key SCHEMA`")
        .rows(items(&answer, "webhook_keys").iter().map(row))
        .to_text();
    Ok(Answer::painted(answer, table))
}

pub(crate) async fn revoke(args: &RevokeWebhookKey, api: &Api) -> anyhow::Result<Answer> {
    let key = api.send(Call::delete(&["webhook-keys", &args.id.to_string()])).await?;
    let text = format!("the key {} for {} has ended", shown(&key, "id"), shown(&key, "url"));
    Ok(Answer::new(key, text))
}
