//! Waiting for a decision for as long as an agent likes, and showing meanwhile that it is waited.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::app::waiting::{self, LONGEST, USUAL, Waited};
use crate::app::{App, AppError, Principal};

/// The longest wait of one call.
pub(super) const MOST: Duration = Duration::from_hours(1);

/// How often it is seen whether there is progress to tell.
const CHECK: Duration = Duration::from_secs(1);

/// How often a caller who asked for it hears that it is still waited. Clients give up on what is silent for long.
const PROGRESS: Duration = Duration::from_secs(5);

/// The pause before a task is looked at again that could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until a task is not open any more, for a while. Ends early when the process begins to stop, when the caller
/// goes away, and with an error when its key ends.
pub(super) async fn wait(
    app: &App,
    who: &Principal,
    id: Uuid,
    span: Duration,
    context: &RequestContext<RoleServer>,
) -> Result<Waited, AppError> {
    let begun = Instant::now();
    let token = context.meta.get_progress_token();
    // By the rules of a version that a request names for itself, nothing is sent before there is something to tell.
    let is_silent = token.is_none() && context.meta.protocol_version().is_some();
    let span = if is_silent { span.min(USUAL) } else { span };
    let deadline = begun + span;
    let tell = async |elapsed: Duration| {
        let Some(token) = token.clone().filter(|_| !span.is_zero()) else { return };
        let progress = ProgressNotificationParam::new(token, elapsed.as_secs_f64().floor())
            .with_total(span.as_secs_f64())
            .with_message(format!("waiting for a person to decide task {id}"));
        // Who doesn't read is not waited for.
        let _ = tokio::time::timeout(CHECK, context.peer.notify_progress(progress)).await;
    };
    tell(Duration::ZERO).await;
    let mut told = begun;
    let mut checks = tokio::time::interval_at(begun + CHECK, CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let slice = deadline.saturating_duration_since(Instant::now()).min(LONGEST);
        let mut waiting = std::pin::pin!(waiting::wait(app, who, id, slice));
        let waited = loop {
            tokio::select! {
                waited = &mut waiting => break waited,
                () = context.ct.cancelled() => {
                    return Err(AppError::Unavailable { detail: "the wait was cancelled".to_owned() });
                }
                now = checks.tick() => {
                    if now - told >= PROGRESS {
                        told = now;
                        tell(begun.elapsed()).await;
                    }
                }
            }
        };
        let is_over = app.tail.is_ending() || Instant::now() >= deadline;
        match waited {
            Ok(waited) if waited.has_ended || is_over => return Ok(waited),
            Ok(_) => {}
            // The database comes back, and the decision is in it.
            Err(AppError::Unavailable { .. }) if !is_over => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}
