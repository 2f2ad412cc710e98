//! What was accepted: the memory of ids and, if asked for, the journal file, under one lock, so
//! that of two equal webhooks at the same time exactly one is new.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::dedup::{CAPACITY, Seen};

/// How a webhook proved where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Head,
    Hmac,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Hmac => "hmac",
        }
    }
}

pub(crate) struct Ledger {
    seen: Seen,
    journal: Option<File>,
}

impl Ledger {
    /// Opens the journal for appending; without a path there is none.
    pub(crate) fn open(journal: Option<&Path>) -> io::Result<Self> {
        let journal =
            journal.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Self { seen: Seen::new(CAPACITY), journal })
    }

    /// Writes one accepted webhook down and says whether it is a duplicate.
    ///
    /// The line is with the operating system when this returns. If writing fails the id is not
    /// remembered: the sender is told to come again, and that attempt is no duplicate.
    pub(crate) fn record(&mut self, id: Option<&str>, kind: Kind, body: &str) -> io::Result<bool> {
        let duplicate = id.is_some_and(|id| self.seen.contains(id));
        if let Some(journal) = &mut self.journal {
            journal.write_all(line(id, kind, duplicate, body).as_bytes())?;
            journal.flush()?;
        }
        if let Some(id) = id {
            self.seen.insert(id);
        }
        Ok(duplicate)
    }
}

/// One line of NDJSON. The body, a JSON document already, is put in as it is: parsing and writing
/// it again could change its numbers.
fn line(id: Option<&str>, kind: Kind, duplicate: bool, body: &str) -> String {
    // Outside strings a line break is white space, and inside strings JSON allows none.
    let body = body.replace(['\n', '\r'], " ");
    let received = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis());
    format!(
        r#"{{"webhook_id":{},"kind":{},"duplicate":{duplicate},"received":{received},"body":{}}}"#,
        json!(id),
        json!(kind.name()),
        body,
    ) + "\n"
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_line_is_one_line_and_keeps_the_body() {
        let body = "{\r\n \"n\": 1e400000, \"s\": \"a\\nb\"\n}";
        let line = line(Some("evt_\"1\n"), Kind::Head, true, body);
        assert_eq!(line.lines().count(), 1);
        assert!(line.contains("1e400000"));
    }

    #[test]
    fn a_webhook_without_an_id_is_never_a_duplicate() {
        let mut ledger = Ledger::open(None).unwrap();
        for _ in 0..2 {
            assert!(!ledger.record(None, Kind::Head, "{}").unwrap());
        }
        assert!(!ledger.record(Some("evt_1"), Kind::Hmac, "{}").unwrap());
        assert!(ledger.record(Some("evt_1"), Kind::Hmac, "{}").unwrap());
    }

    #[test]
    fn the_line_is_json() {
        let line = line(None, Kind::Hmac, false, r#"{"a": [1]}"#);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["webhook_id"], Value::Null);
        assert_eq!(value["kind"], "hmac");
        assert_eq!(value["duplicate"], false);
        assert!(value["received"].as_u64().unwrap() > 1_700_000_000_000);
        assert_eq!(value["body"]["a"][0], 1);
    }
}
