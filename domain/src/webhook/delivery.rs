//! What an attempt's result means for its delivery.

use std::time::Duration;

use super::retry;
use crate::Timestamp;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The receiver answered.
    Answer {
        /// HTTP status.
        status: u16,
        /// The `Retry-After` header, as sent.
        retry_after: Option<String>,
    },
    /// There was no answer, or none that counts.
    Failed(FailureKind),
}

/// Why there was no answer. All of them are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing was answered within the attempt's deadline.
    Timeout,
    /// An answer began and did not end within the deadline.
    TooSlow,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed: certificate, name or protocol.
    Tls,
    /// The name could not be resolved.
    Dns,
    /// The address is private or special, and no allowed network holds it.
    AddressRefused,
    /// The connection broke, or what came was not HTTP.
    Protocol,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Timeout,
        Self::TooSlow,
        Self::Connect,
        Self::Tls,
        Self::Dns,
        Self::AddressRefused,
        Self::Protocol,
    ];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::TooSlow => "too_slow",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::AddressRefused => "address_refused",
            Self::Protocol => "protocol",
        }
    }

    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done.
    Delivered,
    /// Try again.
    Retry {
        /// How long to wait, from now.
        after: Duration,
    },
    /// Given up; a person may resend it.
    Dead {
        /// Why.
        reason: DeadReason,
    },
    /// Given up with [`DeadReason::Gone`], and the endpoint is to be disabled: it answered 410.
    Gone,
}

/// Why a delivery was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// Every attempt of the schedule failed.
    Exhausted,
    /// The receiver answered 410.
    Gone,
    /// Its schema was removed.
    SchemaRemoved,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Exhausted, Self::Gone, Self::SchemaRemoved];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Gone => "gone",
            Self::SchemaRemoved => "schema_removed",
        }
    }

    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// The last attempt after which a short `Retry-After` brings the next one forward.
const MAY_COME_SOONER: u32 = 3;

/// The shortest wait that a receiver may ask for.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Decides what follows from an attempt.
///
/// `attempts_made` includes this one; `jitter` is random in `[0, 1)`.
///
/// `Retry-After` counts on 429, 502, 503 and 504. It is always waited for, up to 24 h. It may
/// shorten only the first waits: a receiver that asks for one second again and again would
/// otherwise use up a delivery's attempts in ten.
pub fn settle(result: &AttemptResult, attempts_made: u32, now: Timestamp, jitter: f64) -> Settlement {
    let asked = match result {
        AttemptResult::Answer { status: 200..=299, .. } => return Settlement::Delivered,
        AttemptResult::Answer { status: 410, .. } => return Settlement::Gone,
        AttemptResult::Answer { status: 429 | 502 | 503 | 504, retry_after: Some(value) } => {
            retry::retry_after(value, now)
        }
        AttemptResult::Answer { .. } | AttemptResult::Failed(_) => None,
    };
    let Some(scheduled) = retry::next_delay(attempts_made, jitter) else {
        return Settlement::Dead { reason: DeadReason::Exhausted };
    };
    let after = match asked {
        Some(asked) if attempts_made <= MAY_COME_SOONER => asked.max(MIN_RETRY_AFTER),
        Some(asked) => asked.max(scheduled),
        None => scheduled,
    };
    Settlement::Retry { after }
}
