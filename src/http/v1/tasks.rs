//! Tasks: posted, listed, read, decided.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::{requests, responses};
use crate::app::{Created, Permission, sender, tasks, waiting};
use crate::http::Http;
use crate::http::answer;
use crate::http::call::Call;
use crate::http::caller::Caller;
use crate::http::openapi::{examples, models, problems};
use crate::http::parameters::Segment;
use crate::http::problem::Problem;

/// Post a task that a person must decide
///
/// Needs `tasks:write`. `schema_name` and `task` name a type in the schema's latest version. A `null` equals an absent
/// field. With `wait` (which needs `tasks:read`, too) the answer comes when the task is not open any more, or the time is
/// over: it holds the task as it is then. Repeat a post whose answer was lost with the same `Idempotency-Key`, or with the same
/// `external_id`: neither makes a second task.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "tasks", operation_id = "createTask",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, kept for at least 24 h. The same key with the same \
                           body gets the first answer again; with another body, 409.",
            example = "order-4711-refund", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
        ("wait" = Option<String>, Query, description = "Wait for the decision so long, 55s at most", example = "2s", pattern = r"^([0-9]{1,4}ms|[0-4]?[0-9]s|5[0-5]s)$"),
    ),
    request_body(content = models::PostTask, description = "The task", examples(
        ("original" = (summary = "As the original service's clients send it", value = json!({
            "schema_name": "ti:sample", "task": "flag-content", "state": null, "meta": null
        }))),
        ("with meta" = (summary = "With something to look at, and a name of its own",
            value = json!(examples::post_task()))),
    )),
    responses(
        (status = 201, body = models::TaskAnswer, description = "The task was kept",
            headers(("Location" = String, description = "Where it is"),
                    ("ETag" = String, description = "Its version, for If-Match")),
            links(("task" = (operation_id = "getTask", parameters(("id" = "$response.body#/task/id")))),
                  ("history" = (operation_id = "getTaskHistory", parameters(("id" = "$response.body#/task/id")))),
                  ("decide" = (operation_id = "decideTask", parameters(("id" = "$response.body#/task/id"))))),
            example = json!(examples::task())),
        (status = 200, body = models::TaskAnswer,
            description = "The same content had been posted under this `external_id` before, or waits under this \
                           `merge_key`: the task as it stands",
            example = json!(examples::task())),
        (status = 409, body = models::ConflictProblem, content_type = "application/problem+json",
            description = "The `external_id` names another task, or the `Idempotency-Key` came with another body"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn create(
    State(http): State<Http>,
    Caller(who): Caller,
    call: Call,
) -> Result<Response, Problem> {
    let wait = requests::wait(&call.uri, "wait")?;
    if wait.is_some() {
        who.may(Permission::TasksRead)?;
    }
    let post = requests::post_task(&call.body)?;
    let (mut view, created) = tasks::create(&http.app, &who, post, call.idempotency(&who, false)?).await?;
    if let Some(timeout) = wait {
        // What was kept was kept, whatever becomes of the wait.
        match waiting::wait(&http.app, &who, view.task.id, timeout).await {
            Ok(waited) => view = waited.view,
            Err(error) => tracing::debug!(?error, "a wait for a decision broke"),
        }
    }
    let status = if matches!(created, Created::New) { StatusCode::CREATED } else { StatusCode::OK };
    answer::posted(status, &view)
}

/// List tasks, oldest first
///
/// Needs `tasks:read`. Filters combine. Pass `next_cursor` as `cursor` for the next page; it is null on the last one.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", operation_id = "listTasks",
    params(
        ("resolved" = inline(Option<models::Resolved>), Query, description = "`un`: only tasks that still wait; `all` (the default): every task"),
        ("schema" = Option<String>, Query, description = "Only tasks of this schema", min_length = 1, max_length = 1024, example = "ti:sample"),
        ("ttype" = Option<String>, Query, description = "Only tasks of types with this name", min_length = 1, max_length = 1024, example = "flag-content"),
        ("state" = Option<String>, Query, description = "Only tasks in this state; empty: those in none", max_length = 1024),
        ("phase" = Option<models::Phase>, Query, description = "Only tasks in this phase"),
        ("assignee" = Option<uuid::Uuid>, Query, description = "Only tasks of this user"),
        ("external_id" = Option<String>, Query, description = "Only the task that its sender calls so, in each schema",
            min_length = 1, max_length = 1024),
        ("limit" = Option<u16>, Query, description = "Tasks on a page, 100 by default; fewer where they are large", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; empty: the beginning", format = "cursor"),
    ),
    responses(
        (status = 200, body = models::TaskList, description = "A page of tasks, and the types that they are of",
            example = json!(examples::tasks())),
        problems::Authenticated,
    )
)]
pub(in crate::http) async fn list(
    State(http): State<Http>,
    Caller(who): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let (filter, after, limit) = requests::task_list(&uri)?;
    responses::task_list(&tasks::list(&http.app, &who, filter, after, limit).await?)
}

/// Read a task
///
/// Needs `tasks:read`.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "getTask",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses(
        (status = 200, body = models::TaskAnswer, description = "The task",
            headers(("ETag" = String, description = "Its version, for If-Match")),
            example = json!(examples::task())),
        problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn get(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    let view = tasks::get(&http.app, &who, requests::task_id(&id)?).await?;
    answer::task_with_type(StatusCode::OK, &view)
}

/// Wait for a decision
///
/// Needs `tasks:read`. Answers when the task is not open any more; after `timeout`, or when the server is about to stop,
/// with 202: ask again. Nothing is missed between two of these.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/wait", tag = "tasks", operation_id = "waitForTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        ("timeout" = Option<String>, Query, description = "How long to wait, 50s if it is not said, 55s at most", example = "2s", pattern = r"^([0-9]{1,4}ms|[0-4]?[0-9]s|5[0-5]s)$"),
    ),
    responses(
        (status = 200, body = models::TaskAnswer, description = "The task, which is not open any more",
            headers(("ETag" = String, description = "Its version, for If-Match")),
            example = json!(examples::task())),
        (status = 202, body = models::TaskAnswer, description = "The task, which is still open",
            headers(("ETag" = String, description = "Its version, for If-Match")),
            example = json!(examples::task())),
        problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn wait(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    let timeout = requests::wait(&uri, "timeout")?.unwrap_or(waiting::USUAL);
    let waited = waiting::wait(&http.app, &who, requests::task_id(&id)?, timeout).await?;
    let status = if waited.has_ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    answer::task_with_type(status, &waited.view)
}

/// Read what happened to a task, oldest first
///
/// Needs `tasks:read`.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/history", tag = "tasks", operation_id = "getTaskHistory",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses(
        (status = 200, body = models::TaskHistory, description = "One line for each change",
            example = json!(examples::history())),
        problems::Authenticated, problems::NotFound,
    )
)]
pub(in crate::http) async fn history(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    let line = |logged| responses::history_line(&logged);
    responses::history(tasks::history(&http.app, &who, requests::task_id(&id)?, line).await?)
}

/// Decide a task
///
/// Needs `tasks:resolve`. The state comes as `?state=` (empty is unset), as the original's clients send it, or in a JSON
/// body, where it must be present (null is unset). Checked in this order: the same caller
/// repeating the same state and output gets 200 and nothing new happens; an `If-Match` of another
/// version gets 412; a transition that the type doesn't allow gets 409. Where the type declares a `guard`, the
/// application server is asked last, and once: its refusal is a 409 that tells the reason, and so is a task
/// that changed while it was asked; if it can't be asked and `on_error` is `deny`, 503.
#[utoipa::path(
    patch, path = "/api/v1/tasks/{id}/state", tag = "tasks", operation_id = "decideTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        ("state" = Option<String>, Query, description = "The state to move to; empty is unset", max_length = 64, example = "allow"),
        ("If-Match" = Option<String>, Header,
            description = "The ETag of the version that the decision is about, or `*`", example = "\"1\"",
            format = "etag", pattern = r#"^(\*|(W/)?"[0-9]{1,18}")$"#),
        ("Idempotency-Key" = Option<String>, Header,
            description = "As for a post; the query counts as part of the body",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = Option<models::Decide>, description = "Needed for an output or a reason only", examples(
        ("with a result" = (summary = "With a result and a reason", value = json!(examples::decide()))),
        ("unset" = (summary = "Back to unset", value = json!({"state": null}))),
    )),
    responses(
        (status = 200, body = models::Decided, description = "The task after the decision",
            headers(("ETag" = String, description = "Its new version")),
            example = json!(examples::decided())),
        (status = 409, body = models::ConflictProblem, content_type = "application/problem+json",
            description = "Not possible from the task's state; the type's guard refused, or the task changed while it \
                           was asked; or the `Idempotency-Key` came with another body"),
        (status = 412, body = models::ConflictProblem, content_type = "application/problem+json",
            description = "The task is at another version than `If-Match`: `changes` tells what is another now"),
        (status = 428, body = models::Problem, content_type = "application/problem+json",
            description = "The type binds decisions to what was seen, and no `If-Match` says what that was"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn transition(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    let id = requests::task_id(&id)?;
    let (decision, on_behalf_of) = requests::decision(&call)?;
    let idempotency = call.idempotency(&who, true)?;
    answer::decided(&tasks::transition(&http.app, &who, id, decision, idempotency, on_behalf_of).await?)
}

/// Change what a task says
///
/// Needs `tasks:write`: this is for whoever posted it. `meta` is merged into the task's by JSON Merge Patch (RFC 7396): what
/// is not named stays, null takes away. What comes of it must match the type's `input`. Only a task that waits can be
/// changed; each change is a new version, so that whoever decides with the `If-Match` of what was on the screen gets 412,
/// with the task as it is.
#[utoipa::path(
    patch, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "amendTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        ("If-Match" = Option<String>, Header,
            description = "The ETag of the version that is changed, or `*`", example = "\"1\"",
            format = "etag", pattern = r#"^(\*|(W/)?"[0-9]{1,18}")$"#),
        ("Idempotency-Key" = Option<String>, Header, description = "As for a post",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = models::Amend, description = "What changes", example = json!(examples::amend())),
    responses(
        (status = 200, body = models::Decided, description = "The task after the change",
            headers(("ETag" = String, description = "Its new version")),
            example = json!(examples::amended())),
        (status = 409, body = models::ConflictProblem, content_type = "application/problem+json",
            description = "The task does not wait any more; or the `Idempotency-Key` came with another body"),
        (status = 412, body = models::ConflictProblem, content_type = "application/problem+json",
            description = "The task is at another version than `If-Match`"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn amend(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    let id = requests::task_id(&id)?;
    let (patch, said) = requests::amendment(&call)?;
    let idempotency = call.idempotency(&who, false)?;
    answer::decided(&sender::amend(&http.app, &who, id, patch, said, idempotency).await?)
}

/// Withdraw a task
///
/// Needs `tasks:write`: this is for whoever posted it. Only a task that waits can be withdrawn; it takes no decision any
/// more, and whoever waits for one is answered. To withdraw it again changes nothing.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks", operation_id = "cancelTask",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        ("If-Match" = Option<String>, Header,
            description = "The ETag of the version that is withdrawn, or `*`", example = "\"1\"",
            format = "etag", pattern = r#"^(\*|(W/)?"[0-9]{1,18}")$"#),
        ("Idempotency-Key" = Option<String>, Header, description = "As for a post",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = Option<models::Cancel>, description = "Needed for a reason only",
        example = json!({"reason": "the customer withdrew the order"})),
    responses(
        (status = 200, body = models::Decided, description = "The task, which takes no decision any more",
            headers(("ETag" = String, description = "Its new version")),
            example = json!(examples::cancelled())),
        (status = 409, body = models::ConflictProblem, content_type = "application/problem+json",
            description = "The task does not wait any more; or the `Idempotency-Key` came with another body"),
        (status = 412, body = models::ConflictProblem, content_type = "application/problem+json",
            description = "The task is at another version than `If-Match`"),
        problems::Authenticated, problems::NotFound, problems::WithBody,
    )
)]
pub(in crate::http) async fn cancel(
    State(http): State<Http>,
    Caller(who): Caller,
    Segment(id): Segment,
    call: Call,
) -> Result<Response, Problem> {
    let id = requests::task_id(&id)?;
    let said = requests::cancellation(&call)?;
    let idempotency = call.idempotency(&who, false)?;
    answer::decided(&sender::cancel(&http.app, &who, id, said, idempotency).await?)
}
