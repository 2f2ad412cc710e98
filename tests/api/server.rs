//! The server under test, and a client of it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use task_inbox::app::guards::Guards;
use task_inbox::app::keys::{self, NewKey};
use task_inbox::app::{App, KeyCache, Permission, Principal, Vault, schemas};
use task_inbox::bus::Bus;
use task_inbox::http;
use task_inbox::outbound::{self, Client, Limits, Policy, Resolve, Resolving};
use task_inbox::realtime::Tail;
use task_inbox::store::commit::{Commit, NoHooks, Settings};
use task_inbox::store::{Engine, RegistryCache, TaskReader};
use task_inbox::timers;
use task_inbox_domain::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::contract;
use crate::support::TestDatabase;

/// The original's schema.
pub(crate) const SAMPLE: &str = include_str!("../../schemas/sample.yml");

/// One with everything that the API shows of a type.
pub(crate) const SHOP: &str = "
name: shop
semver: '1.2'
description: What a shop asks
tasktypes:
- name: refund
  title: Refund
  description: Money goes back
  pending_states: [asked, checked]
  resolved_states: [paid, refused]
  initial_state: asked
  transitions:
    asked: [checked, paid, refused]
    checked: [paid, refused, unset]
    unset: [asked]
    paid: []
    refused: [asked]
  reason_required: [refused]
  input:
    type: object
    required: [order]
    properties:
      order: {type: string, pattern: '^[0-9]+$'}
      amount: {type: number, minimum: 0}
  output:
    paid:
      type: object
      required: [amount]
      properties:
        amount: {type: number}
- name: note
  resolved_states: [seen]
";

/// The names that there are: one that is public, one that is private, one whose server is silent.
struct Names;

impl Resolve for Names {
    fn resolve(&self, host: &str) -> Resolving {
        let address = match host {
            "private.example" => Some("10.0.0.1"),
            "silent.example" => None,
            host if host.ends_with(".example") => Some("8.8.8.8"),
            _ => return Box::pin(async { Err(std::io::Error::other("there is no such name")) }),
        };
        Box::pin(async move {
            match address {
                Some(address) => Ok(vec![address.parse().expect("an address")]),
                None => std::future::pending().await,
            }
        })
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) app: App,
    address: String,
    client: reqwest::Client,
    key: String,
    database: TestDatabase,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
    _stops: DropGuard,
}

impl Server {
    /// A server on a new database that holds nothing, not even a key.
    pub(crate) async fn empty(engine: Engine) -> Self {
        Self::impatient(engine, http::Settings::default().timeout).await
    }

    /// The same, which gives up after this time.
    pub(crate) async fn impatient(engine: Engine, timeout: Duration) -> Self {
        Self::with(engine, http::Settings { timeout, ..http::Settings::default() }).await
    }

    /// A server with both schemas and other settings.
    pub(crate) async fn start_with(engine: Engine, settings: http::Settings) -> Self {
        Self::with_schemas(Self::with(engine, settings).await).await
    }

    /// A server on a new database that holds nothing, with other settings.
    pub(crate) async fn with(engine: Engine, settings: http::Settings) -> Self {
        let (database, db) = TestDatabase::migrated(engine).await;
        db.close().await.expect("closes");
        Self::on(database, String::new(), settings, Policy::new([])).await
    }

    /// A server with nothing installed that may reach loopback, and a key that may do everything.
    pub(crate) async fn beside_an_application(engine: Engine) -> Self {
        let (database, db) = TestDatabase::migrated(engine).await;
        db.close().await.expect("closes");
        let server = Self::on(database, String::new(), http::Settings::default(), Policy::dev()).await;
        let key = server.key(None, &Permission::ALL).await;
        Self { key, ..server }
    }

    /// A server on a new database with both schemas, and a key that may do everything.
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::with_schemas(Self::empty(engine).await).await
    }

    /// The same, which may reach loopback.
    pub(crate) async fn open_to_loopback(engine: Engine) -> Self {
        Self::with_schemas(Self::beside_an_application(engine).await).await
    }

    async fn with_schemas(server: Self) -> Self {
        for source in [SAMPLE, SHOP] {
            schemas::install(&server.app, &Principal::cli(), source, false, false).await.expect("installs");
        }
        let key = server.key(None, &Permission::ALL).await;
        Self { key, ..server }
    }

    async fn on(database: TestDatabase, key: String, settings: http::Settings, policy: Policy) -> Self {
        outbound::install_crypto_provider();
        let db = database.connect().await;
        let registry = RegistryCache::load(&db).await.expect("a registry");
        let commit = Commit::start(db.clone(), registry.clone(), Arc::new(NoHooks), Settings::default())
            .await
            .expect("a thread");
        let limits = Limits { deadline: Duration::from_secs(5), ..Limits::default() };
        let stop = CancellationToken::new();
        let bus = Bus::memory();
        let app = App {
            tail: Tail::start(&db, &bus, stop.clone(), &stop),
            reader: TaskReader::start(&db),
            keys: KeyCache::load(&db).await.expect("keys"),
            vault: Vault::parse("dGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtMTI=").expect("a master key"),
            bus,
            client: Client::with_resolver(policy.clone(), limits, "task-inbox/test", Arc::new(Names))
                .expect("a client"),
            policy,
            targets: Arc::default(),
            guards: Guards::default(),
            db,
            commit,
            registry,
        };
        tokio::spawn(timers::run(app.clone(), stop.clone()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let trusted_proxies = vec!["127.0.0.1/32".parse().expect("a net")];
        let settings = http::Settings { trusted_proxies, ..settings };
        let router = http::router(app.clone(), settings);
        let serving = tokio::spawn(http::serve(listener, router, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { app, address, client, key, database, serving, _stops: stop.clone().drop_guard(), stop }
    }

    /// Begins to stop, as after a signal.
    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    /// Takes the database away from under the server.
    pub(crate) async fn lose_database(&self) {
        self.database.take_away(&self.app.db).await;
    }

    /// Stops this server and starts another on the same database.
    pub(crate) async fn restart(self) -> Self {
        let Self { app, key, database, serving, stop, client, .. } = self;
        drop(client);
        stop.cancel();
        serving.await.expect("it ends").expect("without an error");
        app.commit.close().await;
        app.db.close().await.expect("closes");
        Self::on(database, key, http::Settings::default(), Policy::new([])).await
    }

    /// A key for these schemas (`None`: all) with these permissions.
    pub(crate) async fn key(&self, schemas: Option<&[&str]>, permissions: &[Permission]) -> String {
        let schemas = schemas.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        self.new_key(NewKey { schemas, permissions: Some(permissions.to_vec()), ..NewKey::default() })
            .await
            .key
    }

    /// A key.
    pub(crate) async fn new_key(&self, new: NewKey) -> keys::CreatedKey {
        let new = NewKey { name: "test".to_owned(), ..new };
        let created = keys::create(&self.app, &Principal::cli(), new).await.expect("a key");
        self.app.keys.refresh(&self.app.db).await.expect("read");
        created
    }

    /// Changes the database behind the server's back.
    pub(crate) async fn sql(&self, statement: &str) {
        let connection = sea_orm::Database::connect(&self.database.url).await.expect("connects");
        connection.execute_unprepared(statement).await.expect("runs");
        connection.close().await.expect("closes");
    }

    /// What a SELECT of one text finds in the database.
    pub(crate) async fn rows(&self, select: &str) -> Vec<String> {
        let connection = sea_orm::Database::connect(&self.database.url).await.expect("connects");
        let statement = sea_orm::Statement::from_string(connection.get_database_backend(), select);
        let rows = connection.query_all_raw(statement).await.expect("runs");
        connection.close().await.expect("closes");
        rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
    }

    /// Where it listens: `http://127.0.0.1:{port}`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A request without any header.
    pub(crate) fn bare(&self, method: Method, path: &str) -> Request {
        let builder = self.client.request(method.clone(), format!("{}{path}", self.address));
        Request { builder, method, path: path.to_owned() }
    }

    /// A request with the key that may do everything.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        self.bare(method, path).header("api-key", &self.key)
    }

    /// Reads a path.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    /// Posts a body as a task.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.request(Method::POST, "/api/v1/tasks").json(body).send().await
    }

    /// Posts a task of the original's schema and returns it.
    pub(crate) async fn flag(&self, meta: Value) -> Value {
        let body = json!({"schema_name": "ti:sample", "task": "flag-content", "meta": meta});
        self.post(&body).await.ok(201)["task"].clone()
    }

    /// Posts a refund and returns it.
    pub(crate) async fn refund(&self) -> Value {
        let body = json!({"schema_name": "shop", "task": "refund", "meta": {"order": "17"}});
        self.post(&body).await.ok(201)["task"].clone()
    }

    /// A decision, ready to be sent.
    pub(crate) fn decide(&self, task: &Value, state: &str) -> Request {
        let id = task["id"].as_str().expect("a task");
        self.request(Method::PATCH, &format!("/api/v1/tasks/{id}/state?state={state}"))
    }

    /// A decision with a body, ready to be sent.
    pub(crate) fn decide_with(&self, task: &Value, body: &Value) -> Request {
        let id = task["id"].as_str().expect("a task");
        self.request(Method::PATCH, &format!("/api/v1/tasks/{id}/state")).json(body)
    }
}

/// A request under construction.
pub(crate) struct Request {
    builder: reqwest::RequestBuilder,
    method: Method,
    path: String,
}

impl Request {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { builder: self.builder.header(name, value), ..self }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text("application/json", body.to_string())
    }

    pub(crate) fn text(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self { builder: self.builder.header("content-type", content_type).body(body), ..self }
    }

    /// A body without a type.
    pub(crate) fn untyped(self, body: impl Into<reqwest::Body>) -> Self {
        Self { builder: self.builder.body(body), ..self }
    }

    /// Sends it; its answer's body is still to come.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.builder.send().await.expect("an answer")
    }

    /// Sends it; checks the answer against the contract.
    pub(crate) async fn send(self) -> Answer {
        let response = self.builder.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body");
        let answer = Answer { status, headers, bytes: bytes.to_vec() };
        contract::check(&self.method, &self.path, &answer);
        answer
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// A header's text; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The body, if the status is this.
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        if self.bytes.is_empty() { Value::Null } else { self.body() }
    }

    /// The problem document, if it is one of this status.
    pub(crate) fn problem(&self, status: u16) -> Value {
        let body = self.ok(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["status"], status);
        assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{body}");
        body
    }

    /// The pointers of a 422.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let body = self.problem(422);
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {body}"));
        errors.iter().map(|e| e["pointer"].as_str().expect("a pointer").to_owned()).collect()
    }
}

/// The names or ids that a list of objects holds under a key.
pub(crate) fn column<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().expect("a list").iter().map(|item| item[key].as_str().expect("text")).collect()
}

/// The time of an answer, which must be RFC 3339 with microseconds.
pub(crate) fn time(value: &Value) -> Timestamp {
    let text = value.as_str().expect("a time");
    let time = Timestamp::parse(text).expect("RFC 3339");
    assert_eq!(time.to_string(), text);
    time
}
