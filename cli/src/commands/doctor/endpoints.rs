//! What the API tells of where webhooks go and whom guards ask, and what holds them up.

use serde_json::Value;
use task_inbox::app::webhook_keys;
use task_inbox::startup::{Finding, place};
use task_inbox::store::registry::Origin;
use task_inbox_domain::schema::parse;
use url::Url;

use crate::api::{Api, Call, Refusal};
use crate::output::{list, shown, text};

const CHECK: &str = "endpoints";

/// Where webhooks go and guards are, each address once.
pub(super) async fn urls(api: &Api) -> Vec<Url> {
    let answer = api.send(Call::get(&["endpoints"])).await.unwrap_or_default();
    let used = list(&answer, "endpoints").iter().filter(|e| text(e, "status") != "removed");
    let mut urls: Vec<_> = used.filter_map(|endpoint| Url::parse(text(endpoint, "url")).ok()).collect();
    urls.extend(guards(api).await);
    urls.sort();
    urls.dedup();
    urls
}

/// Whom the latest versions ask; schemas' files alone tell.
async fn guards(api: &Api) -> Vec<Url> {
    let answer = api.send(Call::get(&["schemas"])).await.unwrap_or_default();
    let mut urls = Vec::new();
    for name in list(&answer, "schemas").iter().map(|schema| text(schema, "name")) {
        let schema = api.send(Call::get(&["schemas", name])).await.unwrap_or_default();
        let Ok(schema) = parse::parse(text(&schema, "source")) else { continue };
        let guards = schema.task_types.iter().filter_map(|ttype| ttype.guard.as_ref());
        urls.extend(guards.filter_map(|guard| Url::parse(&guard.url).ok()));
    }
    urls
}

/// Which endpoints take webhooks, and why the others don't.
pub(super) async fn look(api: &Api) -> Result<Vec<Finding>, Refusal> {
    let answer = api.send(Call::get(&["endpoints"])).await?;
    let used: Vec<_> = list(&answer, "endpoints").iter().filter(|e| text(e, "status") != "removed").collect();
    let held: Vec<_> = used.iter().filter_map(|endpoint| held(endpoint)).collect();
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

/// An endpoint in words: where it is, and whose.
fn whose(endpoint: &Value) -> String {
    let url = place(text(endpoint, "url"));
    match (text(endpoint, "origin"), endpoint["type"].as_str()) {
        ("registered", _) => match endpoint["description"].as_str() {
            Some(description) => format!("{url} ({description})"),
            None => format!("{url} ({})", text(endpoint, "id")),
        },
        ("callback", _) => format!("{url}, where tasks of {} are called back,", text(endpoint, "schema")),
        (_, Some(ttype)) => format!("{url} of {} {ttype}", text(endpoint, "schema")),
        (_, None) => format!("{url} of {}", text(endpoint, "schema")),
    }
}

/// Why nothing goes to an endpoint, if so.
fn held(endpoint: &Value) -> Option<Finding> {
    let why = endpoint["held"].as_str()?;
    let (whose, id) = (whose(endpoint), text(endpoint, "id"));
    let origin = Origin::parse(text(endpoint, "origin")).unwrap_or(Origin::Schema);
    let key = webhook_keys::command(origin, id, text(endpoint, "schema"), endpoint["type"].as_str());
    let waiting = endpoint["waiting"].as_i64().unwrap_or(0);
    let wait = format!("webhooks that wait: {waiting}");
    let because = endpoint["status_reason"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
    let resume = format!("task-inbox endpoints resume {id}");
    Some(match why {
        // Nothing is lost yet, and nothing is missed.
        "no_key" if waiting == 0 => {
            Finding::warning(CHECK, format!("{whose} has no key to sign with")).advise(key)
        }
        "no_key" => Finding::failure(CHECK, format!("{whose} has no key to sign with; {wait}")).advise(key),
        "no_master_key" => Finding::failure(
            CHECK,
            format!("the key of {whose} is encrypted under a master key that is not here; {wait}"),
        )
        .advise(format!("add it to the ring of TASK_INBOX_MASTER_KEY, or make another key: {key} --rotate")),
        "disabled" => Finding::failure(CHECK, format!("{whose} is disabled{because}; {wait}"))
            .advise(format!("once its receiver is right: {resume}")),
        "paused" => {
            let since = shown(endpoint, "updated");
            Finding::warning(CHECK, format!("{whose} is paused{because}, as it was left at {since}; {wait}"))
                .advise(resume)
        }
        "failing" => Finding::warning(
            CHECK,
            format!(
                "{whose} fails since {}, {} times in a row, and is tried again at {}; {wait}",
                shown(endpoint, "failing_since"),
                shown(endpoint, "failures"),
                shown(endpoint, "next_probe")
            ),
        )
        .advise(format!("task-inbox endpoints test {id}")),
        other => Finding::warning(CHECK, format!("{whose} is held: {other}; {wait}")),
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
            json!({"id": "0199", "origin": "type", "held": why, "waiting": waiting, "schema": "shop", "type": "refund",
                "url": "https://a.example/hook?token=swordfish", "status_reason": "gone",
                "updated": "2026-11-25T10:00:00.000000Z"})
        };
        for (why, waiting, status, words) in [
            ("no_key", 0, Status::Warning, "webhook_key shop --type refund"),
            ("no_key", 3, Status::Failure, "webhooks that wait: 3"),
            ("no_master_key", 1, Status::Failure, "webhook_key shop --type refund --rotate"),
            ("disabled", 2, Status::Failure, "disabled (gone)"),
            ("disabled", 2, Status::Failure, "task-inbox endpoints resume 0199"),
            ("paused", 2, Status::Warning, "paused (gone), as it was left at 2026-11-25 10:00:00Z"),
            ("paused", 2, Status::Warning, "task-inbox endpoints resume 0199"),
            ("failing", 2, Status::Warning, "task-inbox endpoints test 0199"),
            ("something else", 2, Status::Warning, "is held: something else"),
        ] {
            let found = held(&endpoint(why, waiting)).expect("held");
            let said = found.to_string();
            assert!(found.status == status && said.contains(words), "{found}");
            assert!(!said.contains("swordfish"), "what may be secret is not shown: {found}");
        }
        assert_eq!(held(&json!({"held": null})), None);
    }

    #[test]
    fn a_registered_endpoint_is_told_by_what_it_is_called() {
        let endpoint = |why: &str, description: Option<&str>| {
            json!({"id": "0199", "origin": "registered", "held": why, "schema": null, "type": null, "waiting": 1,
                "url": "https://a.example/hook", "status_reason": "answered 410", "description": description})
        };
        for (why, description, words) in [
            ("disabled", Some("warehouse"), "https://a.example/hook (warehouse) is disabled (answered 410)"),
            ("disabled", None, "https://a.example/hook (0199) is disabled"),
            ("disabled", None, "task-inbox endpoints resume 0199"),
            ("no_key", None, "task-inbox webhook_key --endpoint 0199"),
        ] {
            let found = held(&endpoint(why, description)).expect("held");
            assert!(found.to_string().contains(words), "{found}");
        }
    }
}
