//! An event on a line: what happened, to what, and what a receiver made of it.

use serde_json::Value;
use task_inbox_domain::webhook::url;

use super::forward::Outcome;
use crate::output::{Screen, Tone, plain, shown, text};

/// The line.
pub(super) fn of(event: &Value, outcome: Option<&Outcome>) -> String {
    let about = about(text(event, "type"), &event["data"]);
    let line = format!("{} {} {}", shown(event, "timestamp"), shown(event, "type"), about.trim_end());
    let line = plain(&line.replace('\n', " "));
    let screen = Screen::stdout();
    match outcome {
        Some(Outcome::Taken(answer)) => format!("{line}  {}", screen.paint(Tone::Good, &plain(answer))),
        Some(Outcome::Passed(why)) => {
            format!("{line}  {}", screen.paint(Tone::Bad, &plain(&format!("passed: {why}"))))
        }
        None => line,
    }
}

fn about(kind: &str, data: &Value) -> String {
    let (task, endpoint, delivery) = (&data["task"], &data["endpoint"], &data["delivery"]);
    if task.is_object() {
        let state = |state: &Value| state.as_str().unwrap_or("unset").to_owned();
        let change = match kind {
            "task.state_changed" => {
                format!("{} -> {}", state(&data["previous_state"]), state(&task["state"]))
            }
            _ => state(&task["state"]),
        };
        return format!("{} {} {} {change}", shown(task, "schema"), shown(data, "ttype"), shown(task, "id"));
    }
    if endpoint.is_object() {
        let because = ["reason", "message"].map(|name| text(data, name)).join(" ");
        return format!("{} {} {because}", shown(endpoint, "id"), url::origin(text(endpoint, "url")));
    }
    if delivery.is_object() {
        let named = |what: &str, name: &str| match text(delivery, name) {
            "" => String::new(),
            id => format!(" {what} {id}"),
        };
        let (endpoint, task) = (named("to endpoint", "endpoint_id"), named("of task", "task_id"));
        return format!(
            "{} {}{endpoint}{task} {}",
            shown(delivery, "id"),
            shown(delivery, "event_type"),
            text(delivery, "reason")
        );
    }
    format!("{} {}", shown(data, "schema"), text(data, "semver"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_event_has_a_line() {
        let at = "2026-11-25T10:11:12.123456Z";
        let line = |kind: &str, data: Value| of(&json!({"type": kind, "timestamp": at, "data": data}), None);
        let task = json!({"id": "0193", "schema": "shop", "state": "paid"});
        let data = json!({"task": task, "ttype": "refund", "previous_state": null});
        let changed = json!({"type": "task.state_changed", "timestamp": at, "data": data});
        let expected = "2026-11-25 10:11:12Z task.state_changed shop refund 0193 unset -> paid";
        assert_eq!(of(&changed, None), expected);
        let taken = Outcome::Taken("200 in 3 ms".to_owned());
        assert_eq!(of(&changed, Some(&taken)), format!("{expected}  200 in 3 ms"));
        let passed = Outcome::Passed("it answered 422".to_owned());
        assert_eq!(of(&changed, Some(&passed)), format!("{expected}  passed: it answered 422"));
        assert_eq!(
            line("schema.version_created", json!({"schema": "a\u{1b}", "semver": "1"})),
            "2026-11-25 10:11:12Z schema.version_created a\\u{1b} 1"
        );
        assert_eq!(line("schema.removed", json!({"schema": "a"})), "2026-11-25 10:11:12Z schema.removed a");
    }

    #[test]
    fn an_operational_event_names_what_it_is_about() {
        let at = "2026-11-25T10:11:12Z";
        let line = |kind: &str, data: Value| of(&json!({"type": kind, "timestamp": at, "data": data}), None);
        let endpoint = json!({"id": "0199", "url": "https://a.example:8443/T0/swordfish?token=x"});
        assert_eq!(
            line(
                "endpoint.disabled",
                json!({"endpoint": endpoint, "reason": "gone", "message": "answered 410"})
            ),
            "2026-11-25 10:11:12Z endpoint.disabled 0199 https://a.example:8443 gone answered 410"
        );
        let delivery = json!({"id": "01a0", "endpoint_id": "0199", "event_type": "task.created", "task_id": "0193",
            "reason": "exhausted"});
        assert_eq!(
            line("delivery.dead", json!({"delivery": delivery})),
            "2026-11-25 10:11:12Z delivery.dead 01a0 task.created to endpoint 0199 of task 0193 exhausted"
        );
    }
}
