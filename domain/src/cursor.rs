//! Positions that a client hands back: opaque text, so that what is inside can change.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;

/// A position in the log: everything up to `seq` has been seen. Zero is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCursor(pub i64);

/// A position in a list of tasks: everything up to this id has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskCursor(pub Uuid);

/// A position in a list of deliveries, newest first: everything from this id on has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryCursor(pub Uuid);

/// A position in a list of replays, newest first: everything from this id on has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayCursor(pub Uuid);

/// The text is not a cursor that this service gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a cursor of this list; pass a next_cursor as it was given, or leave it out to start at the beginning"
)]
pub struct BadCursor;

/// First byte of a [`LogCursor`]; tells kinds and later formats apart.
const LOG: u8 = 1;
/// First byte of a [`TaskCursor`].
const TASK: u8 = 2;
/// First byte of a [`DeliveryCursor`].
const DELIVERY: u8 = 3;
/// First byte of a [`ReplayCursor`].
const REPLAY: u8 = 4;

impl LogCursor {
    /// The text form.
    pub fn encode(self) -> String {
        encode(LOG, &self.0.to_be_bytes())
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, BadCursor> {
        let seq = i64::from_be_bytes(decode(LOG, text)?);
        if seq < 0 { Err(BadCursor) } else { Ok(Self(seq)) }
    }
}

impl TaskCursor {
    /// The text form.
    pub fn encode(self) -> String {
        encode(TASK, self.0.as_bytes())
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, BadCursor> {
        decode(TASK, text).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

impl DeliveryCursor {
    /// The text form.
    pub fn encode(self) -> String {
        encode(DELIVERY, self.0.as_bytes())
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, BadCursor> {
        decode(DELIVERY, text).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

impl ReplayCursor {
    /// The text form.
    pub fn encode(self) -> String {
        encode(REPLAY, self.0.as_bytes())
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, BadCursor> {
        decode(REPLAY, text).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

fn encode(kind: u8, payload: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(payload.len() + 1);
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode<const N: usize>(kind: u8, text: &str) -> Result<[u8; N], BadCursor> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
    match bytes.split_first() {
        Some((first, rest)) if *first == kind => rest.try_into().map_err(|_| BadCursor),
        _ => Err(BadCursor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn log_cursors_come_back(seq in 0i64..) {
            prop_assert_eq!(LogCursor::parse(&LogCursor(seq).encode()), Ok(LogCursor(seq)));
        }

        #[test]
        fn task_cursors_come_back(bytes: [u8; 16]) {
            let cursor = TaskCursor(Uuid::from_bytes(bytes));
            prop_assert_eq!(TaskCursor::parse(&cursor.encode()), Ok(cursor));
            prop_assert_eq!(LogCursor::parse(&cursor.encode()), Err(BadCursor));
            let of_a_delivery = DeliveryCursor(cursor.0).encode();
            prop_assert_eq!(DeliveryCursor::parse(&of_a_delivery), Ok(DeliveryCursor(cursor.0)));
            prop_assert_eq!(TaskCursor::parse(&of_a_delivery), Err(BadCursor));
            let of_a_replay = ReplayCursor(cursor.0).encode();
            prop_assert_eq!(ReplayCursor::parse(&of_a_replay), Ok(ReplayCursor(cursor.0)));
            prop_assert_eq!(DeliveryCursor::parse(&of_a_replay), Err(BadCursor));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(cursor) = LogCursor::parse(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }

        #[test]
        fn log_cursors_keep_order(a in 0i64.., b in 0i64..) {
            let (x, y) = (LogCursor::parse(&LogCursor(a).encode()), LogCursor::parse(&LogCursor(b).encode()));
            prop_assert_eq!(x.expect("own").cmp(&y.expect("own")), a.cmp(&b));
        }
    }
}
