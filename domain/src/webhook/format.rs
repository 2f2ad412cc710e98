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
    /// Only the decision, as JSON; of what is no task's, the whole event.
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

    /// Who shows it to people, if anybody does.
    pub const fn messenger(self) -> Option<Messenger> {
        match self {
            Self::Full | Self::Output => None,
            Self::Ntfy => Some(Messenger::Ntfy),
            Self::Slack => Some(Messenger::Slack),
            Self::Discord => Some(Messenger::Discord),
        }
    }

    /// An event's body in this form, the same on every attempt, and its content type.
    pub fn body(self, event: &Event, seq: i64, auth: &HookAuth) -> (String, &'static str) {
        if let Some(messenger) = self.messenger() {
            return Message::of(event).body(messenger);
        }
        let shape = if self == Self::Output { HookBody::Output } else { HookBody::Full };
        (event.webhook_body(seq, auth, shape), JSON)
    }
}

/// The content type of what programs read.
pub const JSON: &str = "application/json";

impl From<HookBody> for Format {
    fn from(shape: HookBody) -> Self {
        match shape {
            HookBody::Full => Self::Full,
            HookBody::Output => Self::Output,
        }
    }
}
