//! The API in this process, on the database: beside a running server, or without one.

use anyhow::Context;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use task_inbox::app::App;
use task_inbox::config::Config;
use task_inbox::{http as service, startup};

use super::{Call, Refusal, Reply};

/// The service's router, and what it works on.
pub(crate) struct Local {
    app: App,
    service: service::Local,
}

impl Local {
    /// Opens the database.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let app = startup::open(config).await?;
        Ok(Self { service: service::Local::new(app.clone()), app })
    }

    /// Makes one request.
    pub(super) async fn send(&self, call: Call) -> Result<Reply, Refusal> {
        let broken = |e: &dyn std::fmt::Display| Refusal::new(format!("the answer can't be read: {e}"));
        let mut request = Request::builder().method(call.method).uri(call.target);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let body = match call.body {
            Some((media_type, body)) => {
                request = request.header(CONTENT_TYPE, media_type);
                body
            }
            None => Bytes::new(),
        };
        let request =
            request.body(body).map_err(|e| Refusal::new(format!("the request can't be made: {e}")))?;
        let answer = self.service.call(request).await.map_err(|e| broken(&e))?;
        let json = serde_json::from_slice(&answer.body).map_err(|e| broken(&e))?;
        let status = answer.status.as_u16();
        if answer.status.is_success() {
            return Ok(Reply { status, json, body: answer.body });
        }
        let refusal = Refusal::of_problem(status, &json);
        // There is no server whose log would tell.
        Err(match answer.cause {
            Some(cause) => refusal.saying(cause),
            None => match answer.retry_after {
                Some(after) if refusal.is_maintenance => refusal.until(after),
                _ => refusal,
            },
        })
    }

    /// Closes the database.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        drop(self.service);
        startup::close(self.app).await.context("the database can't be closed")
    }
}
