//! The log as a stream of server-sent events.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::keys::{self, NewKey};
use task_inbox::app::{Permission, Principal};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Request, Server, column};

on_both_engines!(
    tells_what_was_and_what_comes,
    goes_on_after_the_last_id,
    moves_on_past_what_the_filter_leaves_out,
    a_document_on_several_lines_stays_whole,
    a_slow_reader_misses_nothing,
    a_tenant_hears_of_its_own_alone,
    whatever_the_filter_a_stream_holds_what_pages_hold,
    ends_with_its_key,
    ends_when_the_server_stops,
    what_cannot_be_read_is_refused_before_it_begins,
    whoever_asks_for_json_gets_a_page,
);

const MEDIA_TYPE: &str = "text/event-stream";
const PATIENCE: Duration = Duration::from_secs(20);

/// One event as a browser dispatches it.
#[derive(Debug, PartialEq)]
struct Told {
    id: String,
    kind: String,
    data: Value,
}

/// Reads as a browser does (HTML Standard, section 9.2.6).
struct Reader {
    response: reqwest::Response,
    buffer: String,
    last_id: String,
}

impl Reader {
    async fn open(request: Request) -> Self {
        let response = request.header("accept", MEDIA_TYPE).open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, buffer: String::new(), last_id: String::new() }
    }

    /// The next block; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something comes");
            self.buffer.push_str(std::str::from_utf8(&chunk.ok()??).expect("UTF-8"));
        }
    }

    /// The next event; none at the end. Blocks without data only move the id.
    async fn next(&mut self) -> Option<Told> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| -> Vec<&str> {
                block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
            };
            if let Some(id) = field("id").pop() {
                id.clone_into(&mut self.last_id);
            }
            let data = field("data").join("\n");
            if data.is_empty() {
                continue;
            }
            let kind = field("event").pop().expect("a type").to_owned();
            let data = serde_json::from_str(&data).unwrap_or_else(|e| panic!("{e}: {data}"));
            return Some(Told { id: self.last_id.clone(), kind, data });
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Told> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.next().await.expect("one more"));
        }
        all
    }
}

fn events(server: &Server, query: &str) -> Request {
    server.request(Method::GET, &format!("/api/v1/events{query}"))
}

async fn tells_what_was_and_what_comes(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let mut reader = Reader::open(events(&server, "")).await;
    let was = reader.take(3).await;
    let kinds: Vec<_> = was.iter().map(|told| told.kind.as_str()).collect();
    assert_eq!(kinds, ["schema.version_created", "schema.version_created", "task.created"]);
    assert_eq!(was[2].data["type"], "task.created");
    assert_eq!(was[2].data["data"]["cursor"], *was[2].id);
    server.decide(&task, "block").send().await.ok(200);
    let comes = reader.next().await.expect("it comes");
    assert_eq!(comes.kind, "task.state_changed");
    // The same as the page's item.
    let page = server.get(&format!("/api/v1/events?after={}", was[2].id)).await.ok(200);
    assert_eq!(page["events"][0], comes.data);
}

async fn goes_on_after_the_last_id(engine: Engine) {
    let server = Server::start(engine).await;
    let mut seen = Vec::new();
    let mut last = String::new();
    for round in 0..5 {
        for _ in 0..3 {
            server.flag(json!({ "round": round })).await;
        }
        // What `after` says is older.
        let request = events(&server, "?after=&limit=2").header("last-event-id", &last);
        let mut reader = Reader::open(request).await;
        for told in reader.take(if round == 0 { 4 } else { 3 }).await {
            seen.push(told.data["data"]["seq"].as_i64().expect("a number"));
        }
        last.clone_from(&reader.last_id);
    }
    assert_eq!(seen, (1..=16).collect::<Vec<_>>(), "each once, in order");
    events(&server, "").header("accept", MEDIA_TYPE).header("last-event-id", "x").send().await.problem(400);
}

async fn moves_on_past_what_the_filter_leaves_out(engine: Engine) {
    let server = Server::start(engine).await;
    server.flag(json!({})).await;
    let mut reader = Reader::open(events(&server, "?schema=shop&type=task.created")).await;
    let first = reader.block().await.expect("at once");
    assert!(first.starts_with("retry: "), "{first}");
    let end = server.get("/api/v1/events?after=latest").await.ok(200)["next_cursor"].clone();
    assert_eq!(first.lines().last(), Some(&*format!("id: {}", end.as_str().expect("a cursor"))));
    let refund = server.refund().await;
    let told = reader.next().await.expect("it comes");
    assert_eq!(told.data["data"]["task"]["id"], refund["id"]);
    let task = format!("?after=latest&task={}", refund["id"].as_str().expect("an id"));
    let mut of_task = Reader::open(events(&server, &task)).await;
    server.flag(json!({})).await;
    server.decide(&refund, "checked").send().await.ok(200);
    assert_eq!(of_task.next().await.expect("it comes").kind, "task.state_changed");
}

async fn a_document_on_several_lines_stays_whole(engine: Engine) {
    let server = Server::start(engine).await;
    let body = "{\"schema_name\": \"ti:sample\", \"task\": \"flag-content\",\n\"meta\": {\r\n  \"a\": [1,\r\r\n\n 2],\n\n \"b\": \"x\\ny\"}}";
    server.request(Method::POST, "/api/v1/tasks").text("application/json", body).send().await.ok(201);
    let mut reader = Reader::open(events(&server, "?type=task.created")).await;
    let told = reader.next().await.expect("it is there");
    assert_eq!(told.data["data"]["task"]["meta"], json!({"a": [1, 2], "b": "x\ny"}));
}

async fn a_slow_reader_misses_nothing(engine: Engine) {
    let server = Server::start(engine).await;
    let mut reader = Reader::open(events(&server, "?type=task.created")).await;
    // More than the buffers between hold.
    let text = "x".repeat(100_000);
    for number in 0..60 {
        server.flag(json!({ "number": number, "text": text })).await;
    }
    let numbers: Vec<_> = reader
        .take(60)
        .await
        .iter()
        .map(|told| told.data["data"]["task"]["meta"]["number"].clone())
        .collect();
    assert_eq!(numbers, (0..60).map(Value::from).collect::<Vec<_>>());
}

async fn a_tenant_hears_of_its_own_alone(engine: Engine) {
    let server = Server::start(engine).await;
    let key = server.key(Some(&["shop"]), &[Permission::TasksRead]).await;
    let request = server.bare(Method::GET, "/api/v1/events?after=latest").header("api-key", &key);
    let mut reader = Reader::open(request).await;
    server.flag(json!({})).await;
    server.refund().await;
    server.flag(json!({})).await;
    server.refund().await;
    for told in reader.take(2).await {
        assert_eq!(told.data["data"]["task"]["schema"], "shop");
    }
    let blind = server.key(None, &[Permission::TasksWrite]).await;
    let request = server.bare(Method::GET, "/api/v1/events").header("api-key", &blind);
    request.header("accept", MEDIA_TYPE).send().await.problem(403);
}

/// A stream that follows closely is told from memory, pages are read: under any filter and for any key, the same.
async fn whatever_the_filter_a_stream_holds_what_pages_hold(engine: Engine) {
    const GONE: &str = "{name: gone, semver: 1, tasktypes: [{name: one, resolved_states: [done]}]}";
    let server = Server::start(engine).await;
    let install = async |source: &str| {
        let request = server.request(Method::POST, "/api/v1/schemas");
        request.text("application/yaml", source.to_owned()).send().await.ok(201);
    };
    install(GONE).await;
    let task = server.refund().await;
    let id = task["id"].as_str().expect("an id");
    let one = format!("&task={id}");
    let filters = [
        "",
        "&schema=shop",
        "&schema=gone",
        "&ttype=flag-content",
        "&type=task.created",
        &one,
        "&schema=gone&type=task.created",
        "&schema=none",
    ];
    let mut keys = Vec::new();
    for schemas in [None, Some(&["shop"][..]), Some(&["shop", "gone"]), Some(&["ti:sample", "shop", "none"])]
    {
        keys.push(server.key(schemas, &[Permission::TasksRead]).await);
    }
    let start = end(&server).await;
    let mut readers = Vec::new();
    for key in &keys {
        for filter in filters {
            let path = format!("/api/v1/events?after=START{filter}&limit=3");
            let request = server.bare(Method::GET, &path.replace("START", &start)).header("api-key", key);
            readers.push((path, key, Reader::open(request).await));
        }
    }
    for _ in 0..3 {
        server.flag(json!({})).await;
        server.post(&json!({"schema_name": "gone", "task": "one"})).await.ok(201);
        server.refund().await;
    }
    server.decide(&task, "checked").send().await.ok(200);
    let removal = end(&server).await;
    for (path, key, reader) in &mut readers {
        let expected = pages(&server, &path.replace("START", &start), key, &start, &removal).await;
        let streamed: Vec<Value> =
            reader.take(expected.len()).await.into_iter().map(|told| told.data).collect();
        assert_eq!(streamed, expected, "{path}");
    }
    // What is gone with its schema is told while it is there, and not read any more.
    server.request(Method::DELETE, "/api/v1/schemas/gone").send().await.ok(200);
    install(GONE).await;
    let again = end(&server).await;
    server.post(&json!({"schema_name": "gone", "task": "one"})).await.ok(201);
    install(&crate::server::SHOP.replace("semver: '1.2'", "semver: '1.3'")).await;
    let said = json!({"state": "refused", "reason": "r"});
    server.decide_with(&task, &said).send().await.ok(200);
    let end = end(&server).await;
    for (path, key, mut reader) in readers {
        let expected = pages(&server, &path.replace("START", &again), key, &again, &end).await;
        let mut streamed = Vec::new();
        while streamed.len() < expected.len() {
            let told = reader.next().await.expect("it goes on").data;
            // The removal, and the new version.
            if place(&told) > place_of(&again) {
                streamed.push(told);
            }
        }
        assert_eq!(streamed, expected, "{path}");
    }
}

fn place(event: &Value) -> i64 {
    event["data"]["seq"].as_i64().expect("a number")
}

fn place_of(cursor: &str) -> i64 {
    task_inbox_domain::cursor::LogCursor::parse(cursor).expect("a cursor").0
}

async fn end(server: &Server) -> String {
    let page = server.get("/api/v1/events?after=latest").await.ok(200);
    page["next_cursor"].as_str().expect("a cursor").to_owned()
}

/// What pages hold from one position to another.
async fn pages(server: &Server, path: &str, key: &str, from: &str, to: &str) -> Vec<Value> {
    let (mut events, mut at) = (Vec::new(), from.to_owned());
    while at != to {
        let path = path.replace(&format!("after={from}"), &format!("after={at}"));
        let page = server.bare(Method::GET, &path).header("api-key", key).send().await.ok(200);
        events.extend(page["events"].as_array().expect("events").clone());
        page["next_cursor"].as_str().expect("a cursor").clone_into(&mut at);
    }
    events
}

async fn ends_with_its_key(engine: Engine) {
    let server = Server::start(engine).await;
    let key =
        server.new_key(NewKey { permissions: Some(vec![Permission::TasksRead]), ..NewKey::default() }).await;
    let request = server.bare(Method::GET, "/api/v1/events?after=latest").header("api-key", &key.key);
    let mut reader = Reader::open(request).await;
    keys::revoke(&server.app, &Principal::cli(), key.info.id).await.expect("revoked");
    server.app.keys.refresh(&server.app.db).await.expect("read");
    let begun = Instant::now();
    assert_eq!(reader.next().await, None);
    assert!(begun.elapsed() < Duration::from_secs(5), "it takes a second, though nothing happens");
}

async fn ends_when_the_server_stops(engine: Engine) {
    let server = Server::start(engine).await;
    let mut reader = Reader::open(events(&server, "?after=latest")).await;
    let begun = Instant::now();
    server.begin_to_stop();
    assert_eq!(reader.next().await, None);
    assert!(begun.elapsed() < PATIENCE);
}

async fn what_cannot_be_read_is_refused_before_it_begins(engine: Engine) {
    let server = Server::start(engine).await;
    server.flag(json!({})).await;
    let ahead = task_inbox_domain::cursor::LogCursor(99).encode();
    events(&server, &format!("?after={ahead}")).header("accept", MEDIA_TYPE).send().await.problem(422);
    events(&server, "?limit=0").header("accept", MEDIA_TYPE).send().await.problem(400);
    server.sql("UPDATE log_head SET floor_seq = 2").await;
    events(&server, "").header("accept", MEDIA_TYPE).send().await.problem(410);
}

async fn whoever_asks_for_json_gets_a_page(engine: Engine) {
    let server = Server::start(engine).await;
    for accept in ["application/json", "*/*"] {
        let page = events(&server, "").header("accept", accept).send().await.ok(200);
        assert_eq!(column(&page["events"], "type").len(), 2);
    }
    server.request(Method::GET, "/api/v1/tasks").header("accept", MEDIA_TYPE).send().await.problem(406);
}
