//! A database with a schema installed, and members to commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use task_inbox::store::commit::{
    Change, Commit, CommitError, Create, Hooks, Idempotency, LogEntry, Member, NoHooks, Operation, Reply,
    Settings, What,
};
use task_inbox::store::deliveries::Leased;
use task_inbox::store::registry::Endpoint;
use task_inbox::store::secrets::NewSecret;
use task_inbox::store::{Db, Engine, RegistryCache, schemas, secrets};
use task_inbox_domain::transition::{self, Decision, NewTask};
use task_inbox_domain::{Actor, Document, Task, Timestamp, schema};
use uuid::Uuid;

use crate::support::TestDatabase;

/// A schema whose every event is delivered.
pub(crate) const SCHEMA: &str = "
name: shop
semver: '1'
default_hook_url: https://shop.example/hook
hook_events: [task.created, task.state_changed]
tasktypes:
- name: refund
  pending_states: [asked]
  resolved_states: [paid, refused]
";

/// A database with [`SCHEMA`] and a key for its endpoint.
pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    pub(crate) db: Db,
    pub(crate) registry: RegistryCache,
    pub(crate) commit: Commit,
    /// Tasks as they were last answered.
    seen: Mutex<HashMap<Uuid, Task>>,
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros()
            as i64,
    )
}

pub(crate) fn hash(text: &str) -> [u8; 32] {
    task_inbox_domain::log::digest(b"", text.as_bytes())
}

impl Fixture {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with_hooks(engine, Arc::new(NoHooks)).await
    }

    pub(crate) async fn with_hooks(engine: Engine, hooks: Arc<dyn Hooks>) -> Self {
        let (database, db) = TestDatabase::migrated(engine).await;
        let registry = RegistryCache::load(&db).await.expect("an empty registry");
        install(&db, &registry, SCHEMA).await;
        let endpoint = registry.current().endpoint_of("shop", None).expect("it declares one").id;
        let secret = NewSecret {
            id: Uuid::now_v7(),
            endpoint_id: endpoint,
            auth_kind: "hmac",
            master_key_id: "test".to_owned(),
            ciphertext: vec![1],
            created: now(),
            replaces: None,
        };
        secrets::add(&db, secret).await.expect("kept");
        registry.refresh(&db).await.expect("read");
        let commit = start(&db, &registry, hooks).await;
        Self { database, db, registry, commit, seen: Mutex::default() }
    }

    pub(crate) fn endpoint(&self) -> Uuid {
        self.registry.current().endpoint_of("shop", None).expect("it has one").id
    }

    /// A task to post.
    pub(crate) fn post(&self, external_id: Option<&str>, content: &str) -> Member {
        let registry = self.registry.current();
        let ttype = registry.latest_type("shop", "refund").expect("installed").clone();
        let new = NewTask {
            id: Uuid::now_v7(),
            ttype_id: ttype.id,
            schema: "shop".to_owned(),
            semver: "1".to_owned(),
            state: None,
            meta: Some(
                Document::parse_object(&serde_json::json!({ "content": content }).to_string())
                    .expect("valid"),
            ),
            external_id: external_id.map(str::to_owned),
            callback_url: None,
            merge_key: None,
        };
        let (task, event) =
            transition::create(new, ttype.ttype(), &Actor::cli(), Uuid::now_v7(), now()).expect("valid");
        let create = Create {
            task,
            entry: LogEntry::new(event),
            ttype,
            content_hash: hash(content),
            asked_state: None,
            actor: Actor::cli(),
        };
        Member { registry, idempotency: None, operation: Operation::Create(Box::new(create)) }
    }

    /// A task to post that takes the place of others with this key.
    pub(crate) fn merge(&self, key: &str, external_id: Option<&str>, content: &str) -> Member {
        let mut member = self.post(external_id, content);
        if let Operation::Create(create) = &mut member.operation {
            create.task.merge_key = Some(key.to_owned());
            let event = task_inbox_domain::event::task_created(Uuid::now_v7(), &create.task, &create.actor);
            create.entry = LogEntry::new(event);
        }
        member
    }

    /// A decision to make, on the task as it was last answered.
    pub(crate) fn decide(&self, id: Uuid, state: Option<&str>, expected_version: Option<i64>) -> Member {
        let registry = self.registry.current();
        let ttype = registry.latest_type("shop", "refund").expect("installed").clone();
        let decision =
            Decision { state: state.map(str::to_owned), output: None, reason: None, expected_version };
        // Each decision is another person's, so that none counts as a repetition.
        let actor = Actor::user(Uuid::new_v4(), "somebody");
        let seen = self.seen.lock().expect("no panic").get(&id).expect("it was submitted here").clone();
        let change = Change { seen, ttype, what: What::Decided { decision, consent: None }, actor };
        Member { registry, idempotency: None, operation: Operation::Change(Box::new(change)) }
    }

    pub(crate) async fn submit(&self, member: Member) -> Result<Reply, CommitError> {
        let reply = self.commit.submit(member).await;
        self.sees(&reply);
        reply
    }

    fn sees(&self, reply: &Result<Reply, CommitError>) {
        if let Ok(reply) = reply {
            self.seen.lock().expect("no panic").insert(reply.task().id, reply.task().clone());
        }
    }

    pub(crate) async fn posted(&self) -> Uuid {
        self.submit(self.post(None, "x")).await.expect("kept").task().id
    }

    /// Submits all at once; answers in the order of submission.
    pub(crate) async fn submit_all(&self, members: Vec<Member>) -> Vec<Result<Reply, CommitError>> {
        let submitted: Vec<_> = members
            .into_iter()
            .map(|member| {
                let commit = self.commit.clone();
                tokio::spawn(async move { commit.submit(member).await })
            })
            .collect();
        let mut answers = Vec::new();
        for answer in submitted {
            let answer = answer.await.expect("no panic");
            self.sees(&answer);
            answers.push(answer);
        }
        answers
    }
}

pub(crate) async fn start(db: &Db, registry: &RegistryCache, hooks: Arc<dyn Hooks>) -> Commit {
    let settings = Settings { patience: Duration::from_secs(30), ..Settings::default() };
    Commit::start(db.clone(), registry.clone(), hooks, settings).await.expect("a thread")
}

pub(crate) async fn install(db: &Db, registry: &RegistryCache, source: &str) {
    let schema = schema::parse::parse(source).expect("valid");
    schemas::install(db, &registry.current(), &schema, source, &Actor::cli(), now()).await.expect("installs");
    registry.refresh(db).await.expect("read");
}

pub(crate) fn with_key(mut member: Member, key: &str, body: &str) -> Member {
    member.idempotency = Some(Idempotency { key_hash: hash(key), body_hash: hash(body) });
    member
}

/// Takes a place for every delivery and keeps what was leased.
#[derive(Default)]
pub(crate) struct Collector {
    pub(crate) leased: Mutex<Vec<Leased>>,
}

impl Hooks for Collector {
    fn reserve(&self, _: &Endpoint) -> bool {
        true
    }

    fn release(&self, _: Uuid) {}

    fn committed(&self, leased: Vec<Leased>, _: bool, _: bool) {
        self.leased.lock().expect("unpoisoned").extend(leased);
    }
}
