//! `maintenance`.

use serde_json::{Value, json};
use task_inbox::app::maintenance::{MAX_MESSAGE, RETRY_AFTER_RANGE};
use task_inbox::config::duration;

use crate::api::{Api, Call};
use crate::output::{Answer, Cell, Table, list, shown, text};

/// Its parts.
#[derive(clap::Subcommand)]
pub(crate) enum Maintenance {
    /// Refuse writes to the inbox or to a schema; reads go on
    On(On),
    /// Let writes through again; webhooks that were held go out
    Off(Off),
    /// Show what is in maintenance
    Status,
}

/// Arguments of `maintenance on`.
#[derive(clap::Args)]
pub(crate) struct On {
    /// Only this schema. Without it: the whole inbox
    #[arg(long)]
    schema: Option<String>,
    /// What whoever is refused is told
    #[arg(long, value_parser = message)]
    message: Option<String>,
    /// When clients should come back, from 1s to 24h: 5m if it is not said
    #[arg(long, value_name = "SPAN", value_parser = retry_after)]
    retry_after: Option<String>,
    /// Let webhooks wait, too
    #[arg(long)]
    hold_deliveries: bool,
}

/// Arguments of `maintenance off`.
#[derive(clap::Args)]
pub(crate) struct Off {
    /// Only this schema. Without it: the whole inbox
    #[arg(long)]
    schema: Option<String>,
}

fn message(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > MAX_MESSAGE {
        return Err(format!("must have 1 to {MAX_MESSAGE} characters"));
    }
    Ok(text.to_owned())
}

fn retry_after(text: &str) -> Result<String, String> {
    if RETRY_AFTER_RANGE.contains(&duration::parse(text)?) {
        Ok(text.to_owned())
    } else {
        Err("must be from 1s to 24h".to_owned())
    }
}

pub(crate) async fn run(command: &Maintenance, api: &Api) -> anyhow::Result<Answer> {
    match command {
        Maintenance::On(args) => on(args, api).await,
        Maintenance::Off(args) => off(args, api).await,
        Maintenance::Status => status(api).await,
    }
}

async fn on(args: &On, api: &Api) -> anyhow::Result<Answer> {
    let body = json!({
        "schema": args.schema, "message": args.message, "retry_after": args.retry_after,
        "hold_deliveries": args.hold_deliveries,
    });
    let begun = api.send(Call::put(&["maintenance"], &body)).await?;
    let webhooks = if begun["hold_deliveries"] == true { "webhooks wait" } else { "webhooks go on" };
    let off = args.schema.as_ref().map(|name| format!(" --schema {name}")).unwrap_or_default();
    let said = format!(
        "{} is in maintenance; {webhooks}. Writes are told:\n  {}\nand to come back in {}. It ends with `task-inbox \
         maintenance off{off}`",
        what(&begun),
        text(&begun, "message"),
        text(&begun, "retry_after"),
    );
    Ok(Answer::new(begun, said))
}

async fn off(args: &Off, api: &Api) -> anyhow::Result<Answer> {
    let ended = api.send(Call::delete(&["maintenance"]).query("schema", args.schema.as_ref())).await?;
    let said =
        format!("the maintenance of {} has ended, which began {}", what(&ended), shown(&ended, "since"));
    Ok(Answer::new(ended, said))
}

async fn status(api: &Api) -> anyhow::Result<Answer> {
    let answer = api.send(Call::get(&["maintenance"])).await?;
    let row = |one: &Value| {
        vec![
            what(one).into(),
            Cell::status(if one["hold_deliveries"] == true { "held" } else { "go on" }.to_owned()),
            shown(one, "retry_after").into(),
            shown(one, "since").into(),
            shown(one, "by").into(),
            shown(one, "message").into(),
        ]
    };
    let table = Table::new(&["what", "webhooks", "retry after", "since", "by", "message"])
        .none("nothing is in maintenance")
        .rows(list(&answer, "maintenance").iter().map(row))
        .to_text();
    Ok(Answer::painted(answer, table))
}

/// What is in maintenance, in words.
fn what(maintenance: &Value) -> String {
    maintenance["schema"]
        .as_str()
        .map_or_else(|| "the whole inbox".to_owned(), |name| format!("the schema {name}"))
}
