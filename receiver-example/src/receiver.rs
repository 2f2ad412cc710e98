//! The route: credentials in, a status and a readable line out.
//!
//! The order is that of the four rules in the README: take the raw body, verify it, deduplicate,
//! answer at once. Cryptography is in `verify`, memory in `ledger`.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::guard;
use crate::ledger::{Kind, Ledger};
use crate::verify::{self, HeadKey, Secret, Signed};

/// task-inbox sends at most 256 KiB of `meta`, and some more around it.
const BODY_LIMIT: usize = 1024 * 1024;

pub(crate) struct Receiver {
    /// The header that holds the key of a `head` webhook.
    pub(crate) header: HeaderName,
    pub(crate) key: Option<HeadKey>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) ledger: Mutex<Ledger>,
}

type Answer = (StatusCode, Json<Value>);

pub(crate) fn router(receiver: Receiver) -> Router {
    Router::new()
        .route("/api/v1/tihook", post(tihook))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(receiver))
}

/// The body comes as bytes: a signature covers those, not what a parser makes of them.
async fn tihook(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Answer> {
    let kind = receiver.authenticate(&headers, &body)?;
    // Only the grammar is checked: a `Value` would refuse what is nested deeper than its parser goes.
    let Ok(raw) = serde_json::from_slice::<&RawValue>(&body) else {
        return Err(refuse(StatusCode::BAD_REQUEST, "the body is not JSON"));
    };
    let id = header(&headers, "webhook-id");
    let document = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
    if let Some(answer) = guard::answer(&document) {
        let _ = writeln!(io::stdout(), "{}", describe_question(kind, id, &document, &answer));
        return Ok((StatusCode::OK, Json(answer)));
    }
    let recorded = receiver.ledger.lock().unwrap_or_else(PoisonError::into_inner).record(id, kind, raw.get());
    match recorded {
        Ok(duplicate) => {
            // A closed stdout is no reason to refuse a webhook.
            let line = describe(kind, duplicate, id, &document);
            let _ = writeln!(io::stdout(), "{line}");
            // Here an application would put the work into a queue: the sender waits for nothing
            // but the promise that it is kept.
            Ok((StatusCode::OK, Json(json!({"ok": true}))))
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "the journal can't be written: {error}");
            Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, "the journal can't be written"))
        }
    }
}

impl Receiver {
    /// 501 if nothing is configured, 401 if nothing was sent, 403 if it is wrong.
    fn authenticate(&self, headers: &HeaderMap, body: &[u8]) -> Result<Kind, Answer> {
        if self.key.is_none() && self.secrets.is_empty() {
            return Err(refuse(
                StatusCode::NOT_IMPLEMENTED,
                "no key configured: set RCV_HOOK_KEY or RCV_HOOK_SECRET",
            ));
        }
        if headers.contains_key("webhook-signature") {
            self.authenticate_signed(headers, body)?;
            return Ok(Kind::Hmac);
        }
        let sent = headers.get(&self.header).ok_or_else(|| {
            let detail = format!("neither webhook-signature nor {} was sent", self.header);
            refuse(StatusCode::UNAUTHORIZED, &detail)
        })?;
        match &self.key {
            Some(key) if key.matches(sent.as_bytes()) => Ok(Kind::Head),
            Some(_) => Err(refuse(StatusCode::FORBIDDEN, "wrong key")),
            None => Err(refuse(StatusCode::FORBIDDEN, "no key to compare with: RCV_HOOK_KEY is not set")),
        }
    }

    fn authenticate_signed(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Answer> {
        let required = |name| {
            header(headers, name).ok_or_else(|| {
                let detail = format!("the header {name} is missing or not ASCII");
                refuse(StatusCode::UNAUTHORIZED, &detail)
            })
        };
        let signed = Signed {
            id: required("webhook-id")?,
            timestamp: required("webhook-timestamp")?,
            signatures: required("webhook-signature")?,
        };
        if self.secrets.is_empty() {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "no secret to verify with: RCV_HOOK_SECRET is not set",
            ));
        }
        verify::verify(&self.secrets, signed, body, unix_now())
            .map_err(|refusal| refuse(StatusCode::FORBIDDEN, &refusal.to_string()))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn refuse(status: StatusCode, detail: &str) -> Answer {
    (status, Json(json!({"ok": false, "error": detail})))
}

/// A clock before 1970 gives 0, at which everything is stale.
fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|age| i64::try_from(age.as_secs()).ok())
        .unwrap_or(0)
}

/// One line for a person to read.
fn describe(kind: Kind, duplicate: bool, id: Option<&str>, document: &Value) -> String {
    let verdict = if duplicate { "duplicate" } else { "verified" };
    let words = match kind {
        Kind::Hmac => {
            let data = &document["data"];
            vec![
                id.unwrap_or("-").to_owned(),
                word(&document["type"], "-"),
                word(&data["task"]["id"], "-"),
                word(&data["previous_state"], "unset"),
                "->".to_owned(),
                word(&data["task"]["state"], "unset"),
            ]
        }
        Kind::Head => vec![
            word(&document["ttype"], "-"),
            word(&document["task"]["id"], "-"),
            word(&document["task"]["state"], "unset"),
        ],
    };
    format!("{verdict} ({}) {}", kind.name(), words.join(" "))
}

/// The same of a question, with what it was answered.
fn describe_question(kind: Kind, id: Option<&str>, document: &Value, answer: &Value) -> String {
    let verdict = if answer["allow"] == true { "allowed" } else { "refused" };
    let (data, step) = (&document["data"], &document["data"]["transition"]);
    let (from, to) = (word(&step["from"], "unset"), word(&step["to"], "unset"));
    let (id, task) = (id.unwrap_or("-"), word(&data["task"]["id"], "-"));
    format!("{verdict} ({}) {id} task.guard {task} {from} -> {to}", kind.name())
}

/// A string without control characters: a body must not be able to write lines of its own.
fn word(value: &Value, absent: &str) -> String {
    value
        .as_str()
        .map_or_else(|| absent.to_owned(), |text| text.chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_readable() {
        let signed = json!({"type": "task.state_changed", "data": {
            "previous_state": "level1", "task": {"id": "0198", "state": "block"}}});
        assert_eq!(
            describe(Kind::Hmac, false, Some("evt_1"), &signed),
            "verified (hmac) evt_1 task.state_changed 0198 level1 -> block"
        );
        let head = json!({"ttype": "flag-content", "task": {"id": "0198", "state": null}});
        assert_eq!(
            describe(Kind::Head, true, Some("evt_1"), &head),
            "duplicate (head) flag-content 0198 unset"
        );
    }

    #[test]
    fn a_body_writes_no_lines_of_its_own() {
        let document = json!({"ttype": "x\nverified (hmac)\u{1b}[2J", "task": 1});
        assert_eq!(
            describe(Kind::Head, false, None, &document),
            "verified (head) xverified (hmac)[2J - unset"
        );
    }
}
