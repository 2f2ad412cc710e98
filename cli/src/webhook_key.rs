//! `webhook_key`.

use std::time::Duration;

use serde_json::json;
use task_inbox::app::Principal;
use task_inbox::app::webhook_keys::{self, NewWebhookKey};
use task_inbox::config::Config;

use crate::output::Answer;
use crate::session::with_app;

/// Arguments of `webhook_key`.
#[derive(clap::Args)]
pub(crate) struct WebhookKey {
    /// The schema
    schema: String,
    /// The type whose own endpoint it is for
    #[arg(long = "type", value_name = "TYPE")]
    ttype: Option<String>,
    /// Take over this key instead of making one
    #[arg(long)]
    key: Option<String>,
    /// Replace the key that there is, at once
    #[arg(long)]
    rotate: bool,
}

pub(crate) async fn create(args: WebhookKey, config: &Config) -> anyhow::Result<Answer> {
    with_app(config, async |app| {
        // Without a word about it, a key is replaced at once.
        let overlap = args.rotate.then_some(Duration::ZERO);
        let new = NewWebhookKey {
            schema: args.schema,
            ttype: args.ttype,
            key: args.key,
            rotate: args.rotate,
            overlap,
        };
        let made = webhook_keys::create(app, &Principal::cli(), new).await?;
        let info = &made.info;
        let json = json!({
            "id": info.id, "key": made.key, "kind": info.kind, "schema": info.schema, "ttype": info.ttype,
            "url": info.url,
        });
        let use_of_it = match info.kind.as_str() {
            "head" => "is sent along with",
            _ => "signs",
        };
        let text = format!(
            "{}\n\nThis key {use_of_it} webhooks to {}; give it to the receiver. It is not shown again.",
            made.key, info.url
        );
        Ok(Answer::new(json, text))
    })
    .await
}
