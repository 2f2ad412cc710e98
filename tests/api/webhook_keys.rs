//! Webhook keys: made, rotated, listed, ended, moved to another master key.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::{App, Permission, Principal, Vault, rekey, schemas, vault};
use task_inbox::store::{Engine, secrets};

use crate::on_both_engines;
use crate::server::{Server, column, time};

on_both_engines!(
    a_key_is_made_once_and_rotated_on_purpose,
    the_former_key_goes_on_for_the_overlap,
    a_sixth_key_has_to_wait,
    a_header_has_one_key,
    a_key_ends_when_it_is_deleted,
    what_can_not_be_is_refused,
    a_key_for_some_schemas_sees_its_own,
    rekeying_moves_all_in_steps,
);

const KEYS: &str = "/api/v1/webhook-keys";

const HOOKED: &str = "
name: hooked
semver: '1'
default_hook_url: https://hooked.example/all
tasktypes:
- name: plain
  resolved_states: [done]
- name: own
  resolved_states: [done]
  hook_url: https://hooked.example/own
  hook_auth: {kind: head, val: x-key}
";

async fn start(engine: Engine) -> Server {
    let server = Server::start(engine).await;
    let other = HOOKED.replace("hooked\n", "another\n");
    for source in [HOOKED, &other] {
        schemas::install(&server.app, &Principal::cli(), source, false, false).await.expect("installs");
    }
    server
}

async fn make(server: &Server, body: Value) -> crate::server::Answer {
    server.request(Method::POST, KEYS).json(&body).send().await
}

async fn list(server: &Server, query: &str) -> Value {
    server.get(&format!("{KEYS}{query}")).await.ok(200)["webhook_keys"].clone()
}

async fn a_key_is_made_once_and_rotated_on_purpose(engine: Engine) {
    let server = start(engine).await;
    let made = make(&server, json!({"schema": "hooked"})).await.ok(201);
    assert!(made["key"].as_str().is_some_and(|k| k.starts_with("whsec_")), "{made}");
    assert_eq!(
        (&made["kind"], &made["url"], &made["type"], &made["expires"], &made["warnings"]),
        (&json!("hmac"), &json!("https://hooked.example/all"), &Value::Null, &Value::Null, &json!([]))
    );
    let again = make(&server, json!({"schema": "hooked"})).await.problem(409);
    assert!(again["detail"].as_str().is_some_and(|d| d.contains("rotate")), "{again}");
    let given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let other = make(&server, json!({"schema": "another", "key": given, "rotate": true})).await.ok(201);
    assert_eq!(other["key"], given, "rotating what is not there makes the first");
    assert_eq!(column(&list(&server, "").await, "id").len(), 2);
    let listed = list(&server, "?schema=hooked").await;
    assert_eq!(column(&listed, "id"), [made["id"].as_str().expect("an id")]);
    assert!(!list(&server, "").await.to_string().contains("whsec_"), "shown once");
    assert_eq!(list(&server, "?schema=nowhere").await, json!([]));
}

async fn the_former_key_goes_on_for_the_overlap(engine: Engine) {
    let server = start(engine).await;
    let first = make(&server, json!({"schema": "hooked"})).await.ok(201);
    let second = make(&server, json!({"schema": "hooked", "rotate": true})).await.ok(201);
    let keys = list(&server, "").await;
    assert_eq!(column(&keys, "id"), [&second, &first].map(|k| k["id"].as_str().expect("an id")));
    assert_eq!(keys[0]["expires"], Value::Null);
    let left = time(&keys[1]["expires"]).since(time(&second["created"]));
    let day = Duration::from_hours(24);
    assert!(left.abs_diff(day) < Duration::from_mins(1), "{left:?}");

    // A third gives the second its end, and leaves the first its own.
    let promised = keys[1]["expires"].clone();
    let third = make(&server, json!({"schema": "hooked", "rotate": true, "overlap": "1h"})).await.ok(201);
    assert_eq!(third["warnings"], json!([]));
    let keys = list(&server, "").await;
    let ids = [&third, &second, &first].map(|k| k["id"].as_str().expect("an id"));
    assert_eq!(column(&keys, "id"), ids);
    assert!(time(&keys[1]["expires"]).since(time(&third["created"])) < Duration::from_mins(61));
    assert_eq!(keys[2]["expires"], promised);

    // Who ends a key at once hears of those that still sign.
    let fourth = make(&server, json!({"schema": "hooked", "rotate": true, "overlap": "0s"})).await.ok(201);
    let ids = [&fourth, &second, &first].map(|k| k["id"].as_str().expect("an id"));
    assert_eq!(column(&list(&server, "").await, "id"), ids);
    for (warning, id) in fourth["warnings"].as_array().expect("a list").iter().zip(&ids[1..]) {
        let warning = warning.as_str().expect("a text");
        assert!(warning.contains(id) && warning.contains("revoke_webhook_key"), "{warning}");
    }
    assert_eq!(fourth["warnings"].as_array().map(Vec::len), Some(2));
    // What ends soon anyway is not kept longer by a rotation.
    let newest = fourth["id"].as_str().expect("an id");
    server.request(Method::DELETE, &format!("{KEYS}/{newest}")).send().await.ok(200);
    make(&server, json!({"schema": "hooked", "rotate": true, "overlap": "30d"})).await.ok(201);
    assert_eq!(list(&server, "").await[2]["expires"], promised);
}

async fn a_sixth_key_has_to_wait(engine: Engine) {
    let server = start(engine).await;
    make(&server, json!({"schema": "hooked"})).await.ok(201);
    for hours in 1..5 {
        let body = json!({"schema": "hooked", "rotate": true, "overlap": format!("{hours}h")});
        make(&server, body).await.ok(201);
    }
    let keys = list(&server, "").await;
    let next = keys[4]["expires"].as_str().expect("it ends first");
    let refused = make(&server, json!({"schema": "hooked", "rotate": true})).await.problem(409);
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains(next)), "{refused}");
    assert_eq!(list(&server, "").await, keys, "nothing changed");
    let oldest = keys[4]["id"].as_str().expect("an id");
    server.request(Method::DELETE, &format!("{KEYS}/{oldest}")).send().await.ok(200);
    make(&server, json!({"schema": "hooked", "rotate": true})).await.ok(201);
}

async fn a_header_has_one_key(engine: Engine) {
    let server = start(engine).await;
    let body = |more: Value| {
        let mut body = json!({"schema": "hooked", "type": "own"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let first = make(&server, body(json!({"key": "any visible".replace(' ', "-")}))).await.ok(201);
    assert_eq!((&first["kind"], &first["key"]), (&json!("head"), &json!("any-visible")));
    let second = make(&server, body(json!({"rotate": true, "overlap": "1h"}))).await.ok(201);
    assert!(second["warnings"][0].as_str().is_some_and(|w| w.contains("x-key")), "{second}");
    assert_eq!(column(&list(&server, "").await, "id"), [second["id"].as_str().expect("an id")]);
    let third = make(&server, body(json!({"rotate": true}))).await.ok(201);
    assert_eq!(third["warnings"], json!([]), "nobody asked for an overlap");
}

async fn a_key_ends_when_it_is_deleted(engine: Engine) {
    let server = start(engine).await;
    let made = make(&server, json!({"schema": "hooked"})).await.ok(201);
    let path = format!("{KEYS}/{}", made["id"].as_str().expect("an id"));
    let ended = server.request(Method::DELETE, &path).send().await.ok(200);
    assert!(time(&ended["expires"]) >= time(&made["created"]));
    assert_eq!(list(&server, "").await, json!([]));
    server.request(Method::DELETE, &path).send().await.problem(404);
    server.request(Method::DELETE, &format!("{KEYS}/x")).send().await.problem(404);
    let endpoints = server.get("/api/v1/endpoints?schema=hooked").await.ok(200);
    assert_eq!(endpoints["endpoints"][0]["held"], "no_key");
    make(&server, json!({"schema": "hooked"})).await.ok(201);
}

async fn what_can_not_be_is_refused(engine: Engine) {
    let server = start(engine).await;
    for body in [
        json!({"schema": "nowhere"}),
        json!({"schema": "shop"}),
        json!({"schema": "hooked", "type": "nothing"}),
        json!({"schema": "hooked", "type": "plain"}),
    ] {
        make(&server, body).await.problem(404);
    }
    let wrong = json!({"type": 1, "key": {}, "rotate": "yes", "overlap": "long", "endpoint": "x"});
    let expected = ["/endpoint", "/type", "/key", "/rotate", "/overlap", "/schema"];
    assert_eq!(make(&server, wrong).await.pointers(), expected);
    for (body, pointer) in [
        (json!({"schema": "hooked", "overlap": "1h"}), "/overlap"),
        (json!({"rotate": true}), "/schema"),
        (json!({"schema": "hooked", "endpoint": "0190a0a0-0000-7000-8000-000000000000"}), "/endpoint"),
        (json!({"type": "own", "endpoint": "0190a0a0-0000-7000-8000-000000000000"}), "/endpoint"),
        (json!({"schema": "hooked", "rotate": true, "overlap": "31d"}), "/overlap"),
        (json!({"schema": "hooked", "key": "not-for-hmac"}), "/key"),
    ] {
        assert_eq!(make(&server, body).await.pointers(), [pointer]);
    }
    server.get(&format!("{KEYS}?type=own")).await.problem(400);
    assert_eq!(list(&server, "").await, json!([]));
}

async fn a_key_for_some_schemas_sees_its_own(engine: Engine) {
    let server = start(engine).await;
    let hidden = make(&server, json!({"schema": "another"})).await.ok(201);
    let key = server.key(Some(&["hooked"]), &Permission::ALL).await;
    let ask = |method: Method, path: &str| server.bare(method, path).header("api-key", &key);
    ask(Method::POST, KEYS).json(&json!({"schema": "another", "rotate": true})).send().await.problem(404);
    let path = format!("{KEYS}/{}", hidden["id"].as_str().expect("an id"));
    ask(Method::DELETE, &path).send().await.problem(404);
    let own = ask(Method::POST, KEYS).json(&json!({"schema": "hooked"})).send().await.ok(201);
    let listed = ask(Method::GET, KEYS).send().await.ok(200);
    assert_eq!(column(&listed["webhook_keys"], "id"), [own["id"].as_str().expect("an id")]);
    ask(Method::POST, &format!("{KEYS}/rekey")).send().await.problem(403);
}

async fn rekeying_moves_all_in_steps(engine: Engine) {
    let server = start(engine).await;
    for body in [
        json!({"schema": "hooked"}),
        json!({"schema": "hooked", "type": "own"}),
        json!({"schema": "another"}),
    ] {
        make(&server, body).await.ok(201);
    }
    make(&server, json!({"schema": "hooked", "rotate": true})).await.ok(201);
    let rekey = |body: Value| server.request(Method::POST, &format!("{KEYS}/rekey")).json(&body).send();
    let nothing = rekey(json!({})).await.ok(200);
    assert_eq!(nothing, json!({"moved": 0, "remaining": 0, "master_key_id": "1"}));
    for limit in [json!(0), json!(501), json!("3"), json!(1.5)] {
        assert_eq!(rekey(json!({ "limit": limit })).await.pointers(), ["/limit"]);
    }

    // Another process has the new key first in its ring.
    let old = "dGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtdGVzdHMtMTI=";
    let ring = format!("new:{},1:{old}", vault::generate());
    let moved = App { vault: Vault::parse(&ring).expect("a ring"), ..server.app.clone() };
    let before = moved.registry.refresh(&moved.db).await.expect("read").number;
    let cli = Principal::cli();
    let step = rekey::step(&moved, &cli, 3).await.expect("moved");
    assert_eq!((step.moved, step.remaining, step.master_key_id.as_str()), (3, 1, "new"));
    assert!(moved.registry.current().number > before, "every process hears of it");
    // A server that lacks the new key can't take it from there, and says so.
    let stuck = rekey(json!({})).await.problem(409);
    assert!(stuck["detail"].as_str().is_some_and(|d| d.contains("\"new\"")), "{stuck}");
    let endpoints = server.get("/api/v1/endpoints").await.ok(200);
    assert!(endpoints.to_string().contains("no_master_key"), "{endpoints}");

    let step = rekey::step(&moved, &cli, 3).await.expect("moved");
    assert_eq!((step.moved, step.remaining), (1, 0));
    let alone = Vault::parse(ring.split(',').next().expect("the first")).expect("a ring");
    for secret in secrets::all(&server.app.db).await.expect("read") {
        assert_eq!(secret.master_key_id, "new");
        alone.open(secret.id, &secret.master_key_id, &secret.ciphertext).expect("opens");
    }
}
