//! `deliveries`; what sends them again is in `replays`.

use serde_json::Value;
use task_inbox::app::deliveries::MAX_LIMIT;
use task_inbox::store::delivery_list::DeliveryStatus;
use uuid::Uuid;

use super::replays;
use crate::api::{Api, Call};
use crate::output::{Answer, Cell, Table, list, shown};

/// Arguments of `deliveries`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Deliveries {
    /// Show this one, with its attempts
    #[arg(conflicts_with_all = ["schema", "endpoint", "task", "event", "status", "limit", "cursor"])]
    id: Option<Uuid>,
    /// Only those of this schema
    #[arg(long)]
    schema: Option<String>,
    /// Only those to this endpoint
    #[arg(long, value_name = "ID")]
    endpoint: Option<Uuid>,
    /// Only those of this task
    #[arg(long, value_name = "ID")]
    task: Option<Uuid>,
    /// Only those of this event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Only those in this status
    #[arg(long, value_parser = DeliveryStatus::ALL.map(DeliveryStatus::as_str))]
    status: Option<String>,
    /// How many at most: 100 if it is not said
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MAX_LIMIT))]
    limit: Option<u64>,
    /// The next_cursor of the page before
    #[arg(long)]
    cursor: Option<String>,
    #[command(subcommand)]
    command: Option<replays::Command>,
}

pub(crate) async fn run(args: &Deliveries, api: &Api) -> anyhow::Result<Answer> {
    match (&args.command, args.id) {
        (Some(command), _) => replays::run(command, api).await,
        (None, Some(id)) => one(id, api).await,
        (None, None) => page(args, api).await,
    }
}

async fn page(args: &Deliveries, api: &Api) -> anyhow::Result<Answer> {
    let call = Call::get(&["deliveries"])
        .query("schema", args.schema.as_ref())
        .query("endpoint", args.endpoint)
        .query("task", args.task)
        .query("event", args.event.as_ref())
        .query("status", args.status.as_ref())
        .query("limit", args.limit)
        .query("cursor", args.cursor.as_ref());
    let answer = api.send(call).await?;
    let row = |delivery: &Value| {
        vec![
            shown(delivery, "id").into(),
            Cell::status(shown(delivery, "status")),
            shown(delivery, "attempts").into(),
            shown(delivery, "event_type").into(),
            shown(delivery, "url").into(),
            shown(delivery, "reason").into(),
            shown(delivery, "due_at").into(),
            shown(delivery, "finished").into(),
        ]
    };
    let head = ["id", "status", "attempts", "event", "url", "reason", "due", "finished"];
    let table = Table::new(&head)
        .none("no deliveries")
        .rows(list(&answer, "deliveries").iter().map(row))
        .page_of(&answer)
        .to_text();

    Ok(Answer::painted(answer, table))
}

async fn one(id: Uuid, api: &Api) -> anyhow::Result<Answer> {
    let answer = api.send(Call::get(&["deliveries", &id.to_string()])).await?;
    let delivery = &answer["delivery"];
    let fields = [
        "id",
        "event_id",
        "event_type",
        "schema",
        "task_id",
        "url",
        "status",
        "reason",
        "is_resend",
        "created",
        "due_at",
        "finished",
    ];
    let about = fields.iter().map(|name| {
        let value = shown(delivery, name);
        let value = if *name == "status" { Cell::status(value) } else { value.into() };
        vec![(*name).replace('_', " ").into(), value]
    });
    let about = Table::new(&["delivery", ""]).whole().rows(about).to_text();
    let row = |attempt: &Value| {
        vec![
            shown(attempt, "number").into(),
            shown(attempt, "started").into(),
            format!("{} ms", shown(attempt, "duration_ms")).into(),
            Cell::status(shown(attempt, "outcome")),
            shown(attempt, "status").into(),
            shown(attempt, "error").into(),
            shown(attempt, "response").into(),
        ]
    };
    let attempts = Table::new(&["attempt", "started", "took", "outcome", "status", "error", "response"])
        .none("it was not attempted yet")
        .rows(list(&answer, "attempts").iter().map(row))
        .to_text();
    Ok(Answer::painted(answer.clone(), format!("{about}\n{attempts}")))
}
