//! What the API tells of deliveries that ended badly, or don't move.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use task_inbox::app::App;
use task_inbox::startup::{Finding, place};
use task_inbox_domain::Timestamp;

use super::inbox::time;
use crate::api::{Api, Call, Refusal};
use crate::output::{list, shown, text};

const CHECK: &str = "deliveries";
/// How many failed attempts are no accident: ten minutes of them.
const MANY_ATTEMPTS: i64 = 4;
/// How late a delivery may be: longer than it takes to notice it.
const LATE: Duration = Duration::from_mins(1);
/// How many deliveries are looked at.
const PAGE: usize = 100;

/// What was given up, what fails again and again, what nobody sends.
pub(super) async fn look(api: &Api) -> Result<Vec<Finding>, Refusal> {
    let page = async |status: &str| {
        api.send(Call::get(&["deliveries"]).query("status", Some(status)).query("limit", Some(PAGE))).await
    };
    let endpoints = api.send(Call::get(&["endpoints"])).await?;
    let endpoints = list(&endpoints, "endpoints");
    let answer = page("dead").await?;
    let mut findings = given_up(endpoints, list(&answer, "deliveries"), answer["next_cursor"].is_string());
    let answer = page("pending").await?;
    let pending = list(&answer, "deliveries").iter();
    let failing: Vec<_> = pending
        .filter(|d| d["attempts"].as_i64().is_some_and(|attempts| attempts >= MANY_ATTEMPTS))
        .collect();
    if let [newest, ..] = failing.as_slice() {
        let count = match answer["next_cursor"].as_str() {
            Some(_) => format!("{} of the latest {PAGE}", failing.len()),
            None => failing.len().to_string(),
        };
        findings.push(
            Finding::warning(
                CHECK,
                format!(
                    "failed {MANY_ATTEMPTS} times or more, and waiting: {count}, the latest to {}",
                    place(&shown(newest, "url"))
                ),
            )
            .advise(format!("`task-inbox deliveries {}` shows what was answered", shown(newest, "id"))),
        );
    }
    let sending = page("sending").await?;
    // Of a task's deliveries the first alone is due; where there are more than a page, it may not be seen.
    if answer["next_cursor"].is_null() && sending["next_cursor"].is_null() {
        let live = list(&answer, "deliveries").iter().chain(list(&sending, "deliveries"));
        findings.extend(overdue(endpoints, live, App::now()).map(|delivery| {
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

/// What was given up, by endpoint, with what sends it again. `more`: there are others, which are not looked at.
fn given_up(endpoints: &[Value], dead: &[Value], more: bool) -> Vec<Finding> {
    // The newest of each endpoint, and how many there are; in the order of the list.
    let mut of_endpoints: Vec<(&Value, usize)> = Vec::new();
    for delivery in dead {
        match of_endpoints.iter_mut().find(|(newest, _)| newest["endpoint_id"] == delivery["endpoint_id"]) {
            Some((_, count)) => *count += 1,
            None => of_endpoints.push((delivery, 1)),
        }
    }
    let more = if more { " or more" } else { "" };
    let finding = |(newest, count): (&Value, usize)| {
        let detail = format!(
            "given up: {count}{more}, the latest to {} ({})",
            place(&shown(newest, "url")),
            shown(newest, "reason")
        );
        let id = text(newest, "endpoint_id");
        let takes_more = |e: &Value| text(e, "id") == id && text(e, "status") != "removed";
        Finding::warning(CHECK, detail).advise(if endpoints.iter().any(takes_more) {
            format!("once its receiver is right: task-inbox deliveries replay {id} --dead")
        } else {
            "nothing goes there any more; `task-inbox deliveries --status dead` lists what was not taken"
                .to_owned()
        })
    };
    of_endpoints.into_iter().map(finding).collect()
}

/// The delivery that is due for the longest time, where it is long and nothing holds it: neither its endpoint, nor
/// maintenance, nor a rate, by which a queue may be long for good reason.
fn overdue<'a>(
    endpoints: &[Value],
    live: impl Iterator<Item = &'a Value>,
    now: Timestamp,
) -> Option<&'a Value> {
    let waits_for_good_reason = |delivery: &Value| {
        let slow_or_held = |e: &Value| !e["held"].is_null() || !e["rate"].is_null();
        text(delivery, "reason") == "maintenance"
            || endpoints.iter().any(|e| e["id"] == delivery["endpoint_id"] && slow_or_held(e))
    };
    let mut first: HashMap<(&str, &str), &Value> = HashMap::new();
    let mut alone = Vec::new();
    for delivery in live.filter(|delivery| !waits_for_good_reason(delivery)) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    #[test]
    fn what_maintenance_or_a_rate_makes_wait_is_not_late() {
        let now = Timestamp::parse("2026-11-25T10:00:00Z").expect("a time");
        let found = |rate: Option<&str>, reason: Option<&str>| {
            let endpoints = [json!({"id": "e", "held": null, "rate": rate})];
            let live = [json!({"endpoint_id": "e", "task_id": "a", "version": 1, "status": "pending",
                "reason": reason, "due_at": "2026-11-25T09:00:00Z"})];
            overdue(&endpoints, live.iter(), now).is_some()
        };
        assert!(found(None, None));
        assert!(!found(Some("1/m"), None));
        assert!(!found(None, Some("maintenance")));
    }

    #[test]
    fn what_was_given_up_is_told_by_endpoint_with_what_sends_it_again() {
        let endpoints = [json!({"id": "e", "status": "active"}), json!({"id": "g", "status": "removed"})];
        let dead = |endpoint: &str| {
            json!({"endpoint_id": endpoint, "url": format!("https://{endpoint}.example/hook?token=swordfish"),
                "reason": "exhausted"})
        };
        let found = given_up(&endpoints, &[dead("e"), dead("g"), dead("e")], false);
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            said[0],
            "given up: 2, the latest to https://e.example/hook (exhausted): once its receiver is right: task-inbox \
             deliveries replay e --dead"
        );
        assert!(said[1].starts_with("given up: 1, ") && !said[1].contains("replay"), "{said:?}");
        assert_eq!(said.len(), 2);
    }
}
