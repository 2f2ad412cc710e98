//! Endpoints that somebody registers: made, changed, paused, resumed, taken away.

mod refused;

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Answer, Server, column, time};

on_both_engines!(
    an_endpoint_is_registered_and_shown,
    it_gets_what_it_asks_for_and_no_more,
    a_change_touches_what_it_names,
    null_takes_back_what_was_said,
    a_paused_endpoint_keeps_what_waits,
    a_deleted_endpoint_takes_its_deliveries_along,
    its_key_is_rotated_by_its_id,
    operators_hear_of_what_was_paused,
    headers_are_kept_encrypted_and_stay_with_their_origin,
);

const ENDPOINTS: &str = "/api/v1/endpoints";
const NONE: &str = "0190a0a0-0000-7000-8000-000000000000";

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn of(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", text(&endpoint["id"]))
}

async fn register(server: &Server, body: Value) -> Answer {
    server.request(Method::POST, ENDPOINTS).json(&body).send().await
}

async fn change(server: &Server, endpoint: &Value, body: Value) -> Answer {
    server.request(Method::PATCH, &of(endpoint)).json(&body).send().await
}

async fn act(server: &Server, endpoint: &Value, what: &str) -> Answer {
    server.request(Method::POST, &format!("{}/{what}", of(endpoint))).send().await
}

/// The types of the events that wait for an endpoint, oldest first.
async fn waiting(server: &Server, endpoint: &Value) -> Vec<String> {
    let list = server.get(&format!("/api/v1/deliveries?endpoint={}", text(&endpoint["id"]))).await.ok(200);
    let mut kinds: Vec<_> =
        column(&list["deliveries"], "event_type").into_iter().map(str::to_owned).collect();
    kinds.reverse();
    kinds
}

async fn an_endpoint_is_registered_and_shown(engine: Engine) {
    let server = Server::start(engine).await;
    let answer = register(
        &server,
        json!({
            "url": "https://public.example/hook?a=1", "format": "full", "schemas": ["shop", "ti:sample", "shop"],
            "task_types": ["refund"], "event_types": ["task.state_changed", "delivery.dead"],
            "states": ["unset", "paid"], "headers": {"X-Tenant": "top secret", "authorization": "Bearer abc"},
            "rate": "100/s", "concurrency": 3, "timeout": "1500ms", "description": "the warehouse",
        }),
    )
    .await;
    let made = answer.ok(201);
    assert_eq!(answer.header("location"), of(&made));
    assert!(text(&made["key"]).starts_with("whsec_"), "{made}");
    assert_eq!(made["warnings"], json!([]));
    let read = server.get(&of(&made)).await;
    assert!(!String::from_utf8_lossy(&read.bytes).contains("secret"), "a header's value is shown");
    let read = read.ok(200);
    for (field, expected) in [
        ("origin", json!("registered")),
        ("schema", Value::Null),
        ("type", Value::Null),
        ("url", json!("https://public.example/hook?a=1")),
        ("kind", json!("hmac")),
        ("format", json!("full")),
        ("schemas", json!(["shop", "ti:sample"])),
        ("task_types", json!(["refund"])),
        ("event_types", json!(["task.state_changed", "delivery.dead"])),
        ("states", json!(["unset", "paid"])),
        ("headers", json!({"X-Tenant": "***", "authorization": "***"})),
        ("rate", json!("100/s")),
        ("concurrency", json!(3)),
        ("timeout", json!("1500ms")),
        ("description", json!("the warehouse")),
        ("status", json!("active")),
        ("held", Value::Null),
        ("failing_since", Value::Null),
        ("failures", json!(0)),
        ("next_probe", Value::Null),
        ("has_key", json!(true)),
        ("waiting", json!(0)),
        ("key", Value::Null),
    ] {
        assert_eq!(read[field], expected, "{field}");
    }
    assert!(time(&read["created"]) <= time(&read["updated"]));

    let taken = json!({"url": "https://public.example/", "key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let least = register(&server, taken).await.ok(201);
    assert_eq!(least["key"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    assert_eq!(
        (&least["schemas"], &least["states"], &least["headers"]),
        (&Value::Null, &Value::Null, &json!({}))
    );
    let kinds = least["event_types"].as_array().expect("a list");
    assert!(
        kinds.contains(&json!("task.commented")) && !kinds.contains(&json!("endpoint.paused")),
        "{kinds:?}"
    );
    let listed = server.get(&format!("{ENDPOINTS}?origin=registered")).await.ok(200);
    assert_eq!(column(&listed["endpoints"], "id"), [text(&made["id"]), text(&least["id"])], "by age");
    assert_eq!(server.get(&format!("{ENDPOINTS}?origin=callback")).await.ok(200)["endpoints"], json!([]));
}

async fn it_gets_what_it_asks_for_and_no_more(engine: Engine) {
    let server = Server::start(engine).await;
    let make = async |more: Value| {
        let mut body = json!({"url": "https://public.example/"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        register(&server, body).await.ok(201)
    };
    let all = make(json!({})).await;
    let shop =
        make(json!({"schemas": ["shop", "shop"], "event_types": ["task.created", "task.created"]})).await;
    let paid = make(json!({"states": ["paid"]})).await;
    let unset = make(json!({"states": ["unset"]})).await;
    let refund = server.refund().await;
    server.flag(json!({})).await;
    server.decide_with(&refund, &json!({"state": "paid", "output": {"amount": 1}})).send().await.ok(200);
    assert_eq!(waiting(&server, &all).await, ["task.created", "task.created", "task.state_changed"]);
    assert_eq!(waiting(&server, &shop).await, ["task.created"], "once, however often it is named");
    assert_eq!(waiting(&server, &paid).await, ["task.state_changed"]);
    assert_eq!(waiting(&server, &unset).await, ["task.created"], "of ti:sample; a refund begins as asked");
}

async fn a_change_touches_what_it_names(engine: Engine) {
    let server = Server::start(engine).await;
    let body = json!({
        "url": "https://public.example/1", "states": ["paid"], "headers": {"x-a": "1", "x-b": "2"}, "rate": "5/m",
        "concurrency": 2, "timeout": "3s", "description": "one",
    });
    let made = register(&server, body).await.ok(201);
    let before = server.get(&of(&made)).await.ok(200);
    let number = server.app.registry.current().number;
    let same = change(&server, &made, json!({})).await.ok(200);
    let after = server.app.registry.refresh(&server.app.db).await.expect("read").number;
    assert_eq!((&same["updated"], after), (&before["updated"], number), "nothing is changed");
    for field in ["url", "states", "headers", "rate", "concurrency", "timeout", "description", "event_types"]
    {
        assert_eq!(same[field], made[field], "{field}");
    }
    let more = json!({"url": "https://public.example/2", "format": "slack", "headers": {"x-c": "3"}, "rate": "10/s"});
    let changed = change(&server, &made, more).await.ok(200);
    assert_eq!((text(&changed["url"]), text(&changed["format"])), ("https://public.example/2", "slack"));
    assert_eq!((&changed["headers"], &changed["rate"]), (&json!({"x-c": "***"}), &json!("10/s")));
    for field in ["id", "states", "concurrency", "timeout", "description", "has_key"] {
        assert_eq!(changed[field], made[field], "{field}");
    }
    assert_eq!((&changed["warnings"], changed.get("key")), (&json!([]), None));
    let read = server.get(&of(&made)).await.ok(200);
    assert_eq!((&read["url"], &read["rate"]), (&changed["url"], &changed["rate"]));
}

async fn null_takes_back_what_was_said(engine: Engine) {
    let server = Server::start(engine).await;
    let body = json!({
        "url": "https://public.example/", "format": "ntfy", "schemas": ["shop"], "task_types": ["refund"],
        "event_types": ["task.created"], "states": ["paid"], "headers": {"x-a": "1"}, "rate": "5/m", "concurrency": 2,
        "timeout": "3s", "description": "one",
    });
    let made = register(&server, body).await.ok(201);
    let nothing = json!({
        "format": null, "schemas": null, "task_types": null, "event_types": null, "states": null, "headers": null,
        "rate": null, "concurrency": null, "timeout": null, "description": null,
    });
    let changed = change(&server, &made, nothing).await.ok(200);
    for field in ["schemas", "task_types", "states", "rate", "concurrency", "timeout", "description"] {
        assert_eq!(changed[field], Value::Null, "{field}");
    }
    assert_eq!((&changed["format"], &changed["headers"]), (&json!("full"), &json!({})));
    assert!(changed["event_types"].as_array().is_some_and(|kinds| kinds.len() > 5), "{changed}");
    assert_eq!(change(&server, &made, json!({"url": null})).await.pointers(), ["/url"]);
    // When it is made, there is nothing to take back: null equals absent.
    let body = json!({"url": "https://public.example/", "format": null, "schemas": null, "key": null});
    assert_eq!(register(&server, body).await.ok(201)["format"], "full");
}

async fn a_paused_endpoint_keeps_what_waits(engine: Engine) {
    let server = Server::start(engine).await;
    let made = register(&server, json!({"url": "https://public.example/"})).await.ok(201);
    let path = format!("{}/pause", of(&made));
    let long = json!({"message": "x".repeat(1001)});
    for (body, pointer) in [(long, "/message"), (json!({"message": 1}), "/message"), (json!({"x": 1}), "/x")]
    {
        assert_eq!(server.request(Method::POST, &path).json(&body).send().await.pointers(), [pointer]);
    }
    let message = json!({"message": "the shop is being deployed"});
    let paused = server.request(Method::POST, &path).json(&message).send().await.ok(200);
    assert_eq!((text(&paused["status"]), text(&paused["held"])), ("paused", "paused"));
    assert_eq!(paused["status_reason"], "the shop is being deployed");
    server.request(Method::POST, &path).send().await.problem(409);
    server.flag(json!({})).await;
    assert_eq!(waiting(&server, &made).await, ["task.created"]);
    let listed = server.get(&format!("/api/v1/deliveries?endpoint={}", text(&made["id"]))).await.ok(200);
    assert_eq!(column(&listed["deliveries"], "reason"), ["paused"]);
    let found = server.get(&format!("{ENDPOINTS}?status=paused")).await.ok(200);
    assert_eq!(column(&found["endpoints"], "id"), [text(&made["id"])]);
    let resumed = act(&server, &made, "resume").await.ok(200);
    assert_eq!((&resumed["status"], &resumed["waiting"]), (&json!("active"), &json!(1)));
    assert_eq!((&resumed["status_reason"], &resumed["held"]), (&Value::Null, &Value::Null));
    act(&server, &made, "resume").await.problem(409);
    let body = server.request(Method::POST, &format!("{}/resume", of(&made))).json(&json!({"x": 1}));
    assert_eq!(body.send().await.pointers(), ["/x"]);
}

async fn a_deleted_endpoint_takes_its_deliveries_along(engine: Engine) {
    let server = Server::start(engine).await;
    let made = register(&server, json!({"url": "https://public.example/"})).await.ok(201);
    let task = server.flag(json!({})).await;
    server.decide(&task, "allow").send().await.ok(200);
    let gone = server.request(Method::DELETE, &of(&made)).send().await.ok(200);
    assert_eq!(gone, json!({"id": made["id"], "withdrawn": 2}));
    server.get(&of(&made)).await.problem(404);
    server.request(Method::DELETE, &of(&made)).send().await.problem(404);
    let list = server.get("/api/v1/deliveries?status=cancelled").await.ok(200)["deliveries"].clone();
    assert_eq!(column(&list, "reason"), ["endpoint_removed", "endpoint_removed"]);
    assert_eq!(list[0]["url"], Value::Null);
    // And it hears of nothing more.
    server.flag(json!({})).await;
    assert_eq!(waiting(&server, &made).await.len(), 2);
    let path = format!("/api/v1/deliveries/{}/resend", text(&list[0]["id"]));
    server.request(Method::POST, &path).send().await.problem(409);
}

async fn its_key_is_rotated_by_its_id(engine: Engine) {
    let server = Server::start(engine).await;
    let made = register(&server, json!({"url": "https://public.example/"})).await.ok(201);
    let new_key = |body: Value| server.request(Method::POST, "/api/v1/webhook-keys").json(&body).send();
    let refused = new_key(json!({"endpoint": made["id"]})).await.problem(409);
    assert!(text(&refused["detail"]).contains("--rotate"), "{refused}");
    let rotated = new_key(json!({"endpoint": made["id"], "rotate": true, "overlap": "1h"})).await.ok(201);
    assert!(rotated["key"] != made["key"] && text(&rotated["key"]).starts_with("whsec_"));
    assert_eq!((&rotated["endpoint_id"], &rotated["schema"]), (&made["id"], &Value::Null));
    let listed = server.get("/api/v1/webhook-keys").await.ok(200)["webhook_keys"].clone();
    assert_eq!(column(&listed, "url"), ["https://public.example/"; 2]);
    assert_eq!((&listed[0]["expires"], listed[1]["expires"].is_string()), (&Value::Null, true));
    new_key(json!({"endpoint": NONE})).await.problem(404);
    // Without any, its deliveries wait.
    for key in column(&listed, "id") {
        server.request(Method::DELETE, &format!("/api/v1/webhook-keys/{key}")).send().await.ok(200);
    }
    assert_eq!(server.get(&of(&made)).await.ok(200)["held"], "no_key");
    new_key(json!({"endpoint": made["id"]})).await.ok(201);
    assert_eq!(server.get(&of(&made)).await.ok(200)["held"], Value::Null);
}

async fn operators_hear_of_what_was_paused(engine: Engine) {
    let server = Server::start(engine).await;
    let alarms = json!({"url": "https://public.example/ops", "event_types": ["endpoint.paused", "endpoint.recovered"]});
    let alarms = register(&server, alarms).await.ok(201);
    let made = register(&server, json!({"url": "https://public.example/"})).await.ok(201);
    server
        .request(Method::POST, &format!("{}/pause", of(&made)))
        .json(&json!({"message": "m"}))
        .send()
        .await
        .ok(200);
    act(&server, &made, "resume").await.ok(200);
    assert_eq!(waiting(&server, &alarms).await, ["endpoint.paused", "endpoint.recovered"]);
    let events = server.get("/api/v1/events?type=endpoint.paused").await.ok(200)["events"].clone();
    let data = &events[0]["data"];
    assert_eq!((&data["endpoint"]["id"], &data["message"]), (&made["id"], &json!("m")));
    assert_eq!(data["actor"]["name"], "test");
}

async fn headers_are_kept_encrypted_and_stay_with_their_origin(engine: Engine) {
    let server = Server::start(engine).await;
    let body =
        json!({"url": "https://public.example/hook", "headers": {"Authorization": "Bearer of-the-shop"}});
    let made = register(&server, body).await.ok(201);
    let kept = server.rows("SELECT header_names AS text FROM endpoints WHERE header_names IS NOT NULL").await;
    assert_eq!(kept, [r#"["Authorization"]"#], "their names alone");
    let sealed = "SELECT auth_kind AS text FROM endpoint_secrets WHERE auth_kind = 'headers'";
    assert_eq!(server.rows(sealed).await.len(), 1);
    let keys = server.get("/api/v1/webhook-keys").await.ok(200);
    assert!(!keys.to_string().contains("headers"), "they are no key: {keys}");
    // Another path of the same server.
    let same = change(&server, &made, json!({"url": "https://public.example/hook/2"})).await.ok(200);
    assert_eq!((&same["headers"], &same["warnings"]), (&json!({"Authorization": "***"}), &json!([])));
    // Who changes the URL need not know what the header says.
    let moved = change(&server, &made, json!({"url": "https://elsewhere.example/"})).await.ok(200);
    assert_eq!(moved["headers"], json!({}));
    assert!(moved["warnings"].to_string().contains("Authorization"), "{moved}");
    assert!(server.rows(sealed).await.is_empty());
    let body = json!({"url": "https://public.example/", "headers": {"x-a": "1"}});
    let both = change(&server, &made, body).await.ok(200);
    assert_eq!(both["headers"], json!({"x-a": "***"}));
}
