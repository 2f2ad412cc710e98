//! API keys and `/me`: made, listed, read, revoked.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::app::keys::NewKey;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, column, time};

on_both_engines!(
    a_key_says_whose_it_is,
    a_key_is_made_and_works_at_once,
    what_is_wrong_with_a_key_is_all_said,
    a_revoked_key_is_refused_at_once,
    a_key_for_some_schemas_sees_only_its_like,
    a_key_makes_none_that_may_more,
);

const KEYS: &str = "/api/v1/api-keys";

async fn make(server: &Server, body: &Value) -> Value {
    let answer = server.request(Method::POST, KEYS).json(body).send().await;
    let made = answer.ok(201);
    assert_eq!(answer.header("location"), format!("{KEYS}/{}", made["id"].as_str().expect("an id")));
    made
}

fn with<'a>(server: &'a Server, key: &'a Value) -> impl Fn(Method, &str) -> crate::server::Request + 'a {
    |method, path| server.bare(method, path).header("api-key", key["key"].as_str().expect("a key"))
}

async fn a_key_says_whose_it_is(engine: Engine) {
    let server = Server::start(engine).await;
    let new = NewKey { permissions: Some(vec![Permission::AuditRead]), ..NewKey::default() };
    let key = server.new_key(new).await;
    let me = server.bare(Method::GET, "/api/v1/me/").header("api-key", &key.key).send().await.ok(200);
    let expected = json!({
        "kind": "key", "id": key.id(), "name": "test", "schemas": null, "permissions": ["audit:read"],
        "version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(me, expected);
    let narrow = server.key(Some(&["shop"]), &[Permission::TasksRead]).await;
    let me = server.bare(Method::GET, "/api/v1/me").header("api-key", &narrow).send().await.ok(200);
    assert_eq!(me["schemas"], json!(["shop"]));
    server.bare(Method::GET, "/api/v1/me").send().await.problem(401);
    server.get("/api/v1/me?x=1").await.problem(400);
}

async fn a_key_is_made_and_works_at_once(engine: Engine) {
    let server = Server::start(engine).await;
    let made = make(&server, &json!({"name": " ci "})).await;
    assert_eq!(
        (&made["name"], &made["schemas"], &made["expires"]),
        (&json!("ci"), &Value::Null, &Value::Null)
    );
    assert_eq!(made["permissions"], json!(["tasks:write", "tasks:read"]));
    assert_eq!(made["warnings"], json!([]));
    let key = made["key"].as_str().expect("a key");
    assert!(
        key.starts_with("ti_")
            && key.starts_with(made["hint"].as_str().expect("a hint").trim_end_matches('…'))
    );
    with(&server, &made)(Method::GET, "/api/v1/tasks").send().await.ok(200);

    let body = json!({
        "name": "sender", "schemas": ["shop"], "permissions": ["tasks:write", "tasks:write", "audit:read"],
        "expires_in": "90d", "rate": "100/sec", "key": "taken-over-from-elsewhere",
    });
    let full = make(&server, &body).await;
    assert_eq!(
        (full["key"].as_str(), full["rate"].as_str()),
        (Some("taken-over-from-elsewhere"), Some("100/s"))
    );
    assert_eq!(full["permissions"], json!(["tasks:write", "audit:read"]));
    let lives = time(&full["expires"]).since(time(&full["created"]));
    assert_eq!(lives.as_secs(), 90 * 24 * 60 * 60);
    server.request(Method::POST, KEYS).json(&body).send().await.problem(409);
    let weak = make(&server, &json!({"name": "w", "key": "local-key", "schemas": ["later"]})).await;
    assert_eq!(weak["warnings"].as_array().map(Vec::len), Some(2), "{weak}");

    // The secret is not shown again.
    let mut info = full.clone();
    let object = info.as_object_mut().expect("an object");
    object.remove("key");
    object.remove("warnings");
    let path = format!("{KEYS}/{}", full["id"].as_str().expect("an id"));
    assert_eq!(server.get(&path).await.ok(200), info);
    let list = server.get(KEYS).await.ok(200);
    assert_eq!(column(&list["api_keys"], "name"), ["test", "ci", "sender", "w"]);
    assert_eq!(list["api_keys"][2], info);
    assert!(!list.to_string().contains("taken-over-from-elsewhere"));
}

async fn what_is_wrong_with_a_key_is_all_said(engine: Engine) {
    let server = Server::start(engine).await;
    let send = |body: Value| server.request(Method::POST, KEYS).json(&body).send();
    let wrong = json!({
        "name": 1, "schemas": "shop", "permissions": ["tasks:write", "cook", 3], "expires_in": "1w", "rate": "100",
        "key": [], "owner": "me",
    });
    let found = send(wrong).await.pointers();
    let expected =
        ["/permissions/2", "/permissions/1", "/name", "/schemas", "/expires_in", "/rate", "/key", "/owner"];
    assert_eq!(found, expected);
    for (field, value, pointer) in [
        ("name", json!("\n"), "/name"),
        ("schemas", json!([]), "/schemas"),
        ("schemas", json!(["shop", "no such name"]), "/schemas/1"),
        ("schemas", json!([""]), "/schemas/0"),
        ("permissions", json!([]), "/permissions"),
        ("expires_in", json!("0s"), "/expires_in"),
        ("key", json!("short"), "/key"),
        ("key", json!("has a space"), "/key"),
    ] {
        let mut body = json!({"name": "x"});
        body[field] = value;
        assert_eq!(send(body.clone()).await.pointers(), [pointer], "{body}");
    }
    assert_eq!(send(json!({})).await.pointers(), ["/name"]);
    server.request(Method::POST, KEYS).send().await.problem(400);
    server.request(Method::POST, KEYS).text("text/plain", "{}").send().await.problem(415);
    server
        .request(Method::POST, &format!("{KEYS}?name=x"))
        .json(&json!({"name": "x"}))
        .send()
        .await
        .problem(400);
    assert_eq!(server.get(KEYS).await.ok(200)["api_keys"].as_array().map(Vec::len), Some(1), "none was made");
}

async fn a_revoked_key_is_refused_at_once(engine: Engine) {
    let server = Server::start(engine).await;
    let made = make(&server, &json!({"name": "ci"})).await;
    let path = format!("{KEYS}/{}", made["id"].as_str().expect("an id"));
    with(&server, &made)(Method::GET, "/api/v1/tasks").send().await.ok(200);
    let revoked = server.request(Method::DELETE, &path).send().await.ok(200);
    let at = time(&revoked["revoked"]);
    with(&server, &made)(Method::GET, "/api/v1/tasks").send().await.problem(403);
    let again = server.request(Method::DELETE, &format!("{path}/")).send().await.ok(200);
    assert_eq!(time(&again["revoked"]), at, "twice is the same as once");
    assert_eq!(server.get(&path).await.ok(200)["revoked"], revoked["revoked"]);
    for nothing in ["0190a0a0-0000-7000-8000-000000000000", "x"] {
        server.get(&format!("{KEYS}/{nothing}")).await.problem(404);
        server.request(Method::DELETE, &format!("{KEYS}/{nothing}")).send().await.problem(404);
    }
}

async fn a_key_for_some_schemas_sees_only_its_like(engine: Engine) {
    let server = Server::start(engine).await;
    let admin = json!({"key": server.key(Some(&["shop"]), &Permission::ALL).await});
    let ask = with(&server, &admin);
    let all = make(&server, &json!({"name": "all"})).await;
    let both = make(&server, &json!({"name": "both", "schemas": ["shop", "ti:sample"]})).await;
    let other = make(&server, &json!({"name": "other", "schemas": ["ti:sample"]})).await;
    let own = make(&server, &json!({"name": "own", "schemas": ["shop"]})).await;
    let list = ask(Method::GET, KEYS).send().await.ok(200);
    assert_eq!(column(&list["api_keys"], "name"), ["test", "own"]);
    for hidden in [&all, &both, &other] {
        let path = format!("{KEYS}/{}", hidden["id"].as_str().expect("an id"));
        ask(Method::GET, &path).send().await.problem(404);
        ask(Method::DELETE, &path).send().await.problem(404);
        with(&server, hidden)(Method::GET, "/api/v1/tasks").send().await.ok(200);
    }
    let path = format!("{KEYS}/{}", own["id"].as_str().expect("an id"));
    assert_eq!(ask(Method::GET, &path).send().await.ok(200)["name"], "own");
    ask(Method::DELETE, &path).send().await.ok(200);
}

async fn a_key_makes_none_that_may_more(engine: Engine) {
    let server = Server::start(engine).await;
    let admin =
        json!({"key": server.key(Some(&["shop"]), &[Permission::KeysWrite, Permission::TasksRead]).await});
    let ask = |body: Value| with(&server, &admin)(Method::POST, KEYS).json(&body).send();
    ask(json!({"name": "x", "schemas": ["shop"], "permissions": ["tasks:read"]})).await.ok(201);
    for more in [
        json!({"name": "x", "permissions": ["tasks:read"]}),
        json!({"name": "x", "schemas": ["shop", "ti:sample"], "permissions": ["tasks:read"]}),
        json!({"name": "x", "schemas": ["shop"], "permissions": ["tasks:write"]}),
        json!({"name": "x", "schemas": ["shop"]}),
    ] {
        ask(more).await.problem(403);
    }
}
