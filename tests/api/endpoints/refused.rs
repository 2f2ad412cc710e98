//! What nobody may make of an endpoint, or not whoever asks.

use super::*;

on_both_engines!(
    what_a_schema_declares_is_not_changed_here,
    what_can_not_be_is_refused_with_its_place,
    names_are_looked_up_once_they_are_registered,
    another_tenants_endpoints_are_not_there,
);

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
