//! Endpoints that somebody registers: made, changed, paused, resumed, taken away.

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
    what_a_schema_declares_is_not_changed_here,
    a_paused_endpoint_keeps_what_waits,
    a_deleted_endpoint_takes_its_deliveries_along,
    what_can_not_be_is_refused_with_its_place,
    names_are_looked_up_once_they_are_registered,
    another_tenants_endpoints_are_not_there,
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

async fn what_a_schema_declares_is_not_changed_here(engine: Engine) {
    let server = Server::start(engine).await;
    let list = server.get(&format!("{ENDPOINTS}?origin=schema")).await.ok(200);
    let declared = list["endpoints"][0].clone();
    assert_eq!(declared["schema"], "ti:sample");
    let said = change(&server, &declared, json!({"rate": "1/s"})).await.problem(409);
    assert!(text(&said["detail"]).contains("declared by the schema ti:sample"), "{said}");
    server.request(Method::DELETE, &of(&declared)).send().await.problem(409);
    // But it can be paused.
    assert_eq!(act(&server, &declared, "pause").await.ok(200)["held"], "paused");
    assert_eq!(act(&server, &declared, "resume").await.ok(200)["status"], "active");
    let gone = json!({ "id": NONE });
    for answer in [
        change(&server, &gone, json!({})).await,
        act(&server, &gone, "pause").await,
        act(&server, &gone, "resume").await,
        server.request(Method::DELETE, &of(&gone)).send().await,
        server.request(Method::DELETE, &format!("{ENDPOINTS}/x")).send().await,
    ] {
        answer.problem(404);
    }
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

async fn what_can_not_be_is_refused_with_its_place(engine: Engine) {
    let server = Server::start(engine).await;
    assert_eq!(register(&server, json!({})).await.pointers(), ["/url"]);
    let wrong = json!({
        "url": 1, "key": [], "format": 3, "schemas": "shop", "task_types": [1], "event_types": {}, "states": [""],
        "headers": [], "rate": 5, "concurrency": 0, "timeout": 5, "description": {}, "name": "x",
    });
    let expected = [
        "/url",
        "/format",
        "/schemas",
        "/task_types/0",
        "/event_types",
        "/states/0",
        "/headers",
        "/rate",
        "/concurrency",
        "/timeout",
        "/description",
        "/key",
        "/name",
    ];
    assert_eq!(register(&server, wrong).await.pointers(), expected);
    let good = register(&server, json!({"url": "https://public.example/"})).await.ok(201);
    let names = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>();
    let many: serde_json::Map<_, _> = names(21).into_iter().map(|n| (n, json!("1"))).collect();
    for (more, pointer, said) in [
        (json!({"url": "ftp://public.example/"}), "/url", "http:// or https://"),
        (json!({"url": "https://a:b@public.example/"}), "/url", "user name"),
        (json!({"url": "https://public.example/#x"}), "/url", "fragment"),
        (json!({"url": "http://127.0.0.1/"}), "/url", "TASK_INBOX_ALLOW_NETS"),
        (json!({"url": "http://[::ffff:10.0.0.1]/"}), "/url", "private"),
        (json!({"url": "http://localhost:5001/"}), "/url", "loopback"),
        (json!({"format": "slak"}), "/format", "did you mean slack?"),
        (json!({"format": "xml"}), "/format", "is none of full, output, ntfy, slack, discord"),
        (json!({"schemas": ["shop", "shops"]}), "/schemas/1", "there is shop, ti:sample"),
        (json!({"schemas": names(101)}), "/schemas", "more than 100"),
        (json!({"schemas": names(1001)}), "/schemas", "more than 1000"),
        (json!({"task_types": names(101)}), "/task_types", "more than 100"),
        (json!({"states": names(101)}), "/states", "more than 100"),
        (json!({"event_types": ["task.creatd"]}), "/event_types/0", "did you mean task.created?"),
        (json!({"event_types": ["task.created", "x"]}), "/event_types/1", "schema.version_created"),
        (json!({"headers": {"Host": "x"}}), "/headers/Host", "own meaning"),
        (json!({"headers": {"webhook-id": "x"}}), "/headers/webhook-id", "own meaning"),
        (json!({"headers": {"Content-Type": "x"}}), "/headers/Content-Type", "own meaning"),
        (json!({"headers": {"a/b c": "x"}}), "/headers/a~1b c", "is not a header name"),
        (json!({"headers": {"x-a": 1}}), "/headers/x-a", "must be a string"),
        (json!({"headers": {"x-a": "b\r\nc: d"}}), "/headers/x-a", "visible ASCII"),
        (json!({"headers": {"x-a": ""}}), "/headers/x-a", "visible ASCII"),
        (json!({"headers": {"x-a": "1", "X-A": "2"}}), "/headers/x-a", "twice"),
        (json!({ "headers": many }), "/headers", "more than 20"),
        (json!({"rate": "many"}), "/rate", "100/s"),
        (json!({"concurrency": 129}), "/concurrency", "1 to 128"),
        (json!({"timeout": "16s"}), "/timeout", "1s to 15s"),
        (json!({"timeout": "999ms"}), "/timeout", "1s to 15s"),
        (json!({"timeout": "soon"}), "/timeout", "15s"),
        (json!({"description": "x".repeat(1001)}), "/description", "1000"),
    ] {
        let mut body = json!({"url": "https://public.example/"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        for answer in [register(&server, body).await, change(&server, &good, more.clone()).await] {
            assert_eq!(answer.pointers(), [pointer], "{more}");
            let found = answer.body().to_string();
            assert!(found.contains(said), "{said}: {found}");
        }
    }
    for key in ["x", "whsec_", "whsec_c2hvcnQ="] {
        let body = json!({"url": "https://public.example/", "key": key});
        assert_eq!(register(&server, body).await.pointers(), ["/key"], "{key}");
    }
    assert_eq!(change(&server, &good, json!({"key": "x"})).await.pointers(), ["/key"]);
    let twice = r#"{"url":"https://public.example/","headers":{"x-a":"1","x-a":"2"}}"#;
    let twice = server.request(Method::POST, ENDPOINTS).text("application/json", twice).send().await;
    assert_eq!(twice.pointers(), ["/headers/x-a"]);
    let listed = server.get(&format!("{ENDPOINTS}?origin=registered")).await.ok(200);
    assert_eq!(column(&listed["endpoints"], "id"), [text(&good["id"])], "nothing that was refused is kept");
}

async fn names_are_looked_up_once_they_are_registered(engine: Engine) {
    let server = Server::start(engine).await;
    let refused = register(&server, json!({"url": "https://private.example/"})).await;
    assert_eq!(refused.pointers(), ["/url"]);
    assert!(refused.body().to_string().contains("10.0.0.1"), "{}", refused.body());
    // Whatever can't be looked up may be a receiver that is not deployed yet.
    for (url, said) in
        [("https://nowhere.invalid/", "nowhere.invalid"), ("https://silent.example/", "within 2s")]
    {
        let made = register(&server, json!({ "url": url })).await.ok(201);
        assert!(text(&made["warnings"][0]).contains(said), "{made}");
        let moved = change(&server, &made, json!({"url": "https://private.example/"})).await;
        assert_eq!(moved.pointers(), ["/url"]);
        assert_eq!(server.get(&of(&made)).await.ok(200)["url"], url);
        // What is not changed is not looked up again.
        assert_eq!(change(&server, &made, json!({"rate": "1/s"})).await.ok(200)["warnings"], json!([]));
    }
}

async fn another_tenants_endpoints_are_not_there(engine: Engine) {
    let server = Server::start(engine).await;
    let url = "https://public.example/";
    let theirs = register(&server, json!({"url": url, "schemas": ["ti:sample"]})).await.ok(201);
    let both = register(&server, json!({"url": url, "schemas": ["ti:sample", "shop"]})).await.ok(201);
    let every = register(&server, json!({ "url": url })).await.ok(201);
    let refund = server.refund().await;
    let key = server.key(Some(&["shop"]), &Permission::ALL).await;
    let ask = |method: Method, path: String| server.bare(method, &path).header("api-key", &key);

    let all = ask(Method::POST, ENDPOINTS.to_owned()).json(&json!({ "url": url })).send().await.problem(403);
    assert!(text(&all["detail"]).contains("in schemas"), "{all}");
    let foreign = json!({"url": url, "schemas": ["shop", "ti:sample"]});
    let foreign = ask(Method::POST, ENDPOINTS.to_owned()).json(&foreign).send().await;
    assert_eq!(foreign.pointers(), ["/schemas/1"]);
    let said = foreign.body()["errors"][0]["detail"].as_str().expect("text").to_owned();
    assert!(said.ends_with("there is shop"), "{said}");
    let own = json!({"url": url, "schemas": ["shop"]});
    let own = ask(Method::POST, ENDPOINTS.to_owned()).json(&own).send().await.ok(201);
    let listed = ask(Method::GET, ENDPOINTS.to_owned()).send().await.ok(200);
    assert_eq!(column(&listed["endpoints"], "id"), [text(&own["id"])]);
    // Its own can't be made to hear of more, either.
    for schemas in [Value::Null, json!(["ti:sample"])] {
        let wider = ask(Method::PATCH, of(&own)).json(&json!({ "schemas": schemas })).send().await;
        assert!(matches!(wider.status.as_u16(), 403 | 422), "{wider:?}");
    }
    for endpoint in [&theirs, &both, &every] {
        let path = of(endpoint);
        ask(Method::GET, path.clone()).send().await.problem(404);
        ask(Method::PATCH, path.clone()).json(&json!({})).send().await.problem(404);
        ask(Method::DELETE, path.clone()).send().await.problem(404);
        for what in ["pause", "resume", "test"] {
            ask(Method::POST, format!("{path}/{what}")).send().await.problem(404);
        }
        let rotate = json!({"endpoint": endpoint["id"], "rotate": true});
        ask(Method::POST, "/api/v1/webhook-keys".to_owned()).json(&rotate).send().await.problem(404);
        let replay = json!({"endpoint": endpoint["id"], "what": "dead"});
        ask(Method::POST, "/api/v1/replays".to_owned()).json(&replay).send().await.problem(404);
    }
    let keys = ask(Method::GET, "/api/v1/webhook-keys".to_owned()).send().await.ok(200);
    assert_eq!(column(&keys["webhook_keys"], "endpoint_id"), [text(&own["id"])]);
    // What goes where it may not look is not shown, though it is of the key's own schema.
    let of_task = format!("/api/v1/deliveries?task={}", text(&refund["id"]));
    let all = server.get(&of_task).await.ok(200)["deliveries"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(2), "before its own was there: {all}");
    assert_eq!(ask(Method::GET, of_task).send().await.ok(200)["deliveries"], json!([]));
    let path = format!("/api/v1/deliveries/{}", text(&all[0]["id"]));
    ask(Method::GET, path.clone()).send().await.problem(404);
    ask(Method::POST, format!("{path}/resend")).send().await.problem(404);
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
