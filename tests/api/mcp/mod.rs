//! What agents call: the Model Context Protocol, at the level of its messages.

mod client;
mod refused;
mod waits;

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, column};
use client::{ACCEPT, Agent, PATH, Stream, VERSION, call_of, pointers};

on_both_engines!(
    speaks_the_protocol,
    speaks_the_version_without_a_handshake,
    tells_what_can_be_asked,
    every_decision_is_an_outcome,
    what_is_wrong_is_pointed_at,
    asking_twice_makes_one_task,
    what_is_not_needed_any_more_is_withdrawn,
    a_key_does_what_it_may,
    maintenance_keeps_from_asking_alone,
);

async fn agent(server: &Server) -> Agent<'_> {
    Agent::new(server, server.key(None, &Permission::DEFAULT).await).await
}

fn refund(order: &str) -> Value {
    json!({"schema": "shop", "type": "refund", "meta": {"order": order}})
}

async fn speaks_the_protocol(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", VERSION] {
        let hello = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let message = json!({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": hello});
        // A client doesn't name a version yet when it says hello.
        let key = server.key(None, &[Permission::TasksRead]).await;
        let request = server.bare(Method::POST, PATH).header("accept", ACCEPT).json(&message);
        let request = request.header("authorization", &format!("Bearer {key}"));
        let (answer, _) = Stream::open(request).await.finish().await;
        assert_eq!(answer["id"], "a");
        let result = &answer["result"];
        assert_eq!(result["protocolVersion"], version);
        assert_eq!(result["serverInfo"]["name"], "task-inbox");
        assert!(result["capabilities"]["tools"].is_object() && result["capabilities"]["prompts"].is_null());
        assert!(result["instructions"].as_str().is_some_and(|text| text.contains("wait_for_decision")));
    }
    for method in ["notifications/initialized", "notifications/cancelled"] {
        let told = json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": 1}});
        assert_eq!(agent.request(&told).open().await.status(), 202);
    }
    assert_eq!(agent.ask("ping", &json!({})).await["result"], json!({}));
    let listed = agent.ask("tools/list", &json!({})).await;
    let tools = &listed["result"]["tools"];
    let names = ["list_task_types", "request_decision", "wait_for_decision", "cancel_request", "get_task"];
    assert_eq!(column(tools, "name"), names);
    for tool in tools.as_array().expect("a list") {
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{tool}");
            jsonschema::draft202012::new(&tool[schema]).expect("a schema");
        }
        let changes =
            ["request_decision", "cancel_request"].contains(&tool["name"].as_str().expect("a name"));
        assert_eq!(tool["annotations"]["readOnlyHint"], !changes);
    }
    // There is nothing but calls.
    assert_eq!(agent.ask("resources/list", &json!({})).await["error"]["code"], -32601);
    for method in [Method::GET, Method::DELETE] {
        let answer = server.request(method, PATH).header("accept", "text/event-stream").send().await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), "POST");
    }
}

async fn speaks_the_version_without_a_handshake(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let ask = |method: &str, mut params: Value, more: Value| {
        params["_meta"] = more;
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
        params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "t", "version": "1"});
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = server.request(Method::POST, PATH).header("accept", ACCEPT).json(&message);
        let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
        if name.is_empty() { request } else { request.header("mcp-name", &name) }
    };
    let (hello, _) = Stream::open(ask("server/discover", json!({}), json!({}))).await.finish().await;
    assert!(
        hello["result"]["supportedVersions"].as_array().is_some_and(|v| v.contains(&json!("2026-07-28")))
    );
    let arguments = json!({"schema": "ti:sample", "type": "flag-content", "wait_seconds": 3600});
    let asked = json!({"name": "request_decision", "arguments": arguments});
    let mut stream = Stream::open(ask("tools/call", asked, json!({"progressToken": "p"}))).await;
    let progress = stream.next().await.expect("at once");
    assert_eq!(
        (&progress["method"], &progress["params"]["progressToken"]),
        (&json!("notifications/progress"), &json!("p"))
    );
    let tasks = server.get("/api/v1/tasks").await.ok(200);
    server.decide(&tasks["tasks"][0], "allow").send().await.ok(200);
    let (answer, _) = stream.finish().await;
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(agent.outcome("request_decision", &answer)["state"], "allow");
}

async fn tells_what_can_be_asked(engine: Engine) {
    let server = Server::start(engine).await;
    let all = agent(&server).await.call("list_task_types", &json!({})).await;
    assert_eq!(column(&all["types"], "schema"), ["shop", "shop", "ti:sample", "ti:sample"]);
    assert_eq!(column(&all["types"], "type"), ["refund", "note", "delete-acct", "flag-content"]);
    let refund = &all["types"][0];
    assert_eq!((&refund["title"], &refund["description"]), (&json!("Refund"), &json!("Money goes back")));
    assert_eq!(refund["input"]["required"], json!(["order"]));
    assert_eq!(refund["output"]["paid"]["required"], json!(["amount"]));
    assert_eq!(
        refund["states"],
        json!({"initial": "asked", "pending": ["asked", "checked"], "resolved": ["paid", "refused"]})
    );
    assert_eq!(refund["reason_required"], json!(["refused"]));
    let tenant = Agent::new(&server, server.key(Some(&["ti:sample"]), &[Permission::TasksWrite]).await).await;
    let own = tenant.call("list_task_types", &json!({"schema": null})).await;
    assert_eq!(column(&own["types"], "schema"), ["ti:sample", "ti:sample"]);
    let (said, _) = tenant.refused("list_task_types", &json!({"schema": "shop"})).await;
    assert!(said.contains("no schema \"shop\"; there is ti:sample"), "{said}");
    // What is installed shows at once.
    let newer = crate::server::SHOP.replace("'1.2'", "'1.3'").replace("- name: note", "- name: remark");
    let force = server.request(Method::POST, "/api/v1/schemas?force=true").text("application/yaml", newer);
    force.send().await.ok(201);
    let shop = agent(&server).await.call("list_task_types", &json!({"schema": "shop"})).await;
    assert_eq!(column(&shop["types"], "type"), ["refund", "remark"]);
    assert_eq!(column(&shop["types"], "semver"), ["1.3", "1.3"]);
}

async fn every_decision_is_an_outcome(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    assert_eq!(
        (&asked["status"], &asked["state"], &asked["is_new"]),
        (&json!("pending"), &json!("asked"), &json!(true))
    );
    assert_eq!(asked["meta"], json!({"order": "17"}));
    assert!(asked["next"].as_str().is_some_and(|next| next.contains("wait_for_decision")));
    let task = json!({"id": asked["task_id"]});
    let id = json!({"task_id": asked["task_id"]});
    assert_eq!(agent.call("get_task", &id).await["status"], "pending");
    let paid = json!({"state": "paid", "output": {"amount": 5.5}, "on_behalf_of": "Kim"});
    server.decide_with(&task, &paid).send().await.ok(200);
    let told = agent.call("wait_for_decision", &id).await;
    assert_eq!((&told["status"], &told["state"]), (&json!("decided"), &json!("paid")));
    assert_eq!(
        (&told["output"], &told["reason"], &told["next"]),
        (&json!({"amount": 5.5}), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&told["decided_by"]["kind"], &told["decided_by"]["on_behalf_of"]),
        (&json!("key"), &json!("Kim"))
    );
    assert!(told["decided_at"].is_string());
    // To refuse is as good an outcome as any, and so is what was said about it.
    let other = agent.call("request_decision", &refund("18")).await;
    let refused = json!({"state": "refused", "reason": "they kept it"});
    server.decide_with(&json!({"id": other["task_id"]}), &refused).send().await.ok(200);
    let id = json!({"task_id": other["task_id"]});
    let (answer, _) = agent.open("get_task", &id).await.finish().await;
    let told = agent.outcome("get_task", &answer);
    assert_eq!(
        (&told["state"], &told["reason"], &told["output"]),
        (&json!("refused"), &json!("they kept it"), &Value::Null)
    );
    let words = answer["result"]["content"][0]["text"].as_str().expect("a text");
    assert!(words.contains("is decided: refused.\nReason: they kept it\nBy: test"), "{words}");
}

async fn what_is_wrong_is_pointed_at(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let ask = |meta: Value| json!({"schema": "shop", "type": "refund", "meta": meta});
    let (said, document) = agent.refused("request_decision", &ask(json!({"order": "x", "amount": -1}))).await;
    let mut found = pointers(&document);
    found.sort_unstable();
    assert_eq!(found, ["/meta/amount", "/meta/order"]);
    assert!(said.contains("- /meta/amount: ") && said.contains("list_task_types"), "{said}");
    let (said, document) =
        agent.refused("request_decision", &json!({"schema": "shop", "type": "refund"})).await;
    assert_eq!(pointers(&document), ["/meta"], "{said}");
    for (arguments, pointer) in [
        (json!({"schema": "shop", "type": "refund", "mata": {}}), ""),
        (json!({"schema": "shop"}), ""),
        (json!({"schema": "shop", "type": "refund", "meta": "order 17"}), "/meta"),
        (json!({"schema": "shop", "type": "refund", "wait_seconds": 3601}), "/wait_seconds"),
        (json!({"schema": "shop", "type": "refund", "wait_seconds": 0.5}), "/wait_seconds"),
        (json!({"schema": "shop", "type": "refund", "meta": {"order": "1"}, "state": "paid"}), "/state"),
    ] {
        let (said, document) = agent.refused("request_decision", &arguments).await;
        assert!(pointers(&document).contains(&pointer), "{arguments}: {said}");
    }
    let (said, _) = agent.refused("request_decision", &json!({"schema": "shop", "type": "x"})).await;
    assert!(said.contains("it has refund, note"), "{said}");
    // The number would be another one for the person.
    let text = call_of("request_decision", &ask(json!({"order": "1", "amount": 0}))).to_string();
    let text = text.replace("\"amount\":0", "\"amount\":12345678901234567890123");
    let large = server.request(Method::POST, PATH).header("accept", ACCEPT).text("application/json", text);
    let (answer, _) = Stream::open(large).await.finish().await;
    let (said, _) = client::refusal(&answer);
    assert!(said.contains("RFC 7493"), "{said}");
    let (said, document) = agent.refused("get_task", &json!({"task_id": "17"})).await;
    assert_eq!(pointers(&document), ["/task_id"], "{said}");
    let (said, _) =
        agent.refused("wait_for_decision", &json!({"task_id": "0190a0a0-0000-7000-8000-000000000000"})).await;
    assert!(said.contains("there is no task"), "{said}");
    let unknown = agent.ask("tools/call", &json!({"name": "decide", "arguments": {}})).await;
    assert_eq!(unknown["error"]["code"], -32602);
    assert!(unknown["error"]["message"].as_str().is_some_and(|said| said.contains("request_decision")));
    assert_eq!(server.get("/api/v1/tasks").await.ok(200)["tasks"], json!([]), "none was posted");
}

async fn asking_twice_makes_one_task(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let with = |name: &str, value: &str, order: &str| {
        let mut asked = refund(order);
        asked[name] = value.into();
        asked
    };
    for name in ["external_id", "idempotency_key"] {
        let first = agent.call("request_decision", &with(name, "run-1", "17")).await;
        server.decide(&json!({"id": first["task_id"]}), "checked").send().await.ok(200);
        // It is the question that counts, and not how it is written or how long is waited; what comes back is the task
        // as it stands.
        let mut again = with(name, "run-1", "17");
        again["wait_seconds"] = 0.into();
        again["state"] = Value::Null;
        let second = agent.call("request_decision", &again).await;
        assert_eq!(second["task_id"], first["task_id"], "{name}");
        assert_eq!(second["state"], "checked", "{name}");
        let (said, _) = agent.refused("request_decision", &with(name, "run-1", "18")).await;
        assert!(said.starts_with("Not done: "), "{name}: {said}");
    }
    let second = agent.call("request_decision", &with("external_id", "run-1", "17")).await;
    assert_eq!(second["is_new"], false);
    // And so may whoever stands between: the header is of each request, whatever it holds.
    let keyed = |arguments: &Value| {
        let request = agent.request(&call_of("request_decision", arguments));
        Stream::open(request.header("idempotency-key", "between"))
    };
    let (first, _) = keyed(&refund("20")).await.finish().await;
    let mut longer = refund("20");
    longer["wait_seconds"] = 1.into();
    let (second, _) = keyed(&longer).await.finish().await;
    let id = |answer: &Value| agent.outcome("request_decision", answer)["task_id"].clone();
    assert_eq!(id(&first), id(&second));
    // Without any of these, it is another question.
    let plain = agent.call("request_decision", &refund("20")).await;
    assert_ne!(plain["task_id"], id(&first));
    assert_eq!(server.get("/api/v1/tasks").await.ok(200)["tasks"].as_array().map(Vec::len), Some(4));
}

async fn what_is_not_needed_any_more_is_withdrawn(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let cancel = json!({"task_id": asked["task_id"], "reason": "found it"});
    for _ in 0..2 {
        let told = agent.call("cancel_request", &cancel).await;
        assert_eq!((&told["status"], &told["reason"]), (&json!("cancelled"), &json!("found it")));
    }
    let told = agent.call("wait_for_decision", &json!({"task_id": asked["task_id"]})).await;
    assert_eq!((&told["status"], &told["reason"]), (&json!("cancelled"), &json!("found it")));
    // Who was too late is told what was decided.
    let asked = agent.call("request_decision", &refund("18")).await;
    server
        .decide_with(&json!({"id": asked["task_id"]}), &json!({"state": "paid", "output": {"amount": 1}}))
        .send()
        .await
        .ok(200);
    let (answer, _) =
        agent.open("cancel_request", &json!({"task_id": asked["task_id"]})).await.finish().await;
    let told = agent.outcome("cancel_request", &answer);
    assert_eq!((&told["status"], &told["output"]), (&json!("decided"), &json!({"amount": 1})));
    assert!(
        answer["result"]["content"][0]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("It was too late"))
    );
}

async fn a_key_does_what_it_may(engine: Engine) {
    let server = Server::start(engine).await;
    let blind = Agent::new(&server, server.key(None, &[Permission::TasksWrite]).await).await;
    let asked = blind.call("request_decision", &refund("17")).await;
    assert!(asked["next"].as_str().is_some_and(|next| next.contains("may not read")), "{asked}");
    let id = json!({"task_id": asked["task_id"]});
    for tool in ["get_task", "wait_for_decision"] {
        let (said, _) = blind.refused(tool, &id).await;
        assert!(said.contains("tasks:read"), "{said}");
    }
    let mut waits = refund("18");
    waits["wait_seconds"] = 1.into();
    let (said, _) = blind.refused("request_decision", &waits).await;
    assert!(said.contains("tasks:read"), "{said}");
    let reader = Agent::new(&server, server.key(None, &[Permission::TasksRead]).await).await;
    assert_eq!(reader.call("get_task", &id).await["status"], "pending");
    for (tool, arguments) in [("request_decision", &refund("18")), ("cancel_request", &id)] {
        let (said, _) = reader.refused(tool, arguments).await;
        assert!(said.contains("tasks:write"), "{said}");
    }
    let tenant = Agent::new(&server, server.key(Some(&["ti:sample"]), &Permission::DEFAULT).await).await;
    for tool in ["get_task", "wait_for_decision", "cancel_request"] {
        let (said, _) = tenant.refused(tool, &id).await;
        assert!(said.contains("there is no task"), "{said}");
    }
    let keys = Agent::new(&server, server.key(None, &[Permission::KeysWrite]).await).await;
    let (said, _) = keys.refused("list_task_types", &json!({})).await;
    assert!(said.contains("tasks:read"), "{said}");
    assert_eq!(blind.call("cancel_request", &id).await["status"], "cancelled");
    assert_eq!(server.get("/api/v1/tasks").await.ok(200)["tasks"].as_array().map(Vec::len), Some(1));
}

async fn maintenance_keeps_from_asking_alone(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let begin = json!({"message": "Back at noon.", "retry_after": "90s"});
    server.request(Method::PUT, "/api/v1/maintenance").json(&begin).send().await.ok(200);
    let (said, document) = agent.refused("request_decision", &refund("18")).await;
    assert!(said.contains("Back at noon.") && said.contains("90 s"), "{said}");
    assert_eq!(document["retry_after_seconds"], 90);
    let id = json!({"task_id": asked["task_id"]});
    agent.refused("cancel_request", &id).await;
    let wait = json!({"task_id": asked["task_id"], "wait_seconds": 0});
    assert_eq!(agent.call("wait_for_decision", &wait).await["status"], "pending");
    assert_eq!(agent.call("get_task", &id).await["status"], "pending");
}
