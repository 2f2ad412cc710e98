//! What the API tells of an inbox as a whole: keys, maintenance, checkpoints; and, by way of their own parts,
//! endpoints and deliveries.

use std::time::Duration;

use serde_json::Value;
use task_inbox::app::App;
use task_inbox::startup::Finding;
use task_inbox_domain::Timestamp;

use super::{deliveries, endpoints, unseen};
use crate::api::{Api, Call, Refusal};
use crate::output::{list, shown, text};

/// How much sooner than its end a key is worth a look.
const SOON: Duration = Duration::from_hours(7 * 24);
/// How old a checkpoint may be: what came after it can be altered without a trace.
const OLD: Duration = Duration::from_hours(7 * 24);

/// Looks at all of it.
pub(super) async fn look(api: &Api) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(api_keys(api).await.unwrap_or_else(|refusal| vec![unseen("api keys", &refusal)]));
    findings.extend(maintenance(api).await.unwrap_or_else(|refusal| vec![unseen("maintenance", &refusal)]));
    findings.extend(endpoints::look(api).await.unwrap_or_else(|refusal| vec![unseen("endpoints", &refusal)]));
    findings
        .extend(deliveries::look(api).await.unwrap_or_else(|refusal| vec![unseen("deliveries", &refusal)]));
    findings.push(checkpoints(api).await.unwrap_or_else(|refusal| unseen("checkpoints", &refusal)));
    findings
}

/// A time of the API.
pub(super) fn time(document: &Value, name: &str) -> Option<Timestamp> {
    document[name].as_str().and_then(|text| Timestamp::parse(text).ok())
}

async fn api_keys(api: &Api) -> Result<Vec<Finding>, Refusal> {
    const CHECK: &str = "api keys";
    let answer = api.send(Call::get(&["api-keys"])).await?;
    let now = App::now();
    let works = |key: &&Value| key["revoked"].is_null() && time(key, "expires").is_none_or(|end| end > now);
    let live: Vec<_> = list(&answer, "api_keys").iter().filter(works).collect();
    if live.is_empty() {
        return Ok(vec![
            Finding::warning(CHECK, "there is none, so no application can post a task")
                .advise("task-inbox api_key --name NAME"),
        ]);
    }
    let mut findings = vec![Finding::ok(CHECK, format!("{} may be used", live.len()))];
    let ending = live.iter().filter(|key| time(key, "expires").is_some_and(|end| end < now.plus(SOON)));
    findings.extend(ending.map(|key| {
        Finding::warning(
            CHECK,
            format!("{} ({}) ends at {}", shown(key, "name"), shown(key, "id"), shown(key, "expires")),
        )
        .advise("make another and give it to whoever uses this one")
    }));
    Ok(findings)
}

async fn maintenance(api: &Api) -> Result<Vec<Finding>, Refusal> {
    let answer = api.send(Call::get(&["maintenance"])).await?;
    let going_on: Vec<_> = list(&answer, "maintenance").iter().map(in_maintenance).collect();
    if going_on.is_empty() {
        return Ok(vec![Finding::ok("maintenance", "nothing is in maintenance")]);
    }
    Ok(going_on)
}

fn in_maintenance(maintenance: &Value) -> Finding {
    let (what, off) = match maintenance["schema"].as_str() {
        None => ("the whole inbox".to_owned(), String::new()),
        Some(name) => (format!("the schema {name}"), format!(" --schema {name}")),
    };
    let webhooks = if maintenance["hold_deliveries"] == true { ", and webhooks wait" } else { "" };
    let since = shown(maintenance, "since");
    let detail = format!(
        "{what} is in maintenance since {since}: writes are refused{webhooks} ({})",
        text(maintenance, "message")
    );
    Finding::warning("maintenance", detail)
        .advise(format!("once it is over: task-inbox maintenance off{off}"))
}

async fn checkpoints(api: &Api) -> Result<Finding, Refusal> {
    const CHECK: &str = "checkpoints";
    const ADVICE: &str =
        "task-inbox audit checkpoint --json, now and then, and keep it where nobody can change it";
    let seq = api.send(Call::get(&["log"])).await?["seq"].as_i64().unwrap_or(0);
    let answer = api.send(Call::get(&["checkpoints"])).await?;
    Ok(match list(&answer, "checkpoints").last() {
        None if seq == 0 => Finding::ok(CHECK, "the log is empty"),
        None => Finding::warning(CHECK, format!("there is none, and the log ends with event {seq}"))
            .advise(ADVICE),
        Some(latest) => {
            let since = seq - latest["seq"].as_i64().unwrap_or(0);
            let made = time(latest, "created");
            let detail = format!("the latest is of {}; events since: {since}", shown(latest, "created"));
            match made {
                Some(made) if since > 0 && App::now().since(made) > OLD => {
                    Finding::warning(CHECK, detail).advise(ADVICE)
                }
                _ => Finding::ok(CHECK, detail),
            }
        }
    })
}
