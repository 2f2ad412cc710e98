//! An event as a message for people, in the bodies that ntfy, Slack and Discord show.
//!
//! The forms: ntfy "Publish as JSON" (its topic is the path of the endpoint's URL, as in
//! `https://ntfy.sh/my-topic`, and stands in the body where the URL is the server's root), Slack
//! "Incoming webhooks", Discord "Execute webhook".

use serde_json::{Value, json};

use crate::{Event, EventType};

/// Who shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messenger {
    /// ntfy: the text is the body, the title a header there; we send text with a title line.
    Ntfy,
    /// Slack.
    Slack,
    /// Discord.
    Discord,
}

/// The longest text, in characters: Discord refuses more than 2,000.
const MAX_TEXT: usize = 1_900;
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
                format!("Endpoint {what}: {}", short(body["endpoint"]["url"].as_str().unwrap_or_default()))
            }
            EventType::DeliveryDead => {
                format!(
                    "A webhook was given up: {}",
                    body["delivery"]["event_type"].as_str().unwrap_or_default()
                )
            }
            other => format!("{subject}: {}", other.as_str().trim_start_matches("task.")),
        };
        Self { title: one_line(&title), text: clip(&lines(&body), MAX_TEXT) }
    }

    /// The request's body and its content type.
    pub fn body(&self, messenger: Messenger) -> (String, &'static str) {
        match messenger {
            Messenger::Ntfy => {
                let text = if self.text.is_empty() {
                    self.title.clone()
                } else {
                    format!("{}\n{}", self.title, self.text)
                };
                (text, "text/plain; charset=utf-8")
            }
            Messenger::Slack => {
                let text = escape(&self.text, SLACK);
                let title = escape(&self.title, SLACK);
                (json!({ "text": joined(&format!("*{title}*"), &text) }).to_string(), "application/json")
            }
            Messenger::Discord => {
                let text = escape(&self.text, DISCORD);
                let title = escape(&self.title, DISCORD);
                let content = clip(&joined(&format!("**{title}**"), &text), 2_000);
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
const SLACK: &[(char, &str)] = &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")];
/// Marks of Discord's Markdown.
const DISCORD: &[(char, &str)] =
    &[('\\', "\\\\"), ('*', "\\*"), ('_', "\\_"), ('`', "\\`"), ('~', "\\~"), ('|', "\\|"), ('>', "\\>")];

fn escape(text: &str, marks: &[(char, &str)]) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match marks.iter().find(|(mark, _)| *mark == c) {
            Some((_, instead)) => escaped.push_str(instead),
            None => escaped.push(c),
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
    if let Some(error) = body["delivery"]["error"].as_str() {
        lines.push(format!("error: {}", short(error)));
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

fn short(text: &str) -> String {
    clip(&one_line(text), MAX_VALUE)
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn nothing_is_longer_than_it_may_be() {
        let long = "*".repeat(4_000);
        let fields: Vec<_> = (0..50).map(|i| format!(r#""f{i}":"{long}""#)).collect();
        let told = message(&format!("{{{}}}", fields.join(",")));
        assert!(told.text.contains("and 42 more"), "{}", told.text);
        let (discord, _) = told.body(Messenger::Discord);
        let discord: Value = serde_json::from_str(&discord).expect("JSON");
        assert!(discord["content"].as_str().expect("text").chars().count() <= 2_000);
    }
}
