//! What each tool does: one use case or two.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use serde::Deserialize;
use task_inbox_domain::{Document, Phase};
use uuid::Uuid;

use super::answers::{self, Beside};
use super::arguments::Arguments;
use super::tools::Kind;
use super::{Caller, waits};
use crate::app::sender::{self, Said};
use crate::app::waiting::USUAL;
use crate::app::{App, AppError, Created, Permission, PostTask, TaskView, agents, tasks};

/// One call of a tool.
pub(super) struct Call<'a> {
    pub(super) app: &'a App,
    pub(super) caller: &'a Caller,
    pub(super) context: &'a RequestContext<RoleServer>,
}

#[derive(Deserialize)]
struct ListTaskTypes {
    schema: Option<String>,
}

#[derive(Deserialize)]
struct RequestDecision {
    schema: String,
    #[serde(rename = "type")]
    ttype: String,
    meta: Option<Document>,
    state: Option<String>,
    external_id: Option<String>,
    merge_key: Option<String>,
    idempotency_key: Option<String>,
    #[serde(default)]
    wait_seconds: f64,
}

#[derive(Deserialize)]
struct WaitForDecision {
    task_id: Uuid,
    wait_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct CancelRequest {
    task_id: Uuid,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct GetTask {
    task_id: Uuid,
}

impl Call<'_> {
    pub(super) async fn answer(&self, kind: Kind, arguments: &Arguments) -> Result<CallToolResult, AppError> {
        match kind {
            Kind::ListTaskTypes => self.list_task_types(arguments.as_type()?).await,
            Kind::RequestDecision => self.request_decision(arguments.as_type()?).await,
            Kind::WaitForDecision => self.wait_for_decision(arguments.as_type()?).await,
            Kind::CancelRequest => self.cancel_request(arguments.as_type()?).await,
            Kind::GetTask => self.get_task(arguments.as_type()?).await,
        }
    }

    async fn list_task_types(&self, asked: ListTaskTypes) -> Result<CallToolResult, AppError> {
        let types = agents::types(self.app, &self.caller.who, asked.schema.as_deref()).await?;
        Ok(answers::types(&types))
    }

    async fn request_decision(&self, asked: RequestDecision) -> Result<CallToolResult, AppError> {
        let who = &self.caller.who;
        let may_wait = who.may(Permission::TasksRead);
        if asked.wait_seconds > 0.0 {
            may_wait.clone()?;
        }
        let post = PostTask {
            schema_name: asked.schema,
            task: asked.ttype,
            state: asked.state,
            meta: asked.meta,
            external_id: asked.external_id,
            merge_key: asked.merge_key,
            ..PostTask::default()
        };
        let key = asked.idempotency_key.as_ref().or(self.caller.idempotency_key.as_ref());
        let idempotency = key.map(|key| agents::idempotency(who, key, &post));
        let (view, created) = tasks::create(self.app, who, post, idempotency).await?;
        let beside = Beside { is_new: Some(created == Created::New), ..Beside::default() };
        if may_wait.is_err() {
            return Ok(answers::outcome(&view, &beside));
        }
        // What was kept was kept, whatever becomes of the wait: the agent must learn the id.
        match self.waited(view.task.id, seconds(asked.wait_seconds), beside.clone()).await {
            Ok(result) => Ok(result),
            Err(error) => {
                tracing::debug!(?error, "a wait for a decision broke");
                Ok(answers::outcome(&view, &Beside { may_wait: true, ..beside }))
            }
        }
    }

    async fn wait_for_decision(&self, asked: WaitForDecision) -> Result<CallToolResult, AppError> {
        let span = asked.wait_seconds.map_or(USUAL, seconds);
        self.waited(asked.task_id, span, Beside::default()).await
    }

    async fn waited(&self, id: Uuid, span: Duration, beside: Beside) -> Result<CallToolResult, AppError> {
        let waited = waits::wait(self.app, &self.caller.who, id, span, self.context).await?;
        let is_stopping = !span.is_zero() && !waited.has_ended && self.app.tail.is_ending();
        self.told(&waited.view, Beside { is_stopping, ..beside }).await
    }

    async fn cancel_request(&self, asked: CancelRequest) -> Result<CallToolResult, AppError> {
        let who = &self.caller.who;
        let said = Said { reason: asked.reason.clone(), ..Said::default() };
        match sender::cancel(self.app, who, asked.task_id, said, None).await {
            Ok(view) => {
                let beside = Beside { reason: asked.reason, ..Beside::default() };
                Ok(answers::outcome(&view, &beside))
            }
            // Somebody was faster, which is an outcome, too.
            Err(AppError::Conflict { current: Some(current), .. })
                if current.task.phase != Phase::Open && who.may(Permission::TasksRead).is_ok() =>
            {
                let view = tasks::get(self.app, who, current.task.id).await?;
                let note = Some("It was too late to withdraw it.");
                self.told(&view, Beside { note, ..Beside::default() }).await
            }
            Err(error) => Err(error),
        }
    }

    async fn get_task(&self, asked: GetTask) -> Result<CallToolResult, AppError> {
        let view = tasks::get(self.app, &self.caller.who, asked.task_id).await?;
        self.told(&view, Beside::default()).await
    }

    /// A task that the caller may read, with why it stands as it does.
    async fn told(&self, view: &TaskView, beside: Beside) -> Result<CallToolResult, AppError> {
        let reason = match view.task.phase {
            Phase::Open => None,
            _ => agents::reason(self.app, &self.caller.who, view.task.id).await?,
        };
        Ok(answers::outcome(view, &Beside { reason, may_wait: true, ..beside }))
    }
}

/// A whole number, as JSON may write it.
fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number)
}
