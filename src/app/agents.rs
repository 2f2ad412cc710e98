//! What software agents ask of the inbox besides what everybody does: which decisions they can ask for, why one was
//! taken, and what makes a question that is put again the same question.

use sha2::{Digest, Sha256};
use task_inbox_domain::EventType;
use uuid::Uuid;

use super::content::{self, content_hash};
use super::error::Result;
use super::{App, AppError, Permission, PostTask, Principal, tasks};
use crate::store::commit::Idempotency;
use crate::store::log::{self, Logged};
use crate::store::registry::{InstalledType, Registry};

/// The task types of the latest versions that the caller sees, by schema and then in the order of their file; of one
/// schema, or of all.
///
/// # Errors
///
/// The caller may neither post nor read tasks; there is no such schema.
pub async fn types(app: &App, who: &Principal, schema: Option<&str>) -> Result<Vec<InstalledType>> {
    if who.may(Permission::TasksWrite).is_err() {
        who.may(Permission::TasksRead)?;
    }
    let mut registry = app.registry.current();
    if log::head(&app.db).await?.registry != registry.number {
        registry = app.registry.refresh(&app.db).await?;
    }
    let Some(schema) = schema else {
        return Ok(registry.schema_names().iter().flat_map(|name| of(&registry, who, name)).collect());
    };
    match of(&registry, who, schema) {
        none if none.is_empty() => Err(AppError::NotFound(content::no_such_schema(&registry, who, schema))),
        types => Ok(types),
    }
}

fn of(registry: &Registry, who: &Principal, schema: &str) -> Vec<InstalledType> {
    let Some(latest) = registry.latest(schema).filter(|_| who.sees(schema)) else { return Vec::new() };
    let names = latest.schema.task_types.iter().map(|ttype| &ttype.name);
    names.filter_map(|name| registry.latest_type(schema, name).cloned()).collect()
}

/// Why a task stands as it does: what was said beside its last change of state, or when it was withdrawn.
///
/// # Errors
///
/// The caller may not read tasks, or not this one.
pub async fn reason(app: &App, who: &Principal, id: Uuid) -> Result<Option<String>> {
    #[derive(serde::Deserialize)]
    struct Said {
        reason: Option<String>,
    }
    let said = |logged: Logged| {
        let is_beside_it = matches!(
            logged.event.kind,
            EventType::TaskAssigned
                | EventType::TaskCommented
                | EventType::TaskDue
                | EventType::TaskEscalated
                | EventType::TaskAmended
        );
        // What was erased says nothing.
        (!is_beside_it)
            .then(|| serde_json::from_str::<Said>(&logged.event.body).ok().and_then(|said| said.reason))
    };
    Ok(tasks::history(app, who, id, said).await?.into_iter().flatten().last().flatten())
}

/// What makes a question that is put again with the same key the same question: by its meaning, not by its text.
pub fn idempotency(who: &Principal, key: &str, post: &PostTask) -> Idempotency {
    // Neither a pseudonym nor this name holds a line feed, so the parts can't run together. No request of the API
    // is called so.
    let mut scope = Sha256::new();
    for part in [who.actor.pseudonym().as_str(), "mcp request_decision", key] {
        scope.update(part);
        scope.update("\n");
    }
    let mut content = Sha256::new();
    content.update(content_hash(post));
    content.update(post.external_id.as_deref().unwrap_or_default());
    Idempotency { key_hash: scope.finalize().into(), body_hash: content.finalize().into() }
}
