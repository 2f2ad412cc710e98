//! What the API tells of an inbox: keys, endpoints, deliveries, checkpoints.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use task_inbox::app::App;
use task_inbox::startup::Finding;
use task_inbox_domain::Timestamp;
use url::Url;

use super::unseen;
use crate::api::{Api, Call, Refusal};
use crate::output::{list, shown, text};

/// How much sooner than its end a key is worth a look.
const SOON: Duration = Duration::from_hours(7 * 24);
/// How old a checkpoint may be: what came after it can be altered without a trace.
const OLD: Duration = Duration::from_hours(7 * 24);
/// How many failed attempts are no accident: ten minutes of them.
const MANY_ATTEMPTS: i64 = 4;
/// How late a delivery may be: longer than it takes to notice it.
const LATE: Duration = Duration::from_mins(1);
/// How many deliveries are looked at.
const PAGE: usize = 100;

/// Looks at all of it.
pub(super) async fn look(api: &Api) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(api_keys(api).await.unwrap_or_else(|refusal| vec![unseen("api keys", &refusal)]));
    findings.extend(endpoints(api).await.unwrap_or_else(|refusal| vec![unseen("endpoints", &refusal)]));
    findings.extend(deliveries(api).await.unwrap_or_else(|refusal| vec![unseen("deliveries", &refusal)]));
    findings.push(checkpoints(api).await.unwrap_or_else(|refusal| unseen("checkpoints", &refusal)));
    findings
}

/// Where webhooks go, each address once.
pub(super) async fn urls(api: &Api) -> Vec<Url> {
    let answer = api.send(Call::get(&["endpoints"])).await.unwrap_or_default();
    let used = list(&answer, "endpoints").iter().filter(|e| text(e, "status") != "removed");
    let mut urls: Vec<_> = used.filter_map(|endpoint| Url::parse(text(endpoint, "url")).ok()).collect();
    urls.sort();
    urls.dedup();
    urls
}

fn time(document: &Value, name: &str) -> Option<Timestamp> {
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

async fn endpoints(api: &Api) -> Result<Vec<Finding>, Refusal> {
    const CHECK: &str = "endpoints";
    let answer = api.send(Call::get(&["endpoints"])).await?;
    let used: Vec<_> = list(&answer, "endpoints").iter().filter(|e| text(e, "status") != "removed").collect();
    let held: Vec<_> = used.iter().filter_map(|endpoint| held(CHECK, endpoint)).collect();
    let free = used.len() - held.len();
    let summary = match used.len() {
        0 => "there are none: applications read the log".to_owned(),
        all => format!("{free} of {all} take webhooks"),
    };
    Ok([Finding::ok(CHECK, summary)]
        .into_iter()
        .filter(|_| free > 0 || used.is_empty())
        .chain(held)
        .collect())
}

/// Why nothing goes to an endpoint, if so.
fn held(check: &'static str, endpoint: &Value) -> Option<Finding> {
    let why = endpoint["held"].as_str()?;
    let schema = text(endpoint, "schema");
    let ttype = endpoint["type"].as_str().map_or_else(String::new, |name| format!(" --type {name}"));
    let waiting = endpoint["waiting"].as_i64().unwrap_or(0);
    let whose = format!("{} of {schema}{}", text(endpoint, "url"), ttype.replace(" --type", ""));
    let key = format!("task-inbox webhook_key {schema}{ttype}");
    let wait = format!("webhooks that wait: {waiting}");
    Some(match why {
        // Nothing is lost yet, and nothing is missed.
        "no_key" if waiting == 0 => {
            Finding::warning(check, format!("{whose} has no key to sign with")).advise(key)
        }
        "no_key" => Finding::failure(check, format!("{whose} has no key to sign with; {wait}")).advise(key),
        "no_master_key" => Finding::failure(
            check,
            format!("the key of {whose} is encrypted under a master key that is not here; {wait}"),
        )
        .advise(format!("add it to the ring of TASK_INBOX_MASTER_KEY, or make another key: {key} --rotate")),
        "disabled" => Finding::failure(
            check,
            format!("{whose} is disabled ({}); {wait}", shown(endpoint, "status_reason")),
        )
        .advise(format!("{key} --rotate makes it active again, and so does another address")),
        other => Finding::warning(check, format!("{whose} is held: {other}; {wait}")),
    })
}

async fn deliveries(api: &Api) -> Result<Vec<Finding>, Refusal> {
    const CHECK: &str = "deliveries";
    let page = async |status: &str| {
        api.send(Call::get(&["deliveries"]).query("status", Some(status)).query("limit", Some(PAGE))).await
    };
    let count = |page: &Value, deliveries: &[&Value]| match page["next_cursor"].as_str() {
        Some(_) => format!("{} of the latest {PAGE}", deliveries.len()),
        None => deliveries.len().to_string(),
    };
    let mut findings = Vec::new();
    let answer = page("dead").await?;
    let dead: Vec<_> = list(&answer, "deliveries").iter().collect();
    if let [newest, ..] = dead.as_slice() {
        let more = if answer["next_cursor"].is_string() { " or more" } else { "" };
        findings.push(
            Finding::warning(
                CHECK,
                format!(
                    "given up: {}{more}, the latest to {} ({})",
                    dead.len(),
                    shown(newest, "url"),
                    shown(newest, "reason")
                ),
            )
            .advise(
                "`task-inbox deliveries --status dead` lists them; what a receiver missed it can read from \
                 GET /api/v1/events",
            ),
        );
    }
    let answer = page("pending").await?;
    let pending = list(&answer, "deliveries").iter();
    let failing: Vec<_> = pending
        .filter(|d| d["attempts"].as_i64().is_some_and(|attempts| attempts >= MANY_ATTEMPTS))
        .collect();
    if let [newest, ..] = failing.as_slice() {
        findings.push(
            Finding::warning(
                CHECK,
                format!(
                    "failed {MANY_ATTEMPTS} times or more, and waiting: {}, the latest to {}",
                    count(&answer, &failing),
                    shown(newest, "url")
                ),
            )
            .advise(format!("`task-inbox deliveries {}` shows what was answered", shown(newest, "id"))),
        );
    }
    let sending = page("sending").await?;
    // Of a task's deliveries the first alone is due; where there are more than a page, it may not be seen.
    if answer["next_cursor"].is_null() && sending["next_cursor"].is_null() {
        let endpoints = api.send(Call::get(&["endpoints"])).await?;
        let live = list(&answer, "deliveries").iter().chain(list(&sending, "deliveries"));
        findings.extend(overdue(list(&endpoints, "endpoints"), live, App::now()).map(|delivery| {
            Finding::warning(
                CHECK,
                format!("one is due since {} and was not sent", shown(delivery, "due_at")),
            )
            .advise("let a server run with the role dispatcher, or one more")
        }));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "none was given up, and none fails again and again"));
    }
    Ok(findings)
}

/// The delivery that is due for the longest time, where it is long and nothing holds it.
fn overdue<'a>(
    endpoints: &[Value],
    live: impl Iterator<Item = &'a Value>,
    now: Timestamp,
) -> Option<&'a Value> {
    let is_held = |id: &Value| endpoints.iter().any(|e| e["id"] == *id && !e["held"].is_null());
    let mut first: HashMap<(&str, &str), &Value> = HashMap::new();
    let mut alone = Vec::new();
    for delivery in live.filter(|delivery| !is_held(&delivery["endpoint_id"])) {
        let (Some(task), endpoint) = (delivery["task_id"].as_str(), text(delivery, "endpoint_id")) else {
            alone.push(delivery);
            continue;
        };
        let earliest = first.entry((task, endpoint)).or_insert(delivery);
        if delivery["version"].as_i64() < earliest["version"].as_i64() {
            *earliest = delivery;
        }
    }
    let waits = first.into_values().chain(alone).filter(|delivery| text(delivery, "status") == "pending");
    let late = waits.filter_map(|delivery| Some((time(delivery, "due_at")?, delivery)));
    let late = late.filter(|(due, _)| now.since(*due) > LATE);
    late.min_by_key(|(due, _)| *due).map(|(_, delivery)| delivery)
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use task_inbox::startup::Status;

    use super::*;

    #[test]
    fn what_holds_an_endpoint_says_what_frees_it() {
        let endpoint = |why: &str, waiting: i64| {
            json!({"held": why, "waiting": waiting, "schema": "shop", "type": "refund",
                "url": "https://a.example/hook", "status_reason": "gone"})
        };
        for (why, waiting, status, words) in [
            ("no_key", 0, Status::Warning, "webhook_key shop --type refund"),
            ("no_key", 3, Status::Failure, "webhooks that wait: 3"),
            ("no_master_key", 1, Status::Failure, "TASK_INBOX_MASTER_KEY"),
            ("disabled", 2, Status::Failure, "disabled (gone)"),
            ("something else", 2, Status::Warning, "is held: something else"),
        ] {
            let found = held("endpoints", &endpoint(why, waiting)).expect("held");
            assert!(found.status == status && found.to_string().contains(words), "{found}");
        }
        assert_eq!(held("endpoints", &json!({"held": null})), None);
    }

    #[test]
    fn a_delivery_that_waits_for_another_is_not_late() {
        let now = Timestamp::parse("2026-11-25T10:00:00Z").expect("a time");
        let delivery = |task: Option<&str>, version: i64, status: &str, due: &str| {
            json!({"endpoint_id": "e", "task_id": task, "version": version, "status": status,
                "due_at": format!("2026-11-25T{due}:00Z")})
        };
        let found = |held: Option<&str>, live: &[Value]| {
            let endpoints = [json!({"id": "e", "held": held})];
            overdue(&endpoints, live.iter(), now).map(|d| d["due_at"].clone())
        };
        let late = delivery(Some("a"), 2, "pending", "09:00");
        assert_eq!(found(None, std::slice::from_ref(&late)), Some(late["due_at"].clone()));
        assert_eq!(found(Some("no_key"), std::slice::from_ref(&late)), None);
        // The one before it is tried again later, or is on its way.
        for before in [("pending", "11:00"), ("sending", "09:30")] {
            assert_eq!(found(None, &[late.clone(), delivery(Some("a"), 1, before.0, before.1)]), None);
        }
        let of_no_task = delivery(None, 0, "pending", "08:00");
        assert_eq!(found(None, &[late.clone(), of_no_task.clone()]), Some(of_no_task["due_at"].clone()));
        assert_eq!(found(None, &[delivery(Some("b"), 1, "pending", "10:00")]), None);
    }
}
