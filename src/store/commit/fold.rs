//! Deciding what a batch writes, in memory, between reading and writing.
//!
//! Members are taken in the order in which they arrived, each on what the ones before it left:
//! two decisions about one task see each other, a second post with the same key gets the first
//! one's answer. Everything they depend on has been locked and read before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use task_inbox_domain::log::Hash;
use task_inbox_domain::transition::{self, Outcome, Refusal, sender, waiting};
use task_inbox_domain::{Actor, Phase, Task, Timestamp, event};
use uuid::Uuid;

use super::Hooks;
use super::member::{Change, CommitError, Create, Idempotency, LogEntry, Member, Operation, Reply, What};
use super::merge::{Holder, MergeKey, merge_key};
use crate::store::registry::{Heard, InstalledType, Registry};

/// The sender's own name for a task: schema and external id.
pub(super) type ExternalId = (String, String);

/// What a batch must lock, each kind in the order of locking.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Idempotency keys, with the member that brings each first.
    pub(super) idempotency: BTreeMap<Hash, usize>,
    /// External ids, likewise.
    pub(super) external: BTreeMap<ExternalId, usize>,
    /// Merge keys of tasks that are posted, or may be opened again, likewise.
    pub(super) merges: BTreeMap<MergeKey, usize>,
    /// Tasks that are changed.
    pub(super) tasks: BTreeSet<Uuid>,
}

impl Plan {
    pub(super) fn of(members: &[&Member]) -> Self {
        let mut plan = Self::default();
        for (i, member) in members.iter().enumerate() {
            if let Some(key) = &member.idempotency {
                plan.idempotency.entry(key.key_hash).or_insert(i);
            }
            match &member.operation {
                Operation::Create(create) => {
                    if let Some(id) = external_id(&create.task) {
                        plan.external.entry(id).or_insert(i);
                    }
                    if let Some(key) = merge_key(&create.task) {
                        plan.merges.entry(key).or_insert(i);
                    }
                }
                Operation::Change(change) => {
                    if let Some(key) = merge_key(&change.seen).filter(|_| change.may_open()) {
                        plan.merges.entry(key).or_insert(i);
                    }
                    plan.tasks.insert(change.seen.id);
                }
            }
        }
        plan
    }

    /// Whether some member is known again by a key or a name, whose row must be made or found first.
    pub(super) fn has_keys(&self) -> bool {
        !self.idempotency.is_empty() || !self.external.is_empty() || !self.merges.is_empty()
    }
}

pub(super) fn external_id(task: &Task) -> Option<ExternalId> {
    task.external_id.clone().map(|id| (task.schema.clone(), id))
}

/// What was found under the locks.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Answers kept under idempotency keys: the body's hash and the answer.
    pub(super) answers: HashMap<Hash, (Hash, Reply)>,
    /// Idempotency keys whose rows this batch made.
    pub(super) made: BTreeSet<Hash>,
    /// Tasks that bear external ids: the content's hash and the task's id.
    pub(super) external: HashMap<ExternalId, (Hash, Uuid)>,
    /// Whose place a post with a merge key takes.
    pub(super) holders: HashMap<MergeKey, Holder>,
    /// Tasks by id: those that are changed or whose place is taken, locked, and those that bear external ids.
    pub(super) tasks: HashMap<Uuid, Task>,
}

impl Loaded {
    /// What the members themselves have seen, before any lock: of each task the newest.
    pub(super) fn seen_by(members: &[&Member]) -> Self {
        let mut loaded = Self::default();
        for member in members {
            let Operation::Change(change) = &member.operation else { continue };
            let newest = loaded.tasks.entry(change.seen.id).or_insert_with(|| change.seen.clone());
            if newest.version < change.seen.version {
                newest.clone_from(&change.seen);
            }
        }
        loaded
    }

    /// The versions of its tasks.
    pub(super) fn versions(&self) -> HashMap<Uuid, i64> {
        self.tasks.iter().map(|(id, task)| (*id, task.version)).collect()
    }
}

/// A delivery to insert.
#[derive(Debug)]
pub(super) struct NewDelivery {
    pub(super) id: Uuid,
    pub(super) endpoint: Uuid,
    /// Index into [`Folded::entries`].
    pub(super) entry: usize,
    /// Set if this process has a free place to send it at once.
    pub(super) lease_token: Option<Uuid>,
}

/// What a batch writes and answers.
#[derive(Default)]
pub(super) struct Folded {
    /// One for each member, in order.
    pub(super) outcomes: Vec<Result<Reply, CommitError>>,
    pub(super) created: Vec<Task>,
    pub(super) changed: BTreeMap<Uuid, Task>,
    /// Those of them whose `meta` is another now.
    pub(super) amended: HashSet<Uuid>,
    pub(super) entries: Vec<LogEntry>,
    pub(super) deliveries: Vec<NewDelivery>,
    /// Answers to keep under idempotency keys whose rows the batch made.
    pub(super) answers: BTreeMap<Hash, (Hash, Reply)>,
    /// Idempotency keys whose rows the batch made for members that were refused.
    pub(super) unanswered: Vec<Hash>,
    /// External ids that the batch bound to tasks.
    pub(super) bound: HashMap<ExternalId, Uuid>,
    /// Who is the newest of each merge key now.
    pub(super) holders: HashMap<MergeKey, Holder>,
}

impl Folded {
    /// Whether anything is written but locks.
    pub(super) fn writes(&self) -> bool {
        !self.entries.is_empty() || !self.answers.is_empty()
    }
}

/// Runs every member on what was found and on what the members before it left.
pub(super) fn fold(
    members: &[&Member],
    loaded: Loaded,
    registry: &Registry,
    hooks: &dyn Hooks,
    now: Timestamp,
) -> Folded {
    let mut state = State { loaded, registry, hooks, now, sent: HashSet::new(), folded: Folded::default() };
    for member in members {
        let outcome = state.member(member);
        state.folded.outcomes.push(outcome);
    }
    let State { loaded, mut folded, .. } = state;
    folded.holders = loaded.holders;
    folded.unanswered = loaded.made.into_iter().filter(|key| !folded.answers.contains_key(key)).collect();
    folded
}

struct State<'a> {
    loaded: Loaded,
    registry: &'a Registry,
    hooks: &'a dyn Hooks,
    now: Timestamp,
    /// Task and endpoint of deliveries in this batch: only the first may be leased at birth, the
    /// others wait for it.
    sent: HashSet<(Option<Uuid>, Uuid)>,
    folded: Folded,
}

impl State<'_> {
    fn member(&mut self, member: &Member) -> Result<Reply, CommitError> {
        if let Some(answer) = member.idempotency.as_ref().and_then(|key| self.answered(key)) {
            return answer;
        }
        let reply = match &member.operation {
            Operation::Create(create) => self.create(create),
            Operation::Change(change) => self.change(change),
        }?;
        if let Some(key) = &member.idempotency {
            self.folded.answers.insert(key.key_hash, (key.body_hash, reply.clone()));
        }
        Ok(reply)
    }

    fn answered(&self, key: &Idempotency) -> Option<Result<Reply, CommitError>> {
        let (body_hash, reply) =
            self.loaded.answers.get(&key.key_hash).or_else(|| self.folded.answers.get(&key.key_hash))?;
        Some(if *body_hash == key.body_hash {
            Ok(reply.clone())
        } else {
            Err(CommitError::IdempotencyMismatch)
        })
    }

    fn create(&mut self, create: &Create) -> Result<Reply, CommitError> {
        if let Some((content, task)) = external_id(&create.task).and_then(|id| self.loaded.external.get(&id))
        {
            let task = self.loaded.tasks.get(task).ok_or(CommitError::NoSuchTask)?.clone();
            return if *content == create.content_hash {
                Ok(Reply::Existing(task))
            } else {
                Err(CommitError::ExternalIdTaken(Box::new(task)))
            };
        }
        let key = merge_key(&create.task);
        let pending = key.as_ref().and_then(|key| self.pending(key));
        let (task, entry) = match &pending {
            Some((pending, _)) if create.repeats(pending) => return Ok(Reply::Existing(pending.clone())),
            Some((pending, _)) => {
                let task = Task { supersedes: Some(pending.id), ..create.task.clone() };
                let event = event::task_created(create.entry.event.id, &task, &create.actor);
                (task, LogEntry::new(event))
            }
            None => (create.task.clone(), create.entry.clone()),
        };
        if let Some(id) = external_id(&task) {
            self.loaded.external.insert(id.clone(), (create.content_hash, task.id));
            self.loaded.tasks.insert(task.id, task.clone());
            self.folded.bound.insert(id, task.id);
        }
        if let Some(holder) = key.and_then(|key| self.loaded.holders.get_mut(&key)) {
            holder.task = Some(task.id);
            self.loaded.tasks.insert(task.id, task.clone());
        }
        self.folded.created.push(task.clone());
        self.record(entry, &task, &create.ttype);
        if let Some((pending, ttype)) = pending {
            self.supersede(&pending, &ttype, &task, &create.actor);
        }
        Ok(Reply::Created(task))
    }

    /// The task that waits under a merge key, with its type.
    fn pending(&self, key: &MergeKey) -> Option<(Task, InstalledType)> {
        let holder = self.loaded.holders.get(key)?.task?;
        let task = self.loaded.tasks.get(&holder).filter(|task| task.phase == Phase::Open)?;
        Some((task.clone(), self.registry.type_by_id(task.ttype_id)?.clone()))
    }

    /// Lets a task take the place of one that waits.
    fn supersede(&mut self, pending: &Task, ttype: &InstalledType, by: &Task, actor: &Actor) {
        let outcome = waiting::supersede(pending, by.id, actor, Uuid::now_v7(), self.now);
        let Outcome::Changed { task, event } = outcome else { return };
        self.loaded.tasks.insert(task.id, (*task).clone());
        // One that this batch keeps is kept as it is at its end.
        match self.folded.created.iter_mut().find(|created| created.id == task.id) {
            Some(created) => created.clone_from(&task),
            None => drop(self.folded.changed.insert(task.id, (*task).clone())),
        }
        self.record(LogEntry::new(event), &task, ttype);
    }

    /// The newer task with a task's merge key, if there is one.
    fn replaced_by(&self, task: &Task) -> Option<Uuid> {
        self.loaded.holders.get(&merge_key(task)?)?.task.filter(|newest| *newest != task.id)
    }

    fn change(&mut self, change: &Change) -> Result<Reply, CommitError> {
        let task = self.loaded.tasks.get(&change.seen.id).ok_or(CommitError::NoSuchTask)?;
        let Change { ttype, actor, .. } = change;
        let (event, now) = (Uuid::now_v7(), self.now);
        let outcome = match &change.what {
            What::Decided { decision, consent } => {
                transition::apply(task, ttype.ttype(), decision, actor, *consent, event, now)
            }
            What::Cancelled(cancellation) => sender::cancel(task, cancellation, actor, event, now),
            What::Amended(amendment) => sender::amend(task, ttype.ttype(), amendment, actor, event, now),
            What::TimedOut(at) => waiting::time_out(task, ttype.ttype(), *at, event, now),
        };
        match outcome {
            Ok(Outcome::Unchanged) => Ok(Reply::Changed(task.clone())),
            Ok(Outcome::Changed { task: after, .. })
                if task.phase != Phase::Open
                    && after.phase == Phase::Open
                    && let Some(by) = self.replaced_by(task) =>
            {
                let refusal = Refusal::Replaced(by);
                Err(CommitError::Refused { refusal, current: Box::new(task.clone()) })
            }
            Ok(Outcome::Changed { task, event }) => {
                self.loaded.tasks.insert(task.id, (*task).clone());
                self.folded.changed.insert(task.id, (*task).clone());
                if matches!(change.what, What::Amended(_)) {
                    self.folded.amended.insert(task.id);
                }
                self.record(LogEntry::new(event), &task, ttype);
                Ok(Reply::Changed(*task))
            }
            Err(refusal) => Err(CommitError::Refused { refusal, current: Box::new(task.clone()) }),
        }
    }

    /// Appends an event of a task, as the task is after it, and addresses it.
    fn record(&mut self, entry: LogEntry, task: &Task, ttype: &InstalledType) {
        let index = self.folded.entries.len();
        let held = self.registry.holds_deliveries(&entry.event.schema);
        for endpoint in self.registry.routes(&Heard::of_task(entry.event.kind, task, ttype)) {
            let first = self.sent.insert((entry.event.task_id, endpoint.id));
            let lease = first && !held && endpoint.is_sendable() && self.hooks.reserve(endpoint);
            self.folded.deliveries.push(NewDelivery {
                id: Uuid::now_v7(),
                endpoint: endpoint.id,
                entry: index,
                lease_token: lease.then(Uuid::new_v4),
            });
        }
        self.folded.entries.push(entry);
    }
}
