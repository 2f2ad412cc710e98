//! `listen`: the events of an inbox, as they happen, on a developer's machine.
//!
//! The log is read by cursor, so that no public address is needed, and nothing is lost while the server
//! restarts. Each event is printed and, with `--forward`, posted as the webhook that an endpoint would get
//! (`forward`): one after the other, and each until it is taken, or refused for good.
//!
//! It follows the whole log, as far as the key sees it and the filter lets through, and no endpoint's interest.

mod forward;
mod line;

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use task_inbox::shutdown;
use task_inbox_domain::EventType;
use task_inbox_domain::cursor::LogCursor;
use url::Url;
use uuid::Uuid;

use crate::api::{Api, Call, Refusal};
use crate::output::{Answer, note, say, text, warn};
use forward::{Forward, Outcome};

/// How long to wait where nothing is new, and where the server is away at first.
const PERIOD: Duration = Duration::from_millis(500);
/// How long to wait for a server that stays away.
const LONGEST_PERIOD: Duration = Duration::from_secs(5);

/// Arguments of `listen`.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").args(["forward", "print"]).required(true).multiple(true)))]
pub(crate) struct Listen {
    /// Post each event as a webhook to this address, in order: until it is taken, or refused three times (a
    /// 4xx but 408, 425 and 429)
    #[arg(long, value_name = "URL", value_parser = forward::target)]
    forward: Option<Url>,
    /// Only print a line for each event
    #[arg(long)]
    print: bool,
    /// Sign with this secret, whsec_..., instead of making one; in WEBHOOK_SECRET nobody can read along
    #[arg(long, value_name = "SECRET", env = "WEBHOOK_SECRET", hide_env = true)]
    secret: Option<String>,
    /// Send the original's webhook, which carries a key in this header and is not signed
    #[arg(long, value_name = "NAME", requires = "key", value_parser = forward::header)]
    header: Option<String>,
    /// The key in that header
    #[arg(long, requires = "header")]
    key: Option<String>,
    /// Only events of this schema
    #[arg(long)]
    schema: Option<String>,
    /// Only events of tasks of this type
    #[arg(long)]
    ttype: Option<String>,
    /// Only events of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = EventType::ALL.map(EventType::as_str))]
    kinds: Vec<String>,
    /// Only events of this task
    #[arg(long, value_name = "ID")]
    task: Option<Uuid>,
    /// Go on after this cursor, which the end of an earlier run names
    #[arg(long, value_name = "CURSOR", conflicts_with = "from_start")]
    after: Option<String>,
    /// Begin with the first event that is kept, instead of what is yet to come
    #[arg(long)]
    from_start: bool,
    /// End after so many events
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    until: Option<u64>,
}

/// How far it has come.
struct Position {
    cursor: String,
    events: u64,
    /// How many of them were refused.
    passed: u64,
}

/// A page of the log. An event's text is kept as it came: it is the body of its webhook.
#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    next_cursor: String,
}

pub(crate) async fn run(args: &Listen, api: &Api, is_json: bool) -> anyhow::Result<Answer> {
    let stop = shutdown::on_signal().context("signals can't be listened to")?;
    let forward = args.forward.as_ref().map(|url| Forward::new(url, args)).transpose()?;
    let cursor = tokio::select! {
        cursor = begin(args, api) => cursor?,
        () = stop.cancelled() => return Err(Refusal::new("given up before there was an answer").into()),
    };
    let mut position = Position { cursor, events: 0, passed: 0 };
    let place = match api {
        Api::Local(_) => "the database",
        Api::Remote(remote) => remote.server(),
    };
    note(&format!("listening to {place}; control-C ends it"));
    if let Some(forward) = &forward {
        note(&forward.about());
    }
    let ended = tokio::select! {
        ended = follow(args, api, forward.as_ref(), &mut position, is_json) => ended,
        () = stop.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        note(&format!("what came before is done: go on with --after {}", position.cursor));
        return Err(error);
    }
    let Position { cursor, events, passed } = position;
    let secret = forward.as_ref().and_then(Forward::made_secret);
    let refused =
        if passed > 0 { format!(", passed over because they were refused: {passed}") } else { String::new() };
    let said = format!("events: {events}{refused}; go on with --after {cursor}");
    Ok(Answer::new(json!({"events": events, "passed": passed, "cursor": cursor, "secret": secret}), said))
}

/// The cursor to begin with. This is also what a wrong address, key or cursor shows at.
async fn begin(args: &Listen, api: &Api) -> anyhow::Result<String> {
    if let Some(cursor) = &args.after {
        page(args, api, cursor).await?;
        return Ok(cursor.clone());
    }
    if !args.from_start {
        return Ok(page(args, api, "latest").await?.next_cursor);
    }
    match page(args, api, "").await {
        // What has been trimmed is no longer there to begin with.
        Err(refusal) if refusal.status == Some(410) && refusal.cursor.is_some() => {
            Ok(refusal.cursor.unwrap_or_default())
        }
        found => found.map(|_| LogCursor(0).encode()).map_err(Into::into),
    }
}

async fn page(args: &Listen, api: &Api, after: &str) -> Result<Page, Refusal> {
    // The API filters by one type; of several, the others are left out here.
    let kind = args.kinds.first().filter(|_| args.kinds.len() == 1);
    let call = Call::get(&["events"])
        .query("after", Some(after))
        .query("schema", args.schema.as_ref())
        .query("ttype", args.ttype.as_ref())
        .query("type", kind)
        .query("task", args.task);
    let reply = api.ask(call).await?;
    serde_json::from_slice(&reply.body)
        .map_err(|e| Refusal::new(format!("the page of events can't be read: {e}")))
}

/// Follows the log until there were as many events as were wanted.
async fn follow(
    args: &Listen,
    api: &Api,
    forward: Option<&Forward>,
    position: &mut Position,
    is_json: bool,
) -> anyhow::Result<()> {
    let mut away = None;
    loop {
        let page = match page(args, api, &position.cursor).await {
            Ok(page) => page,
            Err(refusal) if refusal.is_passing() => {
                let wait = away.map_or(PERIOD, |before: Duration| (before * 2).min(LONGEST_PERIOD));
                if away.is_none() {
                    warn(&format!("{refusal}; trying again until it is back"));
                }
                away = Some(wait);
                tokio::time::sleep(wait).await;
                continue;
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if away.take().is_some() {
            note("it is back");
        }
        let asked = position.cursor.clone();
        for event in page.events {
            let document: Value = serde_json::from_str(event.get()).context("an event can't be read")?;
            if !args.kinds.is_empty() && !args.kinds.iter().any(|kind| kind == text(&document, "type")) {
                continue;
            }
            let outcome = match forward {
                Some(forward) => Some(forward.deliver(event.get(), &document).await?),
                None => None,
            };
            if !say(&line::of(&document, outcome.as_ref()), is_json) {
                return Ok(());
            }
            if matches!(outcome, Some(Outcome::Passed(_))) {
                position.passed += 1;
            }
            text(&document["data"], "cursor").clone_into(&mut position.cursor);
            position.events += 1;
            if Some(position.events) == args.until {
                return Ok(());
            }
        }
        // A page moves on past what the filter leaves out, too: there may be more behind it.
        let is_new = page.next_cursor != asked;
        position.cursor = page.next_cursor;
        if !is_new {
            tokio::time::sleep(PERIOD).await;
        }
    }
}
