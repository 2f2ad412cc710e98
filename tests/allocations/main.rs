//! How often a post allocates, from its HTTP request to its answer: counted, so that it can't grow
//! unseen. Sockets are not part of it.

#[path = "../support/mod.rs"]
mod support;

use std::alloc::System;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use task_inbox::app::guards::Guards;
use task_inbox::app::{App, KeyCache, Principal, Vault, keys, schemas};
use task_inbox::bus::Bus;
use task_inbox::http;
use task_inbox::outbound::{Client, Limits, Policy};
use task_inbox::realtime::Tail;
use task_inbox::store::commit::{Commit, NoHooks, Settings};
use task_inbox::store::{Engine, RegistryCache, TaskReader};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use support::TestDatabase;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Posts that arrive together, as from so many connections.
const TOGETHER: usize = 32;

/// Posts, in groups of [`TOGETHER`].
const POSTS: usize = TOGETHER * 20;

/// The most allocations of one post. 134 were counted on SQLite and 123 on PostgreSQL; on a busy
/// machine batches are smaller, and each costs some of its own.
const CEILING: usize = 200;

async fn inbox(engine: Engine) -> (TestDatabase, Router, String) {
    let (database, db) = TestDatabase::migrated(engine).await;
    let registry = RegistryCache::load(&db).await.expect("a registry");
    let commit = Commit::start(db.clone(), registry.clone(), Arc::new(NoHooks), Settings::default());
    let (bus, never) = (Bus::memory(), CancellationToken::new());
    let app = App {
        tail: Tail::start(&db, &bus, never.clone(), &never),
        reader: TaskReader::start(&db),
        commit: commit.await.expect("a thread"),
        keys: KeyCache::load(&db).await.expect("keys"),
        vault: Vault::empty(),
        bus,
        policy: Policy::new([]),
        client: Client::new(Policy::new([]), Limits::default(), "task-inbox/test").expect("a client"),
        targets: Arc::default(),
        guards: Guards::default(),
        db,
        registry,
    };
    let source = include_str!("../../schemas/sample.yml");
    schemas::install(&app, &Principal::cli(), source, false, false).await.expect("installs");
    let new = keys::NewKey { name: "ci".to_owned(), ..keys::NewKey::default() };
    let key = keys::create(&app, &Principal::cli(), new).await.expect("a key").key;
    (database, http::router(app, http::Settings::default()), key)
}

fn post(key: &str) -> Request<Body> {
    let body =
        r#"{"schema_name":"ti:sample","task":"flag-content","meta":{"url":"https://example.com/post/17"}}"#;
    Request::post("/api/v1/tasks")
        .header("api-key", key)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .expect("a request")
}

/// Allocations of one post, and bytes.
async fn counted(engine: Engine) -> (usize, usize) {
    let (_database, router, key) = inbox(engine).await;
    let group = async || {
        let posts = (0..TOGETHER).map(|_| (router.clone(), post(&key)));
        let posts: Vec<_> = posts
            .map(|(router, request)| {
                tokio::spawn(async move {
                    let answer = router.oneshot(request).await.expect("an answer");
                    assert_eq!(answer.status(), StatusCode::CREATED);
                    answer.into_body().collect().await.expect("a body").to_bytes().len()
                })
            })
            .collect();
        for posted in posts {
            assert!(posted.await.expect("no panic") > 0);
        }
    };
    // Statements are prepared and pools filled before.
    for _ in 0..5 {
        group().await;
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..POSTS / TOGETHER {
        group().await;
    }
    let change = region.change();
    (change.allocations / POSTS, change.bytes_allocated / POSTS)
}

/// One test for both engines: the allocator counts for the whole process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_allocates_no_more_than_it_did() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (allocations, bytes) = counted(engine).await;
        println!("{engine:?}: {allocations} allocations and {bytes} bytes for a post");
        assert!(
            allocations <= CEILING,
            "{engine:?}: {allocations} allocations for a post; {CEILING} were enough"
        );
    }
}
