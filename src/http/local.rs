//! The API without a socket: the command line's way to the database that it has beside it.
//!
//! A request goes through the same table, and its answer through the same layer, as one that
//! came by network. Only its credential differs: the operator has the database anyway.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use super::caller::InProcess;
use super::problem::Problem;
use super::{Settings, router};
use crate::app::{App, Principal};

/// Nobody else waits for what an operator's command does, and a large schema takes its time to go.
const LIMIT: Duration = Duration::from_hours(1);

/// The API, called by the operator of this process.
pub struct Local {
    router: Router,
    operator: Principal,
}

/// What a request was answered.
#[derive(Clone, Debug)]
pub struct LocalAnswer {
    /// The status.
    pub status: StatusCode,
    /// The body, JSON.
    pub body: Bytes,
    /// What the server's log would tell about a 5xx.
    pub cause: Option<String>,
    /// When it is worth another try, if it is then.
    pub retry_after: Option<Duration>,
}

impl Local {
    /// The API over these use cases.
    pub fn new(app: App) -> Self {
        let settings = Settings { timeout: LIMIT, ..Settings::default() };
        Self { router: router(app, settings), operator: Principal::cli() }
    }

    /// Answers one request.
    ///
    /// # Errors
    ///
    /// The answer's body ended early.
    pub async fn call(&self, request: Request<Bytes>) -> Result<LocalAnswer, axum::Error> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(InProcess(self.operator.clone()));
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        let problem = parts.extensions.get::<Problem>();
        let cause = problem.and_then(Problem::cause).map(str::to_owned);
        let retry_after = problem.and_then(Problem::retry_after);
        let body = axum::body::to_bytes(body, usize::MAX).await?;
        Ok(LocalAnswer { status: parts.status, body, cause, retry_after })
    }
}
