//! Health.

use reqwest::Method;
use serde_json::json;
use task_inbox::http::Settings;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(
    tells_what_it_sees,
    is_ready_while_its_database_is,
    without_the_api_it_answers_health_checks_alone,
);

async fn tells_what_it_sees(engine: Engine) {
    let server = Server::start(engine).await;
    let health = server.bare(Method::GET, "/health").send().await.ok(200);
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"), "client_ip": "127.0.0.1", "url": format!("{}/health", server.address())
    });
    assert_eq!(health, expected);
    // The tests' address is a trusted proxy's.
    let proxied = server.bare(Method::GET, "/health").header("x-forwarded-for", "6.6.6.6, 203.0.113.7");
    let proxied = proxied.header("x-forwarded-proto", "https").header("x-forwarded-host", "inbox.example");
    let health = proxied.send().await.ok(200);
    assert_eq!(health["client_ip"], "203.0.113.7");
    assert_eq!(health["url"], "https://inbox.example/health");
}

async fn is_ready_while_its_database_is(engine: Engine) {
    let server = Server::start(engine).await;
    assert_eq!(server.bare(Method::GET, "/health/live").send().await.ok(200), json!({"status": "ok"}));
    assert_eq!(server.bare(Method::GET, "/health/ready").send().await.ok(200), json!({"status": "ok"}));
    server.lose_database().await;
    server.bare(Method::GET, "/health/live").send().await.ok(200);
    let answer = server.bare(Method::GET, "/health/ready").send().await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), "1");
    let post = server.post(&json!({"schema_name": "ti:sample", "task": "flag-content"})).await;
    post.problem(503);
}

async fn without_the_api_it_answers_health_checks_alone(engine: Engine) {
    let server = Server::with(engine, Settings { api: false, ..Settings::default() }).await;
    for path in ["/health", "/health/live", "/health/ready"] {
        server.bare(Method::GET, path).send().await.ok(200);
    }
    for path in ["/api/v1/tasks", "/api/v1/openapi.json", "/docs"] {
        // Not by the harness, which holds answers to the API's description.
        let answer = reqwest::get(format!("{}{path}", server.address())).await.expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
    }
}
