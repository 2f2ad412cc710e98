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
    /// Its endpoint was disabled for longer than ended deliveries are kept.
    EndpointDisabled,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Exhausted, Self::Gone, Self::SchemaRemoved, Self::EndpointDisabled];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Gone => "gone",
            Self::SchemaRemoved => "schema_removed",
            Self::EndpointDisabled => "endpoint_disabled",
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_micros(1_614_265_330_000_000);

    fn answer(status: u16, retry_after: Option<&str>) -> AttemptResult {
        AttemptResult::Answer { status, retry_after: retry_after.map(str::to_owned) }
    }

    fn settled(result: &AttemptResult, attempts: u32) -> Settlement {
        settle(result, attempts, NOW, 0.5)
    }

    fn in_seconds(seconds: u64) -> Settlement {
        Settlement::Retry { after: Duration::from_secs(seconds) }
    }

    #[test]
    fn success_and_gone_end_it() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(settled(&answer(status, None), 10), Settlement::Delivered);
        }
        assert_eq!(settled(&answer(410, None), 1), Settlement::Gone);
        assert_eq!(settled(&answer(410, Some("5")), 10), Settlement::Gone);
    }

    #[test]
    fn everything_else_goes_by_the_schedule() {
        let mut results: Vec<_> =
            [100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 413, 429, 500, 501, 503, 600]
                .map(|status| answer(status, None))
                .to_vec();
        results.extend(FailureKind::ALL.map(AttemptResult::Failed));
        results.push(answer(500, Some("1")));
        results.push(answer(302, Some("1")));
        results.push(answer(503, Some("soon")));
        for result in &results {
            assert_eq!(settled(result, 1), in_seconds(5), "{result:?}");
            assert_eq!(settled(result, 9), in_seconds(86_400), "{result:?}");
            assert_eq!(settled(result, 10), Settlement::Dead { reason: DeadReason::Exhausted }, "{result:?}");
        }
    }

    #[test]
    fn retry_after_is_obeyed() {
        for status in [429, 502, 503, 504] {
            assert_eq!(settled(&answer(status, Some("120")), 1), in_seconds(120));
            assert_eq!(settled(&answer(status, Some("7200")), 5), in_seconds(7200));
            assert_eq!(settled(&answer(status, Some("999999")), 1), in_seconds(86_400));
            assert_eq!(settled(&answer(status, Some("Thu, 25 Feb 2021 15:03:10 GMT")), 1), in_seconds(60));
            // Not beyond the count of attempts.
            assert_eq!(
                settled(&answer(status, Some("120")), 10),
                Settlement::Dead { reason: DeadReason::Exhausted }
            );
        }
    }

    #[test]
    fn a_short_retry_after_shortens_the_first_waits_only() {
        let result = answer(429, Some("2"));
        assert_eq!([1, 2, 3].map(|n| settled(&result, n)), [in_seconds(2); 3]);
        assert_eq!(settled(&result, 4), in_seconds(600));
        assert_eq!(settled(&answer(429, Some("0")), 1), in_seconds(1));
        assert_eq!(settled(&answer(429, Some("Thu, 25 Feb 2021 15:00:00 GMT")), 1), in_seconds(1));
    }

    #[test]
    fn wire_names_come_back() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::parse(kind.as_str()), Some(kind));
        }
        for reason in DeadReason::ALL {
            assert_eq!(DeadReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(FailureKind::AddressRefused.as_str(), "address_refused");
        assert_eq!(FailureKind::parse(""), None);
        assert_eq!(DeadReason::parse("x"), None);
    }

    proptest! {
        #[test]
        fn no_delivery_is_tried_for_ever_or_at_once(
            status in 0u16..=999,
            retry_after in prop::option::of("[0-9]{1,8}|\\PC{0,12}"),
            attempts in 1u32..20,
            jitter in 0.0..1.0f64,
        ) {
            let result = AttemptResult::Answer { status, retry_after };
            match settle(&result, attempts, NOW, jitter) {
                Settlement::Delivered => prop_assert!((200..300).contains(&status)),
                Settlement::Gone => prop_assert_eq!(status, 410),
                Settlement::Dead { reason } => {
                    prop_assert!(attempts >= 10);
                    prop_assert_eq!(reason, DeadReason::Exhausted);
                }
                Settlement::Retry { after } => {
                    prop_assert!(attempts < 10);
                    prop_assert!(after >= Duration::from_secs(1) && after <= Duration::from_hours(29));
                }
            }
        }
    }
}
