//! `/metrics`, for Prometheus.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;

use super::Http;
use super::problem::Problem;
use crate::measure;
use crate::store::vitals::{self, Vitals};

/// Where it is.
pub(super) const PATH: &str = "/metrics";

/// How old what is read from the database may be: several may ask, and counting a long queue costs something.
const FRESH: Duration = Duration::from_secs(5);

/// How long the database may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The database's vitals as they were last read.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<(Instant, Vitals)>>);

impl Kept {
    /// None while the database does not answer: what this process counted itself is worth having, most of all
    /// then.
    async fn vitals(&self, http: &Http) -> Option<Vitals> {
        let mut kept = self.0.lock().await;
        if let Some((_, vitals)) = kept.as_ref().filter(|(read, _)| read.elapsed() < FRESH) {
            return Some(vitals.clone());
        }
        match tokio::time::timeout(TIMEOUT, vitals::read(&http.app.db)).await {
            Ok(Ok(vitals)) => {
                *kept = Some((Instant::now(), vitals.clone()));
                Some(vitals)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database's vitals can't be read");
                None
            }
            Err(_) => {
                tracing::warn!("the database's vitals can't be read: no answer");
                None
            }
        }
    }
}

/// The route. It is for who operates the service and not in the API's description, as health checks are.
pub(super) fn router() -> Router<Http> {
    Router::new().route(PATH, get(metrics))
}

async fn metrics(State(http): State<Http>) -> Result<Response, Problem> {
    if !http.settings.metrics {
        return Err(Problem::not_found("metrics are switched off here (TASK_INBOX_METRICS)"));
    }
    measure::commit_queue(http.app.commit.waiting());
    let vitals = http.metrics.vitals(&http).await;
    if let Some(vitals) = &vitals {
        tell(vitals);
    }
    let text = measure::rendered(vitals.is_some());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Hands the database's vitals to what is collected.
fn tell(vitals: &Vitals) {
    for (state, endpoints) in &vitals.endpoints {
        measure::endpoints(state, endpoints.count, endpoints.waiting, endpoints.oldest);
    }
    measure::work(vitals.seq, vitals.replays);
    for pool in &vitals.pools {
        measure::pool(pool.name, pool.size, pool.idle);
    }
    for (table, rows) in &vitals.dead_tuples {
        measure::dead_tuples(table, *rows);
    }
    if let Some(age) = vitals.oldest_transaction {
        measure::oldest_transaction(age);
    }
    for (part, bytes) in &vitals.bytes {
        measure::bytes(part, *bytes);
    }
}
