//! In which form an endpoint gets an event.

use super::message::{Message, Messenger};
use crate::Event;
use crate::schema::{HookAuth, HookBody};

/// The form of a webhook's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// The whole event, as JSON (the default).
    #[default]
    Full,
    /// Only the decision, as JSON.
    Output,
    /// A message that ntfy shows.
    Ntfy,
    /// A message that Slack shows.
    Slack,
    /// A message that Discord shows.
    Discord,
}

impl Format {
    /// Every form.
    pub const ALL: [Self; 5] = [Self::Full, Self::Output, Self::Ntfy, Self::Slack, Self::Discord];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Output => "output",
            Self::Ntfy => "ntfy",
            Self::Slack => "slack",
            Self::Discord => "discord",
        }
    }

    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }

    /// An event's body in this form, the same on every attempt, and its content type.
    pub fn body(self, event: &Event, seq: i64, auth: &HookAuth) -> (String, &'static str) {
        let messenger = match self {
            Self::Full => return (event.webhook_body(seq, auth, HookBody::Full), JSON),
            Self::Output => return (event.webhook_body(seq, auth, HookBody::Output), JSON),
            Self::Ntfy => Messenger::Ntfy,
            Self::Slack => Messenger::Slack,
            Self::Discord => Messenger::Discord,
        };
        Message::of(event).body(messenger)
    }
}

const JSON: &str = "application/json";

impl From<HookBody> for Format {
    fn from(shape: HookBody) -> Self {
        match shape {
            HookBody::Full => Self::Full,
            HookBody::Output => Self::Output,
        }
    }
}
