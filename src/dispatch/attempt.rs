//! One attempt: from a leased delivery to what became of it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use task_inbox_domain::Timestamp;
use task_inbox_domain::webhook::breaker::Shown;
use task_inbox_domain::webhook::delivery::{self, AttemptResult, FailureKind, Settlement};
use task_inbox_domain::webhook::signing;

use crate::app::targets::Target;
use crate::measure;
use crate::outbound::{self, Answer, Client, Failure};
use crate::store::deliveries::{Fate, Leased, Settled};

/// Signs and sends a delivery, and judges the answer.
pub(super) async fn make(client: &Client, target: &Target, leased: &Leased, deadline: Duration) -> Settled {
    let started = Timestamp::from(chrono::Utc::now());
    let begun = Instant::now();
    let (body, content_type) = target.format.body(&leased.event, leased.seq, &target.auth);
    let id = signing::webhook_id(leased.event.id);
    let headers = target.headers(&id, started, content_type, body.as_bytes());
    let sent = match target.url_of(&leased.event) {
        Some(url) => client.post_within(&url, headers, Bytes::from(body), deadline).await,
        None => Err(no_url()),
    };
    let settled = judge(leased, target, started, begun.elapsed(), sent);
    measure::attempt(&settled.outcome, settled.duration);
    settled
}

/// A callback whose task no longer says where: it was erased.
fn no_url() -> Failure {
    Failure {
        kind: outbound::FailureKind::Url,
        detail: "the event no longer says where to call back".to_owned(),
        elapsed: Duration::ZERO,
    }
}

/// The domain's name for a failure of the way out.
fn kind(kind: outbound::FailureKind) -> FailureKind {
    match kind {
        outbound::FailureKind::Timeout => FailureKind::Timeout,
        outbound::FailureKind::Connect => FailureKind::Connect,
        outbound::FailureKind::Dns => FailureKind::Dns,
        outbound::FailureKind::Tls => FailureKind::Tls,
        outbound::FailureKind::AddressRefused => FailureKind::AddressRefused,
        // A URL that was valid when its schema was installed does not become invalid.
        outbound::FailureKind::Protocol | outbound::FailureKind::Url => FailureKind::Protocol,
    }
}

/// What the answer, or its absence, means for the delivery.
fn judge(
    leased: &Leased,
    target: &Target,
    started: Timestamp,
    duration: Duration,
    sent: Result<Answer, Failure>,
) -> Settled {
    let number = leased.attempts + 1;
    let is_unasked = matches!(&sent, Err(failure) if failure.kind == outbound::FailureKind::Url);
    let (result, outcome, status, error, response) = match sent {
        Ok(answer) => {
            let ok = (200..300).contains(&answer.status);
            let outcome = if ok { "delivered" } else { "status" };
            let error = (!ok).then(|| format!("answered {}", answer.status));
            let result = AttemptResult::Answer { status: answer.status, retry_after: answer.retry_after };
            (result, outcome, Some(answer.status), error, answer.body)
        }
        Err(failure) => {
            let kind = kind(failure.kind);
            (AttemptResult::Failed(kind), kind.as_str(), None, Some(failure.detail), Vec::new())
        }
    };
    let (fate, disables) = match delivery::settle(&result, number, started, rand::random()) {
        Settlement::Delivered => (Fate::Delivered, false),
        Settlement::Retry { after } => (Fate::Retry(after), false),
        Settlement::Dead { reason } => (Fate::Dead(reason.as_str()), false),
        // What is gone at a callback's host is one task's path.
        Settlement::Gone => {
            (Fate::Dead(delivery::DeadReason::Gone.as_str()), target.callback_pattern.is_none())
        }
    };
    let shown = match target.callback_pattern {
        // Nothing was asked of any host.
        Some(_) if is_unasked => Shown::Nothing,
        Some(is_pattern) => Shown::of_callback(status.is_some(), is_pattern),
        None => Shown::of(fate == Fate::Delivered),
    };
    Settled {
        id: leased.id,
        token: leased.token,
        endpoint: leased.endpoint,
        event_id: leased.event.id,
        kind: leased.event.kind,
        schema: leased.event.schema.clone(),
        task_id: leased.event.task_id,
        happened: leased.event.created,
        number,
        started,
        duration,
        outcome: outcome.to_owned(),
        status,
        error,
        response,
        fate,
        generation: target.generation,
        shown,
        disables,
        probe: leased.probe,
    }
}
