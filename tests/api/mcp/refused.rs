//! What is refused before it comes to a tool.

use reqwest::Method;
use serde_json::json;
use task_inbox::store::Engine;

use super::agent;
use super::client::{ACCEPT, PATH, Stream, bare};
use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(what_is_no_request_of_the_protocol_is_refused, pages_of_other_origins_may_not_call);

async fn what_is_no_request_of_the_protocol_is_refused(engine: Engine) {
    let server = Server::start(engine).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    bare(&server, &ping).send().await.problem(401);
    bare(&server, &ping).header("api-key", "no such key").send().await.problem(403);
    let ask = || server.request(Method::POST, PATH).header("accept", ACCEPT);
    server
        .request(Method::POST, PATH)
        .header("accept", "application/json")
        .json(&ping)
        .send()
        .await
        .problem(406);
    ask().text("text/plain", ping.to_string()).send().await.problem(415);
    for body in ["", "{", "[]", "17", r#"{"jsonrpc":"2.0"}"#] {
        let said = ask().text("application/json", body).send().await.problem(400);
        assert!(said["detail"].as_str().is_some_and(|detail| detail.contains("JSON-RPC")), "{said}");
    }
    ask()
        .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x".repeat(600_000)}}))
        .send()
        .await
        .problem(413);
    ask()
        .header("mcp-protocol-version", "1999-01-01")
        .json(&ping)
        .open()
        .await
        .error_for_status()
        .expect_err("refused");
    server
        .request(Method::POST, "/mcp?session=1")
        .header("accept", ACCEPT)
        .json(&ping)
        .open()
        .await
        .error_for_status()
        .expect_err("refused");
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(ask().json(&answer).open().await.status(), 400, "nothing was asked");
}

async fn pages_of_other_origins_may_not_call(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for origin in ["http://localhost:6274", "https://localhost", "http://127.0.0.1:8080", "http://[::1]:3000"]
    {
        Stream::open(agent.request(&ping).header("origin", origin)).await.finish().await;
    }
    // Also one whose host was rebound to this address, so that host and origin are the same.
    for origin in
        ["https://evil.example", "http://localhost.evil.example", "http://evil.example:8080", "null", "x"]
    {
        let request = agent.request(&ping).header("origin", origin).header("host", "evil.example:8080");
        let said = request.send().await.problem(403);
        assert!(said["detail"].as_str().is_some_and(|detail| detail.contains("Origin")), "{said}");
    }
}
