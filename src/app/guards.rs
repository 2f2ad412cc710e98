//! Asking the application server whether a transition may be made.
//!
//! A task type's `guard` says whom. It is asked once, before the commit and outside any transaction;
//! the commit then holds for the version of the task that it was asked about, or not at all. What it is
//! told and what its answer means is in [`task_inbox_domain::event::guard`].
//!
//! Nothing of a question is stored. Whoever hangs up ends theirs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use task_inbox_domain::event::guard::{self, Passed, Verdict};
use task_inbox_domain::schema::{Guard, OnError};
use task_inbox_domain::transition::{self, Consent, Decision, Refusal};
use task_inbox_domain::{Actor, Task};
use url::Url;
use uuid::Uuid;

use super::error::Result;
use super::targets::Target;
use super::{App, AppError};
use crate::measure;
use crate::store::answers;
use crate::store::commit::Idempotency;
use crate::store::registry::{InstalledType, Registry};

/// The most questions at once about tasks of one type: each holds a request for as long as the guard's
/// time-out, and one that hangs must not hold them all.
pub const AT_ONCE: usize = 64;

/// The questions under way, by schema and type. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guards(Arc<Mutex<HashMap<TypeName, usize>>>);

type TypeName = (String, String);

impl Guards {
    fn counts(&self) -> MutexGuard<'_, HashMap<TypeName, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many questions are under way about tasks of a type.
    pub fn asking(&self, schema: &str, ttype: &str) -> usize {
        self.counts().get(&(schema.to_owned(), ttype.to_owned())).copied().unwrap_or_default()
    }

    /// A place among those of a type; `None` if all are taken.
    fn place(&self, of: TypeName) -> Option<Place> {
        let mut counts = self.counts();
        let count = counts.entry(of.clone()).or_default();
        if *count >= AT_ONCE {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { guards: self.clone(), of })
    }
}

/// A question's place; it goes with the question, however that ends.
struct Place {
    guards: Guards,
    of: TypeName,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.guards.counts().entry(self.of.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Asks the guard of a transition, if it has one and nothing else speaks against it: what was decided just
/// so already, what is stale or not allowed, and what was answered before under this idempotency key, needs
/// no consent, since the commit will say so itself.
pub(super) async fn consent(
    app: &App,
    task: &Task,
    ttype: &InstalledType,
    decision: &Decision,
    actor: &Actor,
    idem: Option<&Idempotency>,
) -> Result<Option<Consent>> {
    let Some(declared) = ttype.ttype().guard_of(decision.state.as_deref()) else { return Ok(None) };
    let tried = transition::apply(task, ttype.ttype(), decision, actor, None, Uuid::nil(), App::now());
    if !matches!(tried, Err(Refusal::Unasked { .. })) {
        return Ok(None);
    }
    if let Some(key) = idem
        && answers::by_key(&app.db, &key.key_hash).await?.is_some()
    {
        return Ok(None);
    }
    let of = (task.schema.clone(), task.ttype.clone());
    let _place = app.guards.place(of).ok_or_else(|| {
        measure::guard_unasked();
        AppError::Unavailable {
            detail: format!(
                "{AT_ONCE} decisions about tasks of {} wait for the application server already; try again",
                task.ttype
            ),
        }
    })?;
    let registry = app.registry.current();
    let guard = in_force(&registry, task, declared);
    let begun = Instant::now();
    let verdict = ask(app, &registry, guard, task, decision, actor).await?;
    measure::guard(verdict.outcome(), begun.elapsed());
    let passed = match verdict {
        Verdict::Allowed => Passed::Allowed,
        Verdict::Refused(reason) => return Err(refused(app, task, reason).await?),
        Verdict::Failed { outcome, detail } => {
            let Task { id, schema, ttype, .. } = task;
            let on_error = guard.on_error.as_str();
            tracing::warn!(task = %id, schema, ttype, outcome, detail, on_error, "a guard could not be asked");
            match guard.on_error {
                OnError::Allow => Passed::Unreachable,
                OnError::Deny => return Err(not_asked(outcome)),
            }
        }
    };
    Ok(Some(Consent { version: task.version, passed }))
}

/// Whether a transition is guarded says the version that its task was posted under; whom to ask says the
/// latest, as for webhooks: an application server that moved is found by the tasks that were there before.
fn in_force<'a>(registry: &'a Registry, task: &Task, declared: &'a Guard) -> &'a Guard {
    let latest = registry.latest_type(&task.schema, &task.ttype);
    latest.and_then(|latest| latest.ttype().guard.as_ref()).unwrap_or(declared)
}

/// Asks, once.
async fn ask(
    app: &App,
    registry: &Registry,
    guard: &Guard,
    task: &Task,
    decision: &Decision,
    actor: &Actor,
) -> Result<Verdict> {
    let failed = |outcome, detail: String| Ok(Verdict::Failed { outcome, detail });
    let known = signer(app, registry, task).await?;
    let signer = match known {
        Some(signer) => Some(signer),
        // A key that another process has just made is not known here yet.
        None => signer(app, &*app.registry.refresh(&app.db).await?, task).await?,
    };
    let Some(signer) = signer else {
        return failed("no_key", "there is no webhook key to sign with".to_owned());
    };
    let url = match Url::parse(&guard.url) {
        Ok(url) => url,
        Err(error) => return failed("url", error.to_string()),
    };
    let now = App::now();
    let body = guard::question(task, decision, actor, now);
    // After the events' `evt_`: a receiver that keeps ids for deduplication sees that this is none of them.
    let id = format!("grd_{}", Uuid::now_v7());
    let headers = signer.headers(&id, now, "application/json", body.as_bytes());
    match app.client.post_within(&url, headers, Bytes::from(body), guard.timeout).await {
        Ok(answer) => Ok(guard::judge(answer.status, &answer.body, answer.truncated)),
        Err(failure) => failed(failure.kind.as_str(), failure.detail),
    }
}

/// What signs for tasks of a type: the keys of its webhooks, whether or not those go out now.
async fn signer(app: &App, registry: &Registry, task: &Task) -> Result<Option<Arc<Target>>> {
    let Some(endpoint) = registry.signer(&task.schema, &task.ttype) else { return Ok(None) };
    Ok(app.targets.signer(&app.db, &app.vault, registry, endpoint.id).await?)
}

/// With the task as it stands by now: the guard may have taken its time.
async fn refused(app: &App, task: &Task, reason: Option<String>) -> Result<AppError> {
    let current = app.reader.get(task.id).await?.unwrap_or_else(|| task.clone());
    Ok(AppError::RefusedByGuard { reason, current: app.current(current) })
}

/// For who decides, who knows neither addresses nor certificates.
fn not_asked(outcome: &str) -> AppError {
    AppError::Unavailable {
        detail: format!(
            "the application server must agree to this and could not be asked ({outcome}); nothing was changed, \
             try again in a while"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_type_and_come_back() {
        let guards = Guards::default();
        let of = |ttype: &str| ("shop".to_owned(), ttype.to_owned());
        let mut places: Vec<_> =
            (0..AT_ONCE).map(|_| guards.place(of("refund")).expect("a free place")).collect();
        assert!(guards.place(of("refund")).is_none());
        assert_eq!(guards.asking("shop", "refund"), AT_ONCE);
        let other = guards.place(of("note"));
        assert!(other.is_some(), "another type has its own");
        places.pop();
        places.push(guards.place(of("refund")).expect("one came back"));
        drop((places, other));
        assert!(guards.counts().is_empty(), "nothing is kept of a type that nobody asks about");
    }
}
