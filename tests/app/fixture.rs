//! Two processes on one database.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, Database};
use task_inbox::app::guards::Guards;
use task_inbox::app::{App, AppError, KeyCache, Permission, PostTask, Principal, Vault, schemas};
use task_inbox::bus::Bus;
use task_inbox::outbound::{Client, Limits, Policy};
use task_inbox::realtime::Tail;
use task_inbox::store::commit::{Commit, NoHooks, Settings};
use task_inbox::store::{Engine, RegistryCache, TaskReader};
use task_inbox_domain::{Actor, Document};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::TestDatabase;

/// A schema that leaves little out.
pub(crate) const SHOP: &str = "
name: shop
semver: '1'
default_hook_url: http://10.0.0.1/hook
tasktypes:
- name: refund
  pending_states: [asked]
  resolved_states: [paid, refused]
  reason_required: [refused]
  input: {type: object, required: [order], properties: {order: {type: string}}}
- name: note
  resolved_states: [seen]
  hook_url: https://notes.example/hook
  hook_auth: {kind: head, val: x-key}
";

/// A database with one process on it.
pub(crate) struct Fixture {
    pub(crate) app: App,
    database: TestDatabase,
}

impl Fixture {
    /// An empty, migrated database.
    pub(crate) async fn empty(engine: Engine) -> Self {
        let (database, db) = TestDatabase::migrated(engine).await;
        db.close().await.expect("closes");
        let app = process(&database).await;
        Self { app, database }
    }

    /// One with [`SHOP`] installed.
    pub(crate) async fn new(engine: Engine) -> Self {
        let fixture = Self::empty(engine).await;
        schemas::install(&fixture.app, &Principal::cli(), SHOP, false, false).await.expect("installed");
        fixture
    }

    /// Another process on the same database.
    pub(crate) async fn another(&self) -> App {
        process(&self.database).await
    }

    /// Changes the database behind everybody's back.
    pub(crate) async fn sql(&self, statement: &str) {
        let connection = Database::connect(&self.database.url).await.expect("the test database answers");
        connection.execute_unprepared(statement).await.expect("it is done");
        connection.close().await.expect("closes");
    }
}

async fn process(database: &TestDatabase) -> App {
    let db = database.connect().await;
    let registry = RegistryCache::load(&db).await.expect("a registry");
    let (bus, never) = (Bus::memory(), CancellationToken::new());
    App {
        tail: Tail::start(&db, &bus, never.clone(), &never),
        reader: TaskReader::start(&db),
        commit: Commit::start(db.clone(), registry.clone(), Arc::new(NoHooks), Settings::default())
            .await
            .expect("a thread"),
        keys: KeyCache::load(&db).await.expect("keys"),
        vault: Vault::parse("dGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtMTI=").expect("a master key"),
        bus,
        policy: Policy::new([]),
        client: Client::new(Policy::new([]), Limits::default(), "task-inbox/test").expect("a client"),
        targets: Arc::default(),
        guards: Guards::default(),
        db,
        registry,
    }
}

/// A caller with these permissions and schemas.
pub(crate) fn caller(permissions: &[Permission], schemas: Option<&[&str]>) -> Principal {
    Principal {
        actor: Actor::key(Uuid::from_u128(7), "ci"),
        schemas: schemas.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
        permissions: permissions.to_vec(),
        key_id: Some(Uuid::from_u128(7)),
        expires: None,
        rate: None,
    }
}

/// A refund to post.
pub(crate) fn refund(meta: &str, external_id: Option<&str>) -> PostTask {
    PostTask {
        schema_name: "shop".to_owned(),
        task: "refund".to_owned(),
        meta: Some(Document::parse_object(meta).expect("an object")),
        external_id: external_id.map(str::to_owned),
        ..PostTask::default()
    }
}

/// What a refusal says, if it is of this kind.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, AppError>, kind: &str) -> String {
    let error = result.expect_err("refused");
    let shown = format!("{error:?}");
    assert!(shown.starts_with(kind), "not {kind}: {shown}");
    error.to_string()
}
