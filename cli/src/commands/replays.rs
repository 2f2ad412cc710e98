//! Sending again: `deliveries resend`, and the jobs of `deliveries replay`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use task_inbox::app::replays::MAX_LIMIT;
use task_inbox::config::duration;
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use crate::api::{Api, Call};
use crate::output::{Answer, Cell, Progress, Table, list, shown, text};

/// How often a job that is watched is asked for.
const PERIOD: Duration = Duration::from_millis(500);

/// What to do with deliveries.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Send a delivery again, now
    Resend {
        /// The delivery
        id: Uuid,
    },
    /// Send again what an endpoint missed, by a job that goes on through restarts
    Replay(Replay),
    /// List replays, newest first; with an id, that one
    Replays {
        /// Only this one
        #[arg(conflicts_with_all = ["endpoint", "limit", "cursor"])]
        id: Option<Uuid>,
        /// Only those of this endpoint
        #[arg(long, value_name = "ID")]
        endpoint: Option<Uuid>,
        /// How many at most: 100 if it is not said
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MAX_LIMIT))]
        limit: Option<u64>,
        /// The next_cursor of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// End a replay; what it has made goes out
    Cancel {
        /// The replay
        id: Uuid,
    },
}

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").args(["dead", "since"]).required(true)))]
pub(crate) struct Replay {
    /// The endpoint
    endpoint: Uuid,
    /// What was given up; this or --since
    #[arg(long)]
    dead: bool,
    /// Everything since a time: RFC 3339, or a span such as 2h for so long ago
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Only events of this schema
    #[arg(long)]
    schema: Option<String>,
    /// Only say how many deliveries that would be
    #[arg(long, visible_alias = "dryrun", alias = "dry_run")]
    dry_run: bool,
    /// Wait until it is done; a running server works on it
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let ago = duration::parse(text).map_err(|_| {
        format!("{text:?} is neither a time such as 2026-11-21T10:00:00Z nor a span such as 2h")
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_micros(now.saturating_sub(ago).as_micros() as i64))
}

pub(super) async fn run(command: &Command, api: &Api) -> anyhow::Result<Answer> {
    match command {
        Command::Resend { id } => {
            let call = Call::post(&["deliveries", &id.to_string(), "resend"], &json!({}));
            let made = api.send(call).await?;
            let new = shown(&made["delivery"], "id");
            Ok(Answer::new(made, format!("{id} is sent again as {new}")))
        }
        Command::Replay(args) => replay(args, api).await,
        Command::Replays { id: Some(id), .. } => {
            let job = api.send(Call::get(&["replays", &id.to_string()])).await?;
            let table = table(std::slice::from_ref(&job)).to_text();
            Ok(Answer::painted(job, table))
        }
        Command::Replays { id: None, endpoint, limit, cursor } => {
            let call = Call::get(&["replays"])
                .query("endpoint", *endpoint)
                .query("limit", *limit)
                .query("cursor", cursor.as_ref());
            let answer = api.send(call).await?;
            let table = table(list(&answer, "replays")).page_of(&answer).to_text();
            Ok(Answer::painted(answer, table))
        }
        Command::Cancel { id } => {
            let job = api.send(Call::post(&["replays", &id.to_string(), "cancel"], &json!({}))).await?;
            let said =
                format!("{id} is cancelled; what it made goes out (deliveries: {})", shown(&job, "resent"));
            Ok(Answer::new(job, said))
        }
    }
}

async fn replay(args: &Replay, api: &Api) -> anyhow::Result<Answer> {
    let what = if args.dead { "dead" } else { "since" };
    let body = json!({
        "endpoint": args.endpoint, "what": what, "since": args.since, "schema": args.schema, "dry_run": args.dry_run,
    });
    let made = api.send(Call::post(&["replays"], &body)).await?;
    if args.dry_run {
        let count = shown(&made, "count");
        let least = if made["at_least"] == true { "at least " } else { "" };
        return Ok(Answer::new(made, format!("deliveries that would be sent again: {least}{count}")));
    }
    let id = text(&made, "id").to_owned();
    if args.watch {
        let job = watch(&id, made, api).await?;
        let is_done = job["status"] == "done";
        let said =
            format!("{id} is {}; deliveries that it made: {}", text(&job, "status"), shown(&job, "resent"));
        return Ok(Answer::new(job, said).ok(is_done));
    }
    Ok(Answer::new(
        made,
        format!("replay {id} is running; `task-inbox deliveries replays {id}` shows how far it is"),
    ))
}

/// Asks until the job has ended.
async fn watch(id: &str, mut job: Value, api: &Api) -> anyhow::Result<Value> {
    let first = job["next_seq"].as_u64().unwrap_or_default();
    let mut progress = Progress::new("sending again");
    while job["status"] == "running" {
        tokio::time::sleep(PERIOD).await;
        job = api.send(Call::get(&["replays", id])).await?;
        match (job["next_seq"].as_u64(), job["last_seq"].as_u64()) {
            (Some(next), Some(last)) => {
                progress.at(next.saturating_sub(first), (last + 1).saturating_sub(first));
            }
            // How many are dead is not counted while they get fewer.
            _ => progress.at(job["resent"].as_u64().unwrap_or_default(), 0),
        }
    }
    Ok(job)
}

fn table(jobs: &[Value]) -> Table {
    let row = |job: &Value| {
        vec![
            shown(job, "id").into(),
            Cell::status(shown(job, "status")),
            shown(job, "resent").into(),
            shown(job, "what").into(),
            shown(job, "since").into(),
            shown(job, "schema").into(),
            shown(job, "endpoint_id").into(),
            shown(job, "created").into(),
            shown(job, "finished").into(),
        ]
    };
    let head = ["id", "status", "resent", "what", "since", "schema", "endpoint id", "created", "finished"];
    Table::new(&head)
        .none("there are no replays; `task-inbox deliveries replay ENDPOINT --dead` makes one")
        .rows(jobs.iter().map(row))
}
