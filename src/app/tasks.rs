//! Posting, reading and deciding tasks.

use std::collections::HashMap;
use std::sync::Arc;

use task_inbox_domain::binding::Binding;
use task_inbox_domain::changes::{self, Change};
use task_inbox_domain::cursor::TaskCursor;
use task_inbox_domain::transition::{self, Decision, NewTask, Refusal};
use task_inbox_domain::{Actor, Document, Task};
use uuid::Uuid;

use super::content::{self, content_hash};
use super::error::Result;
use super::{App, AppError, Permission, Principal, guards, maintenance};
use crate::store::answers;
use crate::store::commit::{
    self, CommitError, Create, Idempotency, LogEntry, Member, Operation, Reply, What,
};
use crate::store::log::{self, Logged};
use crate::store::registry::{InstalledType, Registry};
use crate::store::task_list::{self, TaskFilter};

/// How often a request is prepared again because schemas changed under it.
const ATTEMPTS: usize = 5;

/// The most tasks of one page.
pub const MAX_LIMIT: u64 = 500;

/// What a sender posts.
#[derive(Clone, Debug, Default)]
pub struct PostTask {
    /// The schema.
    pub schema_name: String,
    /// The task type, in the schema's latest version.
    pub task: String,
    /// The state to begin in; `None` takes the type's initial state.
    pub state: Option<String>,
    /// What the sender says about it.
    pub meta: Option<Document>,
    /// The sender's own name for it, unique in the schema.
    pub external_id: Option<String>,
    /// Where its events go besides the schema's endpoints.
    pub callback_url: Option<String>,
    /// What other tasks it replaces; `None` takes it from `meta`, if the type says where it stands.
    pub merge_key: Option<String>,
}

/// Whether a post made a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It did (or did, when it was sent the first time with this idempotency key).
    New,
    /// The same content was there already, under the same `external_id`.
    Existing,
}

/// A task with its type.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// The task.
    pub task: Task,
    /// Its type, in the version that it was posted under.
    pub ttype: InstalledType,
}

impl TaskView {
    /// Where the task may go from its state.
    pub fn allowed_transitions(&self) -> Vec<Option<&str>> {
        transition::allowed(&self.task, self.ttype.ttype())
    }

    /// What a decision about it is bound to, if its type binds any.
    pub fn binding(&self) -> Option<Binding> {
        Binding::of(self.ttype.ttype(), self.task.meta.as_ref())
    }
}

/// A page of tasks.
#[derive(Clone, Debug)]
pub struct TaskList {
    /// Oldest first.
    pub tasks: Vec<TaskView>,
    /// The types of these tasks, each once.
    pub types: Vec<InstalledType>,
    /// Where the next page begins, if there may be one.
    pub next: Option<TaskCursor>,
}

/// Keeps a task that was posted.
///
/// A request that was answered before gets its answer again, even if its type has changed since and
/// would refuse it today.
pub async fn create(
    app: &App,
    who: &Principal,
    post: PostTask,
    idem: Option<Idempotency>,
) -> Result<(TaskView, Created)> {
    who.may(Permission::TasksWrite)?;
    let made = create_now(app, who, &post, idem.as_ref()).await;
    if let Err(AppError::Invalid { .. } | AppError::NotFound(_)) = &made
        && let Some(answered) = answered(app, who, &post, idem.as_ref()).await?
    {
        return Ok(answered);
    }
    made
}

/// What the same request was answered before, if it was.
async fn answered(
    app: &App,
    who: &Principal,
    post: &PostTask,
    idem: Option<&Idempotency>,
) -> Result<Option<(TaskView, Created)>> {
    if !who.sees(&post.schema_name) {
        return Ok(None);
    }
    let mut found = match idem {
        Some(key) => answers::by_key(&app.db, &key.key_hash).await?.filter(|a| a.hash == key.body_hash),
        None => None,
    };
    if let (None, Some(external_id)) = (&found, &post.external_id) {
        let hash = content_hash(post);
        found = answers::by_external_id(&app.db, &post.schema_name, external_id)
            .await?
            .filter(|a| a.hash == hash);
    }
    let Some(found) = found else { return Ok(None) };
    let created = if found.created { Created::New } else { Created::Existing };
    let mut view = view(app, found.task).await?;
    // The kept answer holds the task as it was sent, which names its type beside it.
    view.task.ttype.clone_from(&view.ttype.ttype().name);
    Ok(Some((view, created)))
}

async fn create_now(
    app: &App,
    who: &Principal,
    post: &PostTask,
    idem: Option<&Idempotency>,
) -> Result<(TaskView, Created)> {
    content::check_external_id(post.external_id.as_deref())?;
    content::check_merge_key(post.merge_key.as_deref())?;
    let content_hash = content_hash(post);
    for _ in 0..ATTEMPTS {
        let (registry, ttype) = latest_type(app, who, &post.schema_name, &post.task).await?;
        maintenance::written(&registry, &post.schema_name)?;
        if let Some(url) = &post.callback_url {
            content::check_callback(url, &ttype.version.schema, &app.policy)?;
        }
        let new = NewTask {
            id: Uuid::now_v7(),
            ttype_id: ttype.id,
            schema: post.schema_name.clone(),
            semver: ttype.version.schema.version.as_written().to_owned(),
            state: post.state.clone(),
            meta: post.meta.clone(),
            external_id: post.external_id.clone(),
            callback_url: post.callback_url.clone(),
            merge_key: post.merge_key.clone(),
        };
        let (task, event) = transition::create(new, ttype.ttype(), &who.actor, Uuid::now_v7(), App::now())
            .map_err(|problems| AppError::problems("the task does not match its type", problems))?;
        let create = Create {
            task,
            entry: LogEntry::new(event),
            ttype,
            content_hash,
            asked_state: post.state.clone(),
            actor: who.actor.clone(),
        };
        let operation = Operation::Create(Box::new(create));
        match app.commit.submit(Member { registry, idempotency: idem.cloned(), operation }).await {
            Ok(reply) => {
                let created =
                    if matches!(reply, Reply::Existing(_)) { Created::Existing } else { Created::New };
                return Ok((view(app, reply.task().clone()).await?, created));
            }
            Err(CommitError::RegistryMoved) => app.registry.refresh(&app.db).await?,
            Err(CommitError::ExternalIdTaken(task)) => {
                // Its content is for those who may read tasks.
                let current = who.may(Permission::TasksRead).is_ok().then(|| app.current(*task.clone()));
                return Err(AppError::Conflict {
                    detail: format!(
                        "the task {} of {} has this external_id, with other content",
                        task.id, task.schema
                    ),
                    current,
                });
            }
            Err(other) => return Err(other.into()),
        };
    }
    Err(AppError::registry_keeps_moving())
}

/// One task.
pub async fn get(app: &App, who: &Principal, id: Uuid) -> Result<TaskView> {
    who.may(Permission::TasksRead)?;
    visible(app, who, id).await
}

/// A page of tasks, oldest first.
pub async fn list(
    app: &App,
    who: &Principal,
    filter: TaskFilter,
    after: Option<TaskCursor>,
    limit: u64,
) -> Result<TaskList> {
    who.may(Permission::TasksRead)?;
    let limit = limit.clamp(1, MAX_LIMIT);
    let filter = TaskFilter { schemas: who.schemas.clone(), ..filter };
    let mut registry = app.registry.current();
    if filter.is_ranged() && log::head(&app.db).await?.registry != registry.number {
        registry = app.registry.refresh(&app.db).await?;
    }
    let (rows, more) = task_list::list(&app.db, &registry, &filter, after.map(|c| c.0), limit).await?;
    let next = rows.last().filter(|_| more).map(|last| TaskCursor(last.id));
    if rows.iter().any(|task| registry.type_by_id(task.ttype_id).is_none()) {
        registry = app.registry.refresh(&app.db).await?;
    }
    let mut types = HashMap::new();
    // A task without a type belongs to a schema that is being removed: it is gone already.
    let tasks: Vec<_> = rows
        .into_iter()
        .filter_map(|task| {
            let ttype = registry.type_by_id(task.ttype_id)?.clone();
            types.entry(ttype.id).or_insert_with(|| ttype.clone());
            Some(TaskView { task, ttype })
        })
        .collect();
    let mut types: Vec<_> = types.into_values().collect();
    types.sort_by_key(|t| t.id);
    Ok(TaskList { tasks, types, next })
}

/// What happened to a task, oldest first: what `line` makes of each event, which is not kept.
pub async fn history<T>(
    app: &App,
    who: &Principal,
    id: Uuid,
    line: impl FnMut(Logged) -> T,
) -> Result<Vec<T>> {
    who.may(Permission::TasksRead)?;
    visible(app, who, id).await?;
    Ok(log::history(&app.db, id, line).await?)
}

/// Moves a task. If its type declares a guard, the application server is asked first.
pub async fn transition(
    app: &App,
    who: &Principal,
    id: Uuid,
    decision: Decision,
    idem: Option<Idempotency>,
    on_behalf_of: Option<String>,
) -> Result<TaskView> {
    who.may(Permission::TasksResolve)?;
    content::check_reason(decision.reason.as_deref())?;
    content::check_on_behalf_of(on_behalf_of.as_deref())?;
    let TaskView { task, ttype } = visible(app, who, id).await?;
    decision
        .check(ttype.ttype())
        .map_err(|problems| AppError::problems("the decision does not match the task's type", problems))?;
    if !ttype.ttype().binds.is_empty() && decision.expected_version.is_none() {
        return Err(AppError::Unseen(format!(
            "a decision about {} is bound to what was seen: send the ETag of the task that was shown as If-Match",
            task.ttype
        )));
    }
    let actor = Actor { on_behalf_of, ..who.actor.clone() };
    // Nobody is asked about what is not done anyway.
    maintenance::written(&app.registry.current(), &task.schema)?;
    // Once, before anything is locked: what it says holds for the version of the task that was read above.
    let consent = guards::consent(app, &task, &ttype, &decision, &actor, idem.as_ref()).await?;
    let what = || What::Decided { decision: decision.clone(), consent };
    match change(app, &task, &ttype, &actor, idem.as_ref(), what).await? {
        Ok(task) => view(app, task).await,
        Err(refused) => Err(refused.into_error(app).await),
    }
}

/// That the state machine refused.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) current: Box<Task>,
}

impl Refused {
    /// What the caller is told: the task as it stands is part of it, and what has changed since it was read.
    pub(super) async fn into_error(self, app: &App) -> AppError {
        let (detail, current) = (self.refusal.to_string(), app.current(*self.current));
        match self.refusal {
            Refusal::Stale { expected, .. } => {
                let changes = changes_since(app, &current.task, expected).await;
                AppError::Stale { detail, current, changes }
            }
            _ => AppError::Conflict { detail, current: Some(current) },
        }
    }
}

/// What has changed of a task since an earlier version, as far as the log still tells: nothing of one that was never
/// there, or was erased.
async fn changes_since(app: &App, task: &Task, version: i64) -> Option<Vec<Change>> {
    let then = log::task_at(&app.db, task.id, version).await;
    let then = then.inspect_err(|error| tracing::debug!(%error, "what a task was can't be told")).ok()??;
    let now = serde_json::to_value(task).ok()?;
    // What tells of a change is no change itself.
    let of_interest = |change: &Change| !["/updated", "/version"].contains(&change.pointer.as_str());
    let mut changes = changes::between("", Some(&then), Some(&now));
    changes.retain(of_interest);
    Some(changes)
}

/// Changes a task that was read a moment ago.
pub(super) async fn change(
    app: &App,
    task: &Task,
    ttype: &InstalledType,
    actor: &Actor,
    idem: Option<&Idempotency>,
    what: impl Fn() -> What,
) -> Result<std::result::Result<Task, Refused>> {
    for _ in 0..ATTEMPTS {
        let registry = app.registry.current();
        maintenance::written(&registry, &task.schema)?;
        let change =
            commit::Change { seen: task.clone(), ttype: ttype.clone(), what: what(), actor: actor.clone() };
        let operation = Operation::Change(Box::new(change));
        match app.commit.submit(Member { registry, idempotency: idem.cloned(), operation }).await {
            Ok(reply) => return Ok(Ok(reply.task().clone())),
            Err(CommitError::RegistryMoved) => app.registry.refresh(&app.db).await?,
            Err(CommitError::NoSuchTask) => return Err(no_such_task(task.id)),
            Err(CommitError::Refused { refusal, current }) => return Ok(Err(Refused { refusal, current })),
            Err(other) => return Err(other.into()),
        };
    }
    Err(AppError::registry_keeps_moving())
}

/// The type that a task is posted as, with the snapshot it is from.
///
/// The snapshot may lag behind a schema that was installed a moment ago, so a miss is looked up
/// once before it is answered.
async fn latest_type(
    app: &App,
    who: &Principal,
    schema: &str,
    task: &str,
) -> Result<(Arc<Registry>, InstalledType)> {
    let mut registry = app.registry.current();
    let find = |registry: &Registry| registry.latest_type(schema, task).filter(|_| who.sees(schema)).cloned();
    if let Some(ttype) = find(&registry) {
        return Ok((registry, ttype));
    }
    if log::head(&app.db).await?.registry != registry.number {
        registry = app.registry.refresh(&app.db).await?;
        if let Some(ttype) = find(&registry) {
            return Ok((registry, ttype));
        }
    }
    Err(AppError::NotFound(content::no_such_type(&registry, who, schema, task)))
}

/// A task that the caller sees.
pub(super) async fn visible(app: &App, who: &Principal, id: Uuid) -> Result<TaskView> {
    match app.reader.get(id).await? {
        Some(task) if who.sees(&task.schema) => view(app, task).await,
        _ => Err(no_such_task(id)),
    }
}

/// Puts a task's type beside it. Versions are immutable, so a snapshot that has the type is new
/// enough.
pub(super) async fn view(app: &App, task: Task) -> Result<TaskView> {
    if let Some(ttype) = app.registry.current().type_by_id(task.ttype_id) {
        return Ok(TaskView { ttype: ttype.clone(), task });
    }
    match app.registry.refresh(&app.db).await?.type_by_id(task.ttype_id) {
        Some(ttype) => Ok(TaskView { ttype: ttype.clone(), task }),
        None => Err(no_such_task(task.id)),
    }
}

fn no_such_task(id: Uuid) -> AppError {
    AppError::NotFound(format!("there is no task {id}"))
}
