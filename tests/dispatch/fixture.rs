//! A process with a dispatcher, on a fresh database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use task_inbox::app::guards::Guards;
use task_inbox::app::webhook_keys::{CreatedWebhookKey, NewWebhookKey};
use task_inbox::app::{App, KeyCache, PostTask, Principal, Vault, schemas, tasks, vault, webhook_keys};
use task_inbox::bus::{Bus, Kind, Topic};
use task_inbox::dispatch::{Dispatcher, Parts, Settings};
use task_inbox::outbound::{Client, Limits, Policy};
use task_inbox::realtime::Tail;
use task_inbox::store::commit::{self, Commit};
use task_inbox::store::{Db, Engine, RegistryCache, TaskReader};
use task_inbox_domain::transition::Decision;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::TestDatabase;

pub(crate) const SETTINGS: Settings = Settings {
    deadline: Duration::from_millis(500),
    lease_margin: Duration::from_millis(1500),
    concurrency: 16,
    per_endpoint: 4,
    line: 4,
    bytes: 1 << 20,
};

/// A process.
pub(crate) struct Process {
    pub(crate) app: App,
    pub(crate) dispatcher: Dispatcher,
    stop: CancellationToken,
}

/// A database with a process on it.
pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    vault: Vault,
    sql: DatabaseConnection,
    pub(crate) process: Process,
}

fn policy() -> Policy {
    Policy::new(["127.0.0.0/8".parse::<IpNet>().expect("a network")])
}

async fn start(db: Db, vault: Vault, policy: Policy) -> Process {
    let stop = CancellationToken::new();
    let bus = Bus::start(&Kind::Database, &db, &stop);
    let registry = RegistryCache::load(&db).await.expect("read");
    let keys = KeyCache::load(&db).await.expect("read");
    let tail = Tail::start(&db, &bus, stop.clone(), &stop);
    let limits = Limits { deadline: SETTINGS.deadline, ..Limits::default() };
    let client = Client::new(policy.clone(), limits, "task-inbox/test").expect("a client");
    let parts = Parts {
        db: db.clone(),
        registry: registry.clone(),
        vault: vault.clone(),
        client: client.clone(),
        targets: Arc::default(),
        bus: bus.clone(),
        hub: tail.hub().clone(),
    };
    let dispatcher = Dispatcher::start(parts, SETTINGS);
    let settings = commit::Settings { lease: SETTINGS.lease(), ..commit::Settings::default() };
    let commit = Commit::start(db.clone(), registry.clone(), Arc::new(dispatcher.clone()), settings)
        .await
        .expect("a thread");
    let app = App {
        tail,
        reader: TaskReader::start(&db),
        db,
        commit,
        registry,
        keys,
        vault,
        bus,
        policy,
        client,
        targets: Arc::default(),
        guards: Guards::default(),
    };
    Process { app, dispatcher, stop }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Process {
    /// Stops in order, without waiting for attempts that hang.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.app.commit.close().await;
        self.dispatcher.drain(Instant::now() + patience).await;
    }
}

impl Fixture {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with_policy(engine, policy()).await
    }

    pub(crate) async fn with_policy(engine: Engine, policy: Policy) -> Self {
        let (database, db) = TestDatabase::migrated(engine).await;
        let vault = Vault::parse(&vault::generate()).expect("a key");
        let process = start(db, vault.clone(), policy).await;
        let sql = Database::connect(&database.url).await.expect("connects");
        Self { database, vault, sql, process }
    }

    /// Another process on the same database.
    pub(crate) async fn another(&self) -> Process {
        start(self.database.connect().await, self.vault.clone(), policy()).await
    }

    pub(crate) fn app(&self) -> &App {
        &self.process.app
    }

    /// Installs a schema whose webhooks go to `url`, signed; without a key.
    pub(crate) async fn install(&self, name: &str, url: &str, more: &str) {
        let source = format!(
            "name: {name}\nsemver: 1\ndefault_hook_url: {url}\n{more}\ntasktypes:\n\
             - name: t\n  pending_states: [p, q]\n  resolved_states: [done]\n"
        );
        schemas::install(self.app(), &Principal::cli(), &source, false, false).await.expect("installs");
    }

    /// Makes the schema's key, and lets the dispatcher know as the watcher of a server does.
    pub(crate) async fn key(&self, schema: &str) -> String {
        let new = NewWebhookKey { schema: schema.to_owned(), ..NewWebhookKey::default() };
        let made = webhook_keys::create(self.app(), &Principal::cli(), new).await;
        self.app().registry.refresh(&self.app().db).await.expect("read");
        self.app().bus.wake(Topic::Due);
        made.expect("a key").key
    }

    /// Rotates the schema's key; the former goes on for a while.
    pub(crate) async fn rotate(&self, schema: &str, overlap: Duration) -> CreatedWebhookKey {
        let (schema, rotate, overlap) = (schema.to_owned(), true, Some(overlap));
        let new = NewWebhookKey { schema, rotate, overlap, ..NewWebhookKey::default() };
        webhook_keys::create(self.app(), &Principal::cli(), new).await.expect("a key")
    }

    pub(crate) async fn post(&self, schema: &str) -> Uuid {
        let post = PostTask { schema_name: schema.to_owned(), task: "t".to_owned(), ..PostTask::default() };
        tasks::create(self.app(), &Principal::cli(), post, None).await.expect("posted").0.task.id
    }

    pub(crate) async fn decide(&self, id: Uuid, state: Option<&str>) {
        let decision =
            Decision { state: state.map(str::to_owned), output: None, reason: None, expected_version: None };
        tasks::transition(self.app(), &Principal::cli(), id, decision, None, None).await.expect("decided");
    }

    /// One number out of the database.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.sql.get_database_backend(), sql);
        let row = self.sql.query_one_raw(statement).await.expect("runs").expect("a row");
        row.try_get_by_index(0).expect("a number")
    }

    /// Waits until the database says so: what a settlement that is under way will write.
    pub(crate) async fn until(&self, sql: &str, expected: i64) {
        let begun = Instant::now();
        loop {
            let found = self.count(sql).await;
            if found == expected {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{sql}: {found}, not {expected}");
            // The database has no event to wait for.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Changes something behind the service's back.
    pub(crate) async fn execute(&self, sql: &str) {
        self.sql.execute_unprepared(sql).await.expect("runs");
    }

    /// Makes every delivery that waits for its next attempt due now.
    pub(crate) async fn hurry(&self) {
        self.execute("UPDATE deliveries SET due_at = 0 WHERE lease_token IS NULL").await;
        self.app().bus.wake(Topic::Due);
    }
}
