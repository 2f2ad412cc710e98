//! Maintenance: what answers 503, and what goes on.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::app::keys::NewKey;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Answer, Server};

on_both_engines!(
    writes_are_refused_with_the_message_and_reads_go_on,
    what_stops_a_leak_or_only_looks_goes_on,
    one_schema_leaves_the_others_alone,
    it_is_seen_by_whom_it_concerns_and_outlives_a_restart,
    what_can_not_be_is_refused,
);

const PATH: &str = "/api/v1/maintenance";

async fn begin(server: &Server, body: &Value) -> Answer {
    server.request(Method::PUT, PATH).json(body).send().await
}

async fn end(server: &Server, query: &str) -> Answer {
    server.request(Method::DELETE, &format!("{PATH}{query}")).send().await
}

async fn writes_are_refused_with_the_message_and_reads_go_on(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let id = task["id"].as_str().expect("an id");
    let begun = begin(&server, &json!({"message": "Back at noon.", "retry_after": "90s"})).await.ok(200);
    assert_eq!(
        (&begun["schema"], &begun["retry_after"], &begun["hold_deliveries"]),
        (&Value::Null, &json!("90s"), &json!(false))
    );
    assert!(begun["by"].as_str().is_some_and(|by| by.starts_with("key:")), "{begun}");
    let writes = [
        (Method::POST, "/api/v1/tasks".to_owned()),
        (Method::PATCH, format!("/api/v1/tasks/{id}/state?state=allow")),
        (Method::DELETE, "/api/v1/schemas/shop".to_owned()),
        (Method::POST, "/api/v1/api-keys".to_owned()),
        (Method::POST, "/api/v1/webhook-keys/rekey".to_owned()),
        (Method::POST, "/api/v1/endpoints".to_owned()),
        (Method::DELETE, format!("/api/v1/endpoints/{id}")),
        (Method::POST, "/api/v1/checkpoints".to_owned()),
    ];
    let refused = |answer: Answer| {
        let problem = answer.problem(503);
        assert_eq!(problem["detail"], "Back at noon.");
        assert_eq!(problem["type"], "/problems/maintenance");
        assert_eq!(answer.header("retry-after"), "90");
    };
    for (method, path) in writes {
        refused(server.request(method.clone(), &path).send().await);
    }
    let newer = crate::server::SHOP.replace("'1.2'", "'1.3'");
    let install = server.request(Method::POST, "/api/v1/schemas").text("application/yaml", newer);
    refused(install.send().await);
    let first = json!({"schema": "ti:sample"});
    refused(server.request(Method::POST, "/api/v1/webhook-keys").json(&first).send().await);
    // Who may not write at all is told that.
    server.bare(Method::POST, "/api/v1/tasks").json(&json!({})).send().await.problem(401);
    for path in ["/api/v1/tasks", &format!("/api/v1/tasks/{id}"), "/api/v1/events", "/api/v1/deliveries"] {
        server.get(path).await.ok(200);
    }
    server.request(Method::POST, "/api/v1/log/verify").send().await.ok(200);
    for path in ["/health", "/health/live", "/health/ready"] {
        server.bare(Method::GET, path).send().await.ok(200);
    }
    end(&server, "").await.ok(200);
    server.decide(&task, "allow").send().await.ok(200);
}

async fn what_stops_a_leak_or_only_looks_goes_on(engine: Engine) {
    let server = Server::start(engine).await;
    let send = async |method: Method, path: &str, body: Value| {
        let request = server.request(method, path);
        let request = if body.is_null() { request } else { request.json(&body) };
        request.send().await
    };
    let leaked = server.new_key(NewKey::default()).await;
    let made = send(Method::POST, "/api/v1/webhook-keys", json!({"schema": "ti:sample"})).await.ok(201);
    let endpoints = server.get("/api/v1/endpoints?schema=ti:sample").await.ok(200);
    let endpoint = endpoints["endpoints"][0]["id"].as_str().expect("one").to_owned();
    begin(&server, &json!({})).await.ok(200);

    let rotation = json!({"schema": "ti:sample", "rotate": true});
    let newer = send(Method::POST, "/api/v1/webhook-keys", rotation).await.ok(201);
    assert_ne!(newer["key"], made["key"]);
    let newer = format!("/api/v1/webhook-keys/{}", newer["id"].as_str().expect("an id"));
    send(Method::DELETE, &newer, Value::Null).await.ok(200);
    for turn in ["pause", "resume"] {
        send(Method::POST, &format!("/api/v1/endpoints/{endpoint}/{turn}"), Value::Null).await.ok(200);
    }
    let revoked =
        send(Method::DELETE, &format!("/api/v1/api-keys/{}", leaked.id()), Value::Null).await.ok(200);
    assert!(revoked["revoked"].is_string(), "{revoked}");
    server.bare(Method::GET, "/api/v1/tasks").header("api-key", &leaked.key).send().await.problem(403);

    let version = crate::server::SHOP.replace("'1.2'", "'1.3'");
    let install =
        server.request(Method::POST, "/api/v1/schemas?dry_run=true").text("application/yaml", version);
    install.send().await.ok(200);
    send(Method::DELETE, "/api/v1/schemas/shop?dry_run=true", Value::Null).await.ok(200);
    let replay = |dry_run: bool| json!({"endpoint": endpoint, "what": "dead", "dry_run": dry_run});
    send(Method::POST, "/api/v1/replays", replay(true)).await.ok(200);
    send(Method::POST, "/api/v1/replays", replay(false)).await.problem(503);
}

async fn one_schema_leaves_the_others_alone(engine: Engine) {
    let server = Server::start(engine).await;
    let (flag, refund) = (server.flag(json!({})).await, server.refund().await);
    begin(&server, &json!({"schema": "shop"})).await.ok(200);
    let answer = server.decide(&refund, "checked").send().await;
    let problem = answer.problem(503);
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("shop is in maintenance")), "{problem}");
    assert_eq!(answer.header("retry-after"), "300");
    server.request(Method::DELETE, "/api/v1/schemas/shop").send().await.problem(503);
    let newer = crate::server::SHOP.replace("'1.2'", "'1.3'");
    let install = server.request(Method::POST, "/api/v1/schemas").text("application/yaml", newer);
    install.send().await.problem(503);
    server.decide(&flag, "allow").send().await.ok(200);
    // Whoever may not see the schema is not told of it.
    let key = server.key(Some(&["ti:sample"]), &Permission::ALL).await;
    let post = server.bare(Method::POST, "/api/v1/tasks").header("api-key", &key);
    post.json(&json!({"schema_name": "shop", "task": "note"})).send().await.problem(404);
}

async fn it_is_seen_by_whom_it_concerns_and_outlives_a_restart(engine: Engine) {
    let server = Server::start(engine).await;
    assert_eq!(server.get(PATH).await.ok(200)["maintenance"], json!([]));
    begin(&server, &json!({"schema": "shop", "hold_deliveries": true})).await.ok(200);
    let whole = begin(&server, &json!({"retry_after": "1h"})).await.ok(200);
    let again = begin(&server, &json!({"message": "Still."})).await.ok(200);
    assert_eq!((&again["since"], &again["retry_after"]), (&whole["since"], &json!("5m")));
    let server = server.restart().await;
    let listed = server.get(PATH).await.ok(200)["maintenance"].clone();
    assert_eq!(listed[0], again);
    assert_eq!((&listed[1]["schema"], &listed[1]["hold_deliveries"]), (&json!("shop"), &json!(true)));
    let post = json!({"schema_name": "ti:sample", "task": "flag-content"});
    assert_eq!(server.post(&post).await.problem(503)["detail"], "Still.");
    let sees = |listed: &Value| listed.as_array().expect("a list").len();
    let key = server.key(Some(&["ti:sample"]), &[Permission::TasksRead]).await;
    let answer = server.bare(Method::GET, PATH).header("api-key", &key).send().await.ok(200);
    assert_eq!((sees(&answer["maintenance"]), sees(&listed)), (1, 2));
    end(&server, "").await.ok(200);
    server.post(&post).await.ok(201);
    assert_eq!(end(&server, "?schema=shop").await.ok(200)["schema"], "shop");
}

async fn what_can_not_be_is_refused(engine: Engine) {
    let server = Server::start(engine).await;
    for (body, pointer) in [
        (json!({"message": ""}), "/message"),
        (json!({"message": "  "}), "/message"),
        (json!({"message": "x".repeat(1001)}), "/message"),
        (json!({"retry_after": "500ms"}), "/retry_after"),
        (json!({"retry_after": "25h"}), "/retry_after"),
        (json!({"retry_after": 300}), "/retry_after"),
        (json!({"hold_deliveries": "yes"}), "/hold_deliveries"),
        (json!({"until": "noon"}), "/until"),
    ] {
        let answer = begin(&server, &body).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    begin(&server, &json!({"schema": "nowhere"})).await.problem(404);
    let off = end(&server, "").await.problem(404);
    assert!(off["detail"].as_str().is_some_and(|d| d.contains("not in maintenance")), "{off}");
    end(&server, "?schema=shop").await.problem(404);
    end(&server, "?schema=nowhere").await.problem(404);
    end(&server, "?schema=").await.problem(400);
    server.get(&format!("{PATH}?schema=shop")).await.problem(400);
    assert_eq!(server.get(PATH).await.ok(200)["maintenance"], json!([]));
}
