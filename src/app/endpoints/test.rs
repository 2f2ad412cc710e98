//! Trying an endpoint: one signed request, whose answer is shown.
//!
//! It is no delivery: it stands in no log, takes no turn of the endpoint's rate, and neither its
//! failure nor its success counts for the breaker. So it goes out while deliveries wait, too: that
//! is when somebody wants to know.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use task_inbox_domain::Timestamp;
use task_inbox_domain::webhook::format::JSON;
use task_inbox_domain::webhook::message::Message;
use uuid::Uuid;

use super::of_id;
use crate::app::error::Result;
use crate::app::targets::Target;
use crate::app::{App, AppError, Permission, Principal, webhook_keys};
use crate::outbound::{Answer, Failure};
use crate::store::registry::{Endpoint, Origin};

/// What its receiver is told, if nothing else is said.
const MESSAGE: &str = "This is a test of the endpoint: nothing happened, and nothing is to be done.";

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Tested {
    /// Whether the receiver took it: it answered 2xx.
    pub delivered: bool,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
    /// `delivered`, `status` for any other answer, or the kind of failure.
    pub outcome: &'static str,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response: Option<Vec<u8>>,
}

/// Sends a test event to an endpoint, signed as its webhooks are, and tells what was answered.
pub async fn test(app: &App, who: &Principal, id: Uuid) -> Result<Tested> {
    who.may(Permission::EndpointsWrite)?;
    let (registry, endpoint) = of_id(app, who, id).await?;
    if endpoint.origin == Origin::Callback {
        return Err(AppError::conflict(format!(
            "the endpoint {id} has no URL of its own: each task of {} says where at {} it is called back",
            endpoint.schema, endpoint.hook.url
        )));
    }
    if !endpoint.has_key {
        return Err(AppError::conflict(format!(
            "the endpoint {id} has no key to sign with; make one with `{}`",
            webhook_keys::command_of(&endpoint)
        )));
    }
    let target = app.targets.signer(&app.db, &app.vault, &registry, id).await?;
    let Some(target) = target else {
        return Err(AppError::conflict(format!(
            "the key of the endpoint {id} can't be used by this server, which lacks the master key that it is encrypted \
             under; check TASK_INBOX_MASTER_KEY"
        )));
    };
    Ok(send(app, &target, &endpoint).await)
}

async fn send(app: &App, target: &Target, endpoint: &Endpoint) -> Tested {
    let now = App::now();
    let (body, content_type) = body(target, endpoint, now);
    let headers = target.headers(&format!("tst_{}", Uuid::now_v7()), now, content_type, body.as_bytes());
    let begun = Instant::now();
    let sent = match (target.url(), target.timeout) {
        (Some(url), Some(timeout)) => app.client.post_within(url, headers, Bytes::from(body), timeout).await,
        (Some(url), None) => app.client.post(url, headers, Bytes::from(body)).await,
        (None, _) => unreachable!("callbacks alone have no URL, and are refused before"),
    };
    judge(begun.elapsed(), sent)
}

/// What is sent, in the endpoint's form, and its content type.
fn body(target: &Target, endpoint: &Endpoint, now: Timestamp) -> (String, &'static str) {
    if let Some(messenger) = target.format.messenger() {
        let text = format!("{MESSAGE}\nendpoint {}", endpoint.id);
        return Message { title: "Test of task-inbox".to_owned(), text }.body(messenger);
    }
    let data = json!({ "endpoint_id": endpoint.id, "message": MESSAGE });
    // The type comes first, as in every event.
    (format!(r#"{{"type":"endpoint.test","timestamp":"{now}","data":{data}}}"#), JSON)
}

fn judge(duration: Duration, sent: std::result::Result<Answer, Failure>) -> Tested {
    match sent {
        Ok(answer) => {
            let delivered = (200..300).contains(&answer.status);
            Tested {
                delivered,
                status: Some(answer.status),
                duration,
                outcome: if delivered { "delivered" } else { "status" },
                error: (!delivered).then(|| format!("answered {}", answer.status)),
                response: Some(answer.body),
            }
        }
        Err(failure) => Tested {
            delivered: false,
            status: None,
            duration,
            outcome: failure.kind.as_str(),
            error: Some(failure.detail),
            response: None,
        },
    }
}
