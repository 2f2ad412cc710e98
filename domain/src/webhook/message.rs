//! An event as a message for people, in the bodies that ntfy, Slack and Discord show.
//!
//! The forms: ntfy "Publishing" (the body is the text, and the endpoint's URL the topic's, as in
//! `https://ntfy.sh/my-topic`; title, tags and priority are headers there, which an endpoint may have of its
//! own), Slack "Incoming webhooks", Discord "Execute webhook".
//!
//! What a sender wrote is shown as it is, wherever it stands: it makes no link, wakes nobody, and looks like
//! nothing that we say.

use serde_json::{Value, json};

use super::url;
use crate::{Event, EventType};

/// Who shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messenger {
    /// ntfy: the body is text, which begins with the title as a line.
    Ntfy,
    /// Slack.
    Slack,
    /// Discord.
    Discord,
}

/// The longest text, in characters.
const MAX_TEXT: usize = 1_900;
/// What Discord takes at most, in UTF-16 units, as far as it can be short of them.
const MAX_DISCORD: usize = 2_000;
/// What ntfy shows as a message, in bytes: what is longer it makes an attachment.
const MAX_NTFY: usize = 4_096;
/// The longest value of one field.
const MAX_VALUE: usize = 200;
/// How many fields of a task are shown.
const MAX_FIELDS: usize = 8;

/// An event in a line, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub title: String,
    /// Some more lines; may be empty.
    pub text: String,
}

impl Message {
    /// What an event says to people.
    pub fn of(event: &Event) -> Self {
        let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
        let of_type = event.ttype.as_deref().map(|t| format!("{t} ({})", event.schema));
        let subject = of_type.unwrap_or_else(|| event.schema.clone());
        let by =
            body["actor"]["name"].as_str().map(|name| format!(" by {}", short(name))).unwrap_or_default();
        let title = match event.kind {
            EventType::TaskCreated => format!("New task: {subject}"),
            EventType::TaskStateChanged => {
                format!("{subject}: {}{by}", body["task"]["state"].as_str().unwrap_or("unset"))
            }
            EventType::SchemaVersionCreated => {
                format!(
                    "Schema {} {} installed{by}",
                    event.schema,
                    body["semver"].as_str().unwrap_or_default()
                )
            }
            EventType::EndpointPaused | EventType::EndpointDisabled | EventType::EndpointRecovered => {
                let what = event.kind.as_str().trim_start_matches("endpoint.");
                format!("Endpoint {what}: {}", short(&url::origin(text(&body["endpoint"], "url"))))
            }
            EventType::DeliveryDead => {
                format!(
                    "A webhook was given up: {}",
                    body["delivery"]["event_type"].as_str().unwrap_or_default()
                )
            }
            other => format!("{subject}: {}", other.as_str().trim_start_matches("task.")),
        };
        Self { title: one_line(&title), text: clip(&lines(&body), MAX_TEXT, |_| 1) }
    }

    /// The request's body and its content type.
    pub fn body(&self, messenger: Messenger) -> (String, &'static str) {
        match messenger {
            Messenger::Ntfy => {
                let text = clip(&joined(&self.title, &self.text), MAX_NTFY, char::len_utf8);
                (text, "text/plain; charset=utf-8")
            }
            Messenger::Slack => {
                let (title, text) = (slack(&self.title), slack(&self.text));
                (json!({ "text": joined(&format!("*{title}*"), &text) }).to_string(), "application/json")
            }
            Messenger::Discord => {
                let (title, text) = (discord(&self.title), discord(&self.text));
                let content = clip(&joined(&format!("**{title}**"), &text), MAX_DISCORD, char::len_utf16);
                // Nobody is to be woken by what a sender wrote into a task.
                let body = json!({ "content": content, "allowed_mentions": { "parse": [] } });
                (body.to_string(), "application/json")
            }
        }
    }
}

fn joined(title: &str, text: &str) -> String {
    if text.is_empty() { title.to_owned() } else { format!("{title}\n{text}") }
}

/// Slack, "Escaping text": only these three.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Discord's Markdown, with a backslash before each mark. Some are marks at the beginning of a line alone,
/// and stay as they are elsewhere: addresses are full of them.
fn discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            escaped.push('\n');
        }
        let mut begins = true;
        let numbers = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).len();
        for (at, c) in line.char_indices() {
            let in_front = (begins && matches!(c, '#' | '-' | '+'))
                || (matches!(c, '.' | ')') && line.len() - at == numbers && at > 0);
            if in_front || "\\*_`~|<>[]".contains(c) {
                escaped.push('\\');
            }
            begins &= c.is_whitespace();
            escaped.push(c);
        }
    }
    escaped
}

/// What the sender says about a task, field by field; or why an operational event happened.
fn lines(body: &Value) -> String {
    let mut lines = Vec::new();
    for key in ["reason", "message"] {
        if let Some(text) = body[key].as_str() {
            lines.push(format!("{key}: {}", short(text)));
        }
    }
    let (endpoint, delivery) = (&body["endpoint"], &body["delivery"]);
    for (of, key, name) in [
        (delivery, "reason", "reason"),
        (delivery, "error", "error"),
        (endpoint, "description", "description"),
        (endpoint, "id", "endpoint"),
        (delivery, "endpoint_id", "endpoint"),
        (delivery, "task_id", "task"),
    ] {
        match (name, text(of, key)) {
            (_, "") => {}
            ("endpoint" | "task", id) => lines.push(format!("{name} {id}")),
            (_, said) => lines.push(format!("{name}: {}", short(said))),
        }
    }
    if let Some(meta) = body["task"]["meta"].as_object() {
        for (key, value) in meta.iter().take(MAX_FIELDS) {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("{}: {}", short(key), short(&shown)));
        }
        if meta.len() > MAX_FIELDS {
            lines.push(format!("and {} more", meta.len() - MAX_FIELDS));
        }
    }
    if let Some(id) = body["task"]["id"].as_str() {
        lines.push(format!("task {id}"));
    }
    lines.join("\n")
}

fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name].as_str().unwrap_or_default()
}

fn short(text: &str) -> String {
    clip(&one_line(text), MAX_VALUE, |_| 1)
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text, or as much of its beginning as is not longer, each character being as large as `size` says.
fn clip(text: &str, longest: usize, size: impl Fn(char) -> usize) -> String {
    if text.chars().map(&size).sum::<usize>() <= longest {
        return text.to_owned();
    }
    let mut room = longest - size('…');
    let fits = |c: &char| {
        let fits = size(*c) <= room;
        room = room.saturating_sub(size(*c));
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::operational;
    use crate::testing;

    fn message(meta: &str) -> Message {
        Message::of(&testing::posted(meta))
    }

    #[test]
    fn a_new_task_is_told_of_with_what_it_says() {
        let told = message(r#"{"url":"https://a.example/1","n":3}"#);
        assert!(told.title.starts_with("New task: "), "{told:?}");
        assert!(told.text.starts_with("n: 3\nurl: https://a.example/1\ntask "), "{told:?}");
    }

    #[test]
    fn what_a_sender_wrote_is_shown_as_text() {
        let told = message(r#"{"x":"<!channel> *bold* @everyone\nsecond"}"#);
        let (slack, _) = told.body(Messenger::Slack);
        assert!(slack.contains("&lt;!channel&gt;"), "{slack}");
        let (discord, _) = told.body(Messenger::Discord);
        let discord: Value = serde_json::from_str(&discord).expect("JSON");
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
        assert!(
            discord["content"].as_str().expect("text").contains(r"\*bold\* @everyone second"),
            "{discord}"
        );
        let (ntfy, kind) = told.body(Messenger::Ntfy);
        assert!(ntfy.starts_with("New task: ") && kind.starts_with("text/plain"), "{ntfy}");
    }

    #[test]
    fn nothing_that_a_sender_wrote_is_a_mark_of_discord() {
        for (wrote, shown) in [
            ("[Approve](https://evil.example/x)", r"\[Approve\](https://evil.example/x)"),
            ("<@42> <#7> <https://evil.example>", r"\<@42\> \<#7\> \<https://evil.example\>"),
            ("`code` *b* _i_ ~~s~~ ||s||", r"\`code\` \*b\* \_i\_ \~\~s\~\~ \|\|s\|\|"),
            ("# head\n## head\n-# small", "\\# head\n\\## head\n\\-# small"),
            ("- one\n  + two\n1. three\n12) four", "\\- one\n  \\+ two\n1\\. three\n12\\) four"),
            ("> quoted", r"\> quoted"),
            (r"\*", r"\\\*"),
            ("https://a.example/my-page#part.1", "https://a.example/my-page#part.1"),
        ] {
            assert_eq!(discord(wrote), shown);
        }
    }

    #[test]
    fn an_operational_event_names_endpoint_and_task_and_no_secret_path() {
        let (id, actor) = (uuid::Uuid::nil(), crate::Actor::system());
        let facts = operational::EndpointFacts {
            id,
            url: "https://hooks.example/T0/swordfish?token=swordfish".to_owned(),
            schema: String::new(),
            ttype: None,
            description: Some("warehouse".to_owned()),
            failing_since: None,
            concerns: String::new(),
        };
        let now = crate::Timestamp::from_micros(0);
        let kind = EventType::EndpointDisabled;
        let told = Message::of(&operational::endpoint_changed(
            id,
            kind,
            &facts,
            "gone",
            Some("answered 410"),
            &actor,
            now,
        ));
        assert_eq!(told.title, "Endpoint disabled: https://hooks.example");
        assert_eq!(
            told.text,
            format!("reason: gone\nmessage: answered 410\ndescription: warehouse\nendpoint {id}")
        );
        let dead = operational::DeadDelivery {
            id,
            endpoint_id: id,
            event_id: id,
            event_type: "task.created",
            task_id: Some(id),
            attempts: 10,
            reason: "exhausted",
            error: Some("answered 500".to_owned()),
        };
        let told = Message::of(&operational::delivery_dead(id, "shop", &dead, now));
        assert_eq!(told.title, "A webhook was given up: task.created");
        assert_eq!(told.text, format!("reason: exhausted\nerror: answered 500\nendpoint {id}\ntask {id}"));
    }

    #[test]
    fn nothing_is_longer_than_it_may_be() {
        let long = "*".repeat(4_000);
        let fields: Vec<_> = (0..50).map(|i| format!(r#""f{i}":"{long}""#)).collect();
        let told = message(&format!("{{{}}}", fields.join(",")));
        assert!(told.text.contains("and 42 more"), "{}", told.text);
        let (discord, _) = told.body(Messenger::Discord);
        let discord: Value = serde_json::from_str(&discord).expect("JSON");
        assert!(discord["content"].as_str().expect("text").chars().count() <= 2_000);
        // Bytes are what ntfy counts, and a character is not cut in two.
        let fields: Vec<_> = (0..8).map(|i| format!(r#""f{i}":"{}""#, "€".repeat(300))).collect();
        let (ntfy, _) = message(&format!("{{{}}}", fields.join(","))).body(Messenger::Ntfy);
        assert!(ntfy.len() <= 4_096 && ntfy.len() > 4_090 && ntfy.ends_with('…'), "{}", ntfy.len());
    }
}
