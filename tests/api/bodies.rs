//! Bodies of every kind: odd, deep, huge, wrong.

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Answer, Server};

on_both_engines!(
    keeps_meta_as_it_was_sent,
    tells_malformed_from_invalid,
    names_every_fault_with_its_place,
    refuses_what_is_not_built_yet,
    has_limits,
    takes_json_only,
    names_what_there_is_not,
    checks_the_type,
);

const TASKS: &str = "/api/v1/tasks";

async fn post_raw(server: &Server, body: impl Into<reqwest::Body>) -> Answer {
    server.request(Method::POST, TASKS).text("application/json", body).send().await
}

fn with_meta(meta: &str) -> String {
    format!(r#"{{"schema_name":"ti:sample","task":"flag-content","meta":{meta}}}"#)
}

async fn keeps_meta_as_it_was_sent(engine: Engine) {
    let server = Server::start(engine).await;
    let meta = r#"{"z":1.50,"a":[1e3,-0.0,"é\u00e9\ud83d\ude00"],"":{"\"":null},"big":9007199254740991}"#;
    let answer = post_raw(&server, with_meta(meta)).await;
    let body = answer.ok(201);
    assert!(String::from_utf8_lossy(&answer.bytes).contains(&format!("\"meta\":{meta}")));
    let id = body["task"]["id"].as_str().expect("an id");
    let read = server.get(&format!("{TASKS}/{id}")).await;
    read.ok(200);
    assert!(String::from_utf8_lossy(&read.bytes).contains(meta));
    let events = server.get("/api/v1/events?type=task.created").await;
    assert!(String::from_utf8_lossy(&events.bytes).contains(meta));
}

async fn tells_malformed_from_invalid(engine: Engine) {
    let server = Server::start(engine).await;
    let malformed: [&[u8]; 9] = [
        b"",
        b"{",
        b"{\"schema_name\":\"ti:sample\",}",
        b"nonsense",
        b"{} {}",
        b"{\"meta\":{\"a\":01}}",
        b"{'schema_name':1}",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
    ];
    for body in malformed {
        let problem = post_raw(&server, body).await.problem(400);
        assert_eq!(problem["type"], "/problems/malformed", "{}", String::from_utf8_lossy(body));
    }
    for body in ["[]", "null", "1", "\"x\"", "[[[[[[[[[[]]]]]]]]]]"] {
        assert_eq!(post_raw(&server, body).await.pointers(), [""], "{body}");
    }
    for meta in [
        "[]",
        "\"x\"",
        "1",
        r#"{"a":"\u0000"}"#,
        r#"{"\u0000":1}"#,
        r#"{"a":9007199254740993}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":1e400}"#,
    ] {
        assert_eq!(post_raw(&server, with_meta(meta)).await.pointers(), ["/meta"], "{meta}");
    }
}

async fn names_every_fault_with_its_place(engine: Engine) {
    let server = Server::start(engine).await;
    let body = json!({"schema_name": 1, "state": [], "meta": "x", "external_id": "", "unknown/~": 1, "nothing": null});
    let mut pointers = server.post(&body).await.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/external_id", "/meta", "/schema_name", "/state", "/task", "/unknown~1~0"]);
    let body = json!({"schema_name": "ti:sample", "task": "flag-content", "external_id": "a\u{0}b"});
    assert_eq!(server.post(&body).await.pointers(), ["/external_id"]);
    let body = json!({"schema_name": "ti:sample", "task": "flag-content", "external_id": "x".repeat(257)});
    assert_eq!(server.post(&body).await.pointers(), ["/external_id"]);
    let twice = r#"{"schema_name":"ti:sample","schema_name":"shop","task":"flag-content"}"#;
    assert_eq!(post_raw(&server, twice).await.pointers(), ["/schema_name"]);
}

async fn refuses_what_is_not_built_yet(engine: Engine) {
    let server = Server::start(engine).await;
    let mut body = json!({"schema_name": "ti:sample", "task": "flag-content"});
    let later = [
        ("priority", json!(1)),
        ("due_at", json!("2030-01-01T00:00:00Z")),
        ("assignee", json!("0190a0a0-0000-7000-8000-000000000000")),
    ];
    for (field, value) in later {
        let mut with = body.clone();
        with[field] = value;
        let answer = server.post(&with).await;
        assert_eq!(answer.pointers(), [format!("/{field}")]);
        assert!(
            answer.body()["errors"][0]["detail"].as_str().is_some_and(|d| d.contains("not available yet"))
        );
        body[field] = Value::Null;
    }
    server.post(&body).await.ok(201);
}

async fn has_limits(engine: Engine) {
    let server = Server::start(engine).await;
    // 256 KiB of meta, to the byte, and one more.
    let meta = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    let largest = post_raw(&server, with_meta(&meta(256 * 1024))).await.ok(201);
    assert_eq!(largest["task"]["meta"]["a"].as_str().map(str::len), Some(256 * 1024 - 8));
    assert_eq!(post_raw(&server, with_meta(&meta(256 * 1024 + 1))).await.pointers(), ["/meta"]);
    let body = |length: usize| {
        let mut text = with_meta("null");
        text.push_str(&" ".repeat(length - text.len()));
        text
    };
    post_raw(&server, body(512 * 1024)).await.ok(201);
    for length in [512 * 1024 + 1, 2 * 1024 * 1024] {
        let problem = post_raw(&server, body(length)).await.problem(413);
        assert_eq!(problem["type"], "/problems/too-large");
    }
    // The same without a length announced.
    let chunks = (0..600).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[b' '; 1024]))));
    let stream = StreamBody::new(futures_util::stream::iter(chunks));
    post_raw(&server, reqwest::Body::wrap(stream)).await.problem(413);
    let deep = |depth: usize| with_meta(&format!("{}{}", "{\"a\":".repeat(depth) + "1", "}".repeat(depth)));
    post_raw(&server, deep(64)).await.ok(201);
    assert_eq!(post_raw(&server, deep(65)).await.pointers(), ["/meta"]);
    assert_eq!(post_raw(&server, with_meta(&"[".repeat(100_000))).await.status, 400);
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(post_raw(&server, with_meta(&nested)).await.pointers(), ["/meta"]);
    assert_eq!(post_raw(&server, nested).await.pointers(), [""]);
    let many: Vec<_> = (0..50_000).map(|i| format!("\"{i}\":0")).collect();
    assert!(post_raw(&server, format!("{{{}}}", many.join(","))).await.pointers().len() < 100);
    server.get("/health/live").await.ok(200);
}

async fn takes_json_only(engine: Engine) {
    let server = Server::start(engine).await;
    let body = with_meta("null");
    for good in
        ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"]
    {
        server.request(Method::POST, TASKS).text(good, body.clone()).send().await.ok(201);
    }
    for bad in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json"]
    {
        server.request(Method::POST, TASKS).text(bad, body.clone()).send().await.problem(415);
    }
    server.request(Method::POST, TASKS).untyped(body.clone()).send().await.problem(415);
    let zipped = server.request(Method::POST, TASKS).header("content-encoding", "gzip");
    zipped.text("application/json", body).send().await.problem(415);
    server.request(Method::POST, TASKS).send().await.problem(400);
    let task = server.flag(json!({})).await;
    server.decide(&task, "allow").text("text/plain", "{}").send().await.problem(415);
    server.decide(&task, "allow").text("application/json", "").send().await.ok(200);
}

async fn names_what_there_is_not(engine: Engine) {
    let server = Server::start(engine).await;
    let problem = server.post(&json!({"schema_name": "nowhere", "task": "x"})).await.problem(404);
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("ti:sample")), "{problem}");
    let problem = server.post(&json!({"schema_name": "ti:sample", "task": "x"})).await.problem(404);
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("flag-content")), "{problem}");
    server.post(&json!({"schema_name": "ti:sample", "task": "é\u{1f600}"})).await.problem(404);
    let with_query = server.request(Method::POST, "/api/v1/tasks?nothing=30s");
    with_query.json(&json!({"schema_name": "ti:sample", "task": "flag-content"})).send().await.problem(400);
}

async fn checks_the_type(engine: Engine) {
    let server = Server::start(engine).await;
    let post = |fields: Value| {
        let mut body = json!({"schema_name": "shop", "task": "refund"});
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        body
    };
    assert_eq!(server.post(&post(json!({}))).await.pointers(), ["/meta"]);
    assert_eq!(server.post(&post(json!({"meta": {"order": "x", "amount": -1}}))).await.pointers().len(), 2);
    let meta = json!({"order": "17"});
    assert_eq!(server.post(&post(json!({"meta": meta, "state": "gone"}))).await.pointers(), ["/state"]);
    assert_eq!(server.post(&post(json!({"meta": meta, "state": "paid"}))).await.pointers(), ["/state"]);
    let initial = server.post(&post(json!({"meta": meta}))).await.ok(201);
    assert_eq!(initial["task"]["state"], "asked");
    assert_eq!(initial["task"]["allowed_transitions"], json!(["checked", "paid", "refused"]));
    let refused = server.post(&post(json!({"meta": meta, "state": "refused"}))).await.ok(201);
    assert_eq!(refused["task"]["phase"], "resolved");
    assert_eq!(refused["task"]["semver"], "1.2");
}
