//! `webhook_key`.

use serde_json::json;
use task_inbox::app::{Principal, webhook_keys};
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
        let ttype = args.ttype.as_deref();
        let made =
            webhook_keys::create(app, &Principal::cli(), &args.schema, ttype, args.key, args.rotate).await?;
        let json = json!({
            "id": made.id, "key": made.key, "kind": made.kind, "schema": args.schema, "ttype": args.ttype,
            "url": made.url,
        });
        let use_of_it = match made.kind {
            "head" => "is sent along with",
            _ => "signs",
        };
        let text = format!(
            "{}\n\nThis key {use_of_it} webhooks to {}; give it to the receiver. It is not shown again.",
            made.key, made.url
        );
        Ok(Answer::new(json, text))
    })
    .await
}
