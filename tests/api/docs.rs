//! `/docs`: everything that the page needs comes from here, and it can load nothing else.

use std::time::Duration;

use task_inbox::http;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(the_page_is_served_with_all_that_it_needs, the_page_can_be_switched_off);

async fn fetch(server: &Server, path: &str) -> (u16, String, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    // As a browser asks.
    let request = client.get(format!("{}{path}", server.address())).header("accept", "text/html,*/*;q=0.8");
    let response = request.send().await.expect("an answer");
    let header = |name: &str| {
        response.headers().get(name).map(|v| v.to_str().expect("ASCII").to_owned()).unwrap_or_default()
    };
    let (status, kind, policy) =
        (response.status().as_u16(), header("content-type"), header("content-security-policy"));
    (status, kind, policy, response.text().await.expect("text"))
}

/// What the page's elements load.
fn references(html: &str) -> Vec<&str> {
    let quoted = |part: &'static str| html.split(part).skip(1).filter_map(|rest| rest.split('"').next());
    quoted("src=\"").chain(quoted("href=\"")).collect()
}

async fn the_page_is_served_with_all_that_it_needs(engine: Engine) {
    let server = Server::start(engine).await;
    for path in ["/docs", "/docs/"] {
        let (status, kind, policy, html) = fetch(&server, path).await;
        assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let parts = references(&html);
        assert_eq!(parts.len(), 4);
        for part in parts {
            assert!(part.starts_with("/docs/"), "{part} comes from elsewhere");
            let (status, kind, ..) = fetch(&server, part).await;
            let expected = match part.rsplit('.').next() {
                Some("js") => "text/javascript",
                Some("css") => "text/css",
                _ => "image/png",
            };
            assert_eq!((status, kind.split(';').next()), (200, Some(expected)), "{part}");
        }
    }
    let (.., start) = fetch(&server, "/docs/start.js").await;
    assert!(start.contains("\"/api/v1/openapi.json\"") && !start.contains("http"), "{start}");
    for other in ["/docs/nothing", "/docs/oauth2-redirect.html", "/docs/..%2fCargo.toml"] {
        assert_eq!(fetch(&server, other).await.0, 404, "{other}");
    }
}

async fn the_page_can_be_switched_off(engine: Engine) {
    let timeout = Duration::from_secs(30);
    let server =
        Server::with(engine, http::Settings { timeout, docs: false, ..http::Settings::default() }).await;
    for path in ["/docs", "/docs/", "/docs/start.js"] {
        let (status, kind, ..) = fetch(&server, path).await;
        assert_eq!((status, kind.as_str()), (404, "application/problem+json"), "{path}");
    }
}
