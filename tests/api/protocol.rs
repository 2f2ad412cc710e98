//! What holds for every request, whatever it asks.

use std::io::Read;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use task_inbox::app::Permission;
use task_inbox::store::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(
    unknown_paths_and_methods_are_problems,
    answers_in_json_or_not_at_all,
    long_answers_are_compressed_on_request,
    requests_have_ids,
    head_is_get_without_a_body,
    a_connection_serves_many_requests,
    ends_what_is_under_way_before_it_stops,
    a_body_that_is_too_large_is_not_asked_for,
    a_body_that_does_not_arrive_is_given_up,
    what_follows_a_request_keeps_no_answer_back,
);

async fn unknown_paths_and_methods_are_problems(engine: Engine) {
    let server = Server::start(engine).await;
    for path in
        ["/", "/api", "/api/v1", "/api/v1/task", "/api/v2/tasks", "/api/v1/tasks/a/b/c", "/health/dead"]
    {
        let problem = server.get(path).await.problem(404);
        assert_eq!(problem["type"], "/problems/not-found");
        assert_eq!(problem["instance"], path);
    }
    // An empty segment is no name, whatever the method.
    for path in ["/api/v1/tasks//", "/api/v1/tasks//state", "/api/v1//tasks", "/api/v1/schemas//", "//health"]
    {
        for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
            server.request(method, path).send().await.problem(404);
        }
    }
    for (method, path, allow) in [
        (Method::DELETE, "/api/v1/tasks", &["GET", "HEAD", "POST"][..]),
        (Method::PUT, "/api/v1/tasks/x", &["GET", "HEAD", "PATCH"]),
        (Method::POST, "/api/v1/tasks/x/state/", &["PATCH"]),
        (Method::POST, "/health", &["GET", "HEAD"]),
        (Method::OPTIONS, "/api/v1/events", &["GET", "HEAD"]),
        (Method::GET, "/api/v1/webhook-keys/rekey", &["POST"]),
    ] {
        let answer = server.request(method, path).send().await;
        assert_eq!(answer.problem(405)["type"], "/problems/method-not-allowed");
        let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed, allow, "{path}");
    }
}

async fn answers_in_json_or_not_at_all(engine: Engine) {
    let server = Server::start(engine).await;
    for good in ["*/*", "application/json", "application/*;q=0.2", "text/html, */*;q=0.1"] {
        server.request(Method::GET, "/api/v1/tasks").header("accept", good).send().await.ok(200);
    }
    server.request(Method::GET, "/api/v1/tasks").header("accept", "text/html").send().await.problem(406);
    // Refused before anything is done.
    let post = server.request(Method::POST, "/api/v1/tasks").header("accept", "application/xml");
    post.json(&json!({"schema_name": "ti:sample", "task": "flag-content"})).send().await.problem(406);
    assert_eq!(server.get("/api/v1/tasks").await.ok(200)["tasks"], json!([]));
    // Browsers that are lost are told so, not that they ask wrongly.
    server.request(Method::GET, "/nowhere").header("accept", "text/html").send().await.problem(404);
}

async fn long_answers_are_compressed_on_request(engine: Engine) {
    let server = Server::start(engine).await;
    for n in 0..20 {
        server.flag(json!({"n": n})).await;
    }
    let plain = server.get("/api/v1/tasks").await;
    assert_eq!(plain.header("content-encoding"), "");
    let zipped = server.request(Method::GET, "/api/v1/tasks").header("accept-encoding", "gzip").send().await;
    assert_eq!(zipped.status, 200);
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert_eq!(zipped.header("vary"), "accept-encoding");
    assert!(zipped.bytes.len() * 3 < plain.bytes.len());
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&zipped.bytes[..]).read_to_end(&mut text).expect("gzip");
    assert_eq!(text, plain.bytes);
    let short = server.request(Method::GET, "/health").header("accept-encoding", "gzip").send().await;
    assert_eq!(short.header("content-encoding"), "");
}

async fn requests_have_ids(engine: Engine) {
    let server = Server::start(engine).await;
    let own = server.request(Method::GET, "/health").header("x-request-id", "req-1.a:b").send().await;
    assert_eq!(own.header("x-request-id"), "req-1.a:b");
    let failed = server.bare(Method::GET, "/api/v1/tasks").header("x-request-id", "req-2").send().await;
    failed.problem(401);
    assert_eq!(failed.header("x-request-id"), "req-2");
    let (a, b) = (server.get("/health").await, server.get("/health").await);
    let odd = server.request(Method::GET, "/health").header("x-request-id", "a b\"c").send().await;
    for made in [&a, &b, &odd] {
        let id = Uuid::parse_str(made.header("x-request-id")).expect("a UUID");
        assert_eq!(id.get_version_num(), 7);
    }
    assert_ne!(a.header("x-request-id"), b.header("x-request-id"));
}

async fn head_is_get_without_a_body(engine: Engine) {
    let server = Server::start(engine).await;
    let (head, get) = (
        exchange(&server, "HEAD /health/live HTTP/1.1").await,
        exchange(&server, "GET /health/live HTTP/1.1").await,
    );
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(get.ends_with("{\"status\":\"ok\"}"), "{get}");
    assert!(head.contains("content-length: 15") && get.contains("content-length: 15"));
}

/// One request on a connection of its own, written by hand.
async fn exchange(server: &Server, first_line: &str) -> String {
    let mut stream = connect(server).await;
    let request = format!("{first_line}\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.address().strip_prefix("http://").expect("an address");
    TcpStream::connect(address).await.expect("connected")
}

async fn a_connection_serves_many_requests(engine: Engine) {
    let server = Server::start(engine).await;
    let mut stream = connect(&server).await;
    // Three at once, the second of them wrong.
    let requests = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n\
                    GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.expect("sent");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("answered");
    let statuses: Vec<_> = answers.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 3, "{answers}");
    assert!(answers.contains("HTTP/1.1 404"));
}

async fn a_body_that_is_too_large_is_not_asked_for(engine: Engine) {
    let server = Server::start(engine).await;
    let key = server.key(None, &Permission::ALL).await;
    for (length, expect) in [(1024 * 1024, "expect: 100-continue\r\n"), (1024 * 1024 * 1024, "")] {
        let mut stream = connect(&server).await;
        let head = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\napi-key: {key}\r\n{expect}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered, and closed");
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

async fn a_body_that_does_not_arrive_is_given_up(engine: Engine) {
    let server = Server::impatient(engine, Duration::from_millis(300)).await;
    let key = server.key(None, &Permission::ALL).await;
    let mut stream = connect(&server).await;
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\napi-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{\"schema_name\":"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered, and closed");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close") && answer.contains("/problems/request-timeout"), "{answer}");
}

async fn ends_what_is_under_way_before_it_stops(engine: Engine) {
    let server = Server::start(engine).await;
    let key = server.key(None, &Permission::ALL).await;
    let body = r#"{"schema_name":"ti:sample","task":"flag-content"}"#;
    let mut stream = connect(&server).await;
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\napi-key: {key}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The server has begun: it asks for the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.expect("100 Continue");
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue"));
    let stopping = tokio::spawn(server.restart());
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let server = stopping.await.expect("started again");
    assert_eq!(server.get("/api/v1/tasks").await.ok(200)["tasks"].as_array().map(Vec::len), Some(1));
}

async fn what_follows_a_request_keeps_no_answer_back(engine: Engine) {
    let server = Server::start(engine).await;
    for (sent, status) in [
        ("GET /health HTTP/1.1\r\nhost: x\r\n\r\n\r\n", "200"),
        ("GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /hea", "200"),
        ("GARBAGE\r\n\r\n", "400"),
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let mut answer = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await;
        read.expect("an answer comes").expect("before the end");
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{sent:?}");
    }
}
