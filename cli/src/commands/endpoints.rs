//! `endpoints`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{Api, Call};
use crate::output::{Answer, Cell, Table, list, shown};

/// Arguments of `endpoints`.
#[derive(clap::Args)]
pub(crate) struct Endpoints {
    /// Only this one
    id: Option<Uuid>,
    /// Only those of this schema
    #[arg(long)]
    schema: Option<String>,
    /// Only those in this status
    #[arg(long)]
    status: Option<String>,
}

pub(crate) async fn run(args: &Endpoints, api: &Api) -> anyhow::Result<Answer> {
    let answer = if let Some(id) = args.id {
        json!({"endpoints": [api.send(Call::get(&["endpoints", &id.to_string()])).await?]})
    } else {
        let call = Call::get(&["endpoints"]).query("schema", args.schema.as_ref());
        api.send(call.query("status", args.status.as_ref())).await?
    };
    let row = |endpoint: &Value| {
        let waits = if endpoint["waiting"] == 10_000 {
            "10000 or more".to_owned()
        } else {
            shown(endpoint, "waiting")
        };
        vec![
            shown(endpoint, "id").into(),
            Cell::status(shown(endpoint, "status")),
            Cell::status(shown(endpoint, "held")),
            waits.into(),
            shown(endpoint, "url").into(),
            shown(endpoint, "schema").into(),
            shown(endpoint, "type").into(),
            shown(endpoint, "kind").into(),
            shown(endpoint, "status_reason").into(),
        ]
    };
    let head = ["id", "status", "held", "waiting", "url", "schema", "type", "kind", "reason"];
    let table = Table::new(&head)
        .none("there are no endpoints; a schema's default_hook_url and a type's hook_url make one")
        .rows(list(&answer, "endpoints").iter().map(row))
        .to_text();
    Ok(Answer::painted(answer, table))
}
