//! Tenants: what a key of one schema may know of others, also of the one that bore its name before.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::{Permission, Principal, schemas};
use task_inbox::store::Engine;
use task_inbox::store::deliveries::Fate;

use crate::deliveries::{claim, settle};
use crate::on_both_engines;
use crate::server::{SHOP, Server, column};

on_both_engines!(
    who_asked_for_a_schema_hears_nothing_of_the_next_of_its_name,
    a_change_is_not_refused_because_of_a_schema_that_went,
    a_key_reads_nothing_of_who_bore_the_name_before,
    what_went_to_an_endpoint_that_is_gone_is_not_there,
    operators_of_a_schema_hear_of_its_endpoints_alone,
);

const ENDPOINTS: &str = "/api/v1/endpoints";

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn of(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", text(&endpoint["id"]))
}

/// Registers an endpoint for these schemas, or for all (null).
async fn register(server: &Server, schemas: Value, kinds: Value) -> Value {
    let url = "https://public.example/hooks/secret?a=1";
    let body = json!({"url": url, "schemas": schemas, "event_types": kinds});
    server.request(Method::POST, ENDPOINTS).json(&body).send().await.ok(201)
}

/// The types of the events that wait for an endpoint, oldest first.
async fn waiting(server: &Server, endpoint: &Value) -> Vec<String> {
    let path = format!("/api/v1/deliveries?status=pending&endpoint={}", text(&endpoint["id"]));
    let list = server.get(&path).await.ok(200)["deliveries"].clone();
    let mut kinds: Vec<_> = column(&list, "event_type").into_iter().map(str::to_owned).collect();
    kinds.reverse();
    kinds
}

async fn remove_shop(server: &Server) {
    server.request(Method::DELETE, "/api/v1/schemas/shop").send().await.ok(200);
}

async fn install_shop(server: &Server) {
    schemas::install(&server.app, &Principal::cli(), SHOP, false, false).await.expect("installs");
}

async fn with_key(server: &Server, key: &str, path: &str) -> Value {
    server.bare(Method::GET, path).header("api-key", key).send().await.ok(200)
}

async fn who_asked_for_a_schema_hears_nothing_of_the_next_of_its_name(engine: Engine) {
    let server = Server::start(engine).await;
    let one = register(&server, json!(["shop"]), Value::Null).await;
    let both = register(&server, json!(["shop", "ti:sample"]), Value::Null).await;
    let every = register(&server, Value::Null, Value::Null).await;
    // A name that is another's to LIKE alone.
    let like = SHOP.replace("name: shop", "name: s-op");
    schemas::install(&server.app, &Principal::cli(), &like, false, false).await.expect("installs");
    let near = register(&server, json!(["s-op"]), Value::Null).await;
    server.refund().await;
    remove_shop(&server).await;
    server.get(&of(&one)).await.problem(404);
    let deliveries = format!("/api/v1/deliveries?endpoint={}", text(&one["id"]));
    let ended = server.get(&deliveries).await.ok(200)["deliveries"].clone();
    assert_eq!(column(&ended, "reason"), ["schema_removed"], "nothing waits for it");
    assert_eq!(server.get(&of(&both)).await.ok(200)["schemas"], json!(["ti:sample"]));
    assert_eq!(server.get(&of(&every)).await.ok(200)["schemas"], Value::Null);
    assert_eq!(server.get(&of(&near)).await.ok(200)["schemas"], json!(["s-op"]));
    assert_eq!(waiting(&server, &both).await, ["schema.removed"], "for the last time");
    install_shop(&server).await;
    server.refund().await;
    assert_eq!(waiting(&server, &both).await, ["schema.removed"]);
    let heard = waiting(&server, &every).await;
    assert_eq!(heard[1..], ["schema.removed", "schema.version_created", "task.created"], "{heard:?}");

    // One that was registered while the schema went.
    remove_shop(&server).await;
    server
        .sql("UPDATE endpoints SET schemas = '[\"ti:sample\",\"shop\"]' WHERE schemas = '[\"ti:sample\"]'")
        .await;
    install_shop(&server).await;
    assert_eq!(server.get(&of(&both)).await.ok(200)["schemas"], json!(["ti:sample"]));
}

async fn a_change_is_not_refused_because_of_a_schema_that_went(engine: Engine) {
    let server = Server::start(engine).await;
    let made = register(&server, json!(["shop"]), Value::Null).await;
    server.sql("UPDATE endpoints SET schemas = '[\"gone\"]' WHERE origin = 'registered'").await;
    server.sql("UPDATE log_head SET registry = registry + 1").await;
    let change = async |body: Value| server.request(Method::PATCH, &of(&made)).json(&body).send().await;
    let changed = change(json!({"rate": "1/s"})).await.ok(200);
    assert_eq!((&changed["rate"], &changed["schemas"]), (&json!("1/s"), &json!(["gone"])));
    assert_eq!(change(json!({"schemas": ["gone"]})).await.pointers(), ["/schemas/0"]);
    assert_eq!(change(json!({"schemas": ["shop"]})).await.ok(200)["schemas"], json!(["shop"]));
}

async fn a_key_reads_nothing_of_who_bore_the_name_before(engine: Engine) {
    let server = Server::start(engine).await;
    let before = server.refund().await;
    server.flag(json!({})).await;
    remove_shop(&server).await;
    let one = server.key(Some(&["shop"]), &[Permission::TasksRead]).await;
    let both = server.key(Some(&["shop", "ti:sample"]), &[Permission::TasksRead]).await;
    let kinds = async |key: &str, query: &str| {
        let page = with_key(&server, key, &format!("/api/v1/events{query}")).await;
        column(&page["events"], "type").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&one, "").await, ["schema.removed"]);
    let of_both = ["schema.version_created", "task.created", "schema.removed"];
    assert_eq!(kinds(&both, "").await, of_both, "the first two of ti:sample");
    install_shop(&server).await;
    server.refund().await;
    let now = ["schema.version_created", "task.created"];
    assert_eq!(kinds(&one, "").await, now);
    assert_eq!(kinds(&both, "").await, [&now[..], &now[..]].concat());
    assert_eq!(kinds(&both, "?schema=shop").await, now);
    let of_before = format!("?task={}", text(&before["id"]));
    for key in [&one, &both] {
        assert!(kinds(key, &of_before).await.is_empty());
    }
    // The log keeps it, for who sees every schema.
    let all = server.key(None, &[Permission::TasksRead]).await;
    assert_eq!(kinds(&all, &of_before).await, ["task.created"]);
    assert_eq!(kinds(&all, "").await.len(), 7);
}

async fn what_went_to_an_endpoint_that_is_gone_is_not_there(engine: Engine) {
    let server = Server::start(engine).await;
    let every = register(&server, Value::Null, Value::Null).await;
    let own = register(&server, json!(["shop"]), Value::Null).await;
    server.refund().await;
    let leased = claim(&server, &every).await;
    settle(&server, &leased[0], 200, Fate::Delivered, false).await;
    server.refund().await;
    server.request(Method::DELETE, &of(&every)).send().await.ok(200);
    let key = server.key(Some(&["shop"]), &Permission::ALL).await;
    // As many as fit on a page, though there are others between them.
    let page = with_key(&server, &key, "/api/v1/deliveries?limit=2").await;
    assert_eq!(column(&page["deliveries"], "endpoint_id"), [text(&own["id"]); 2]);
    assert_eq!(page["next_cursor"], Value::Null);
    let all = server.get("/api/v1/deliveries?schema=shop").await.ok(200)["deliveries"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(4), "{all}");
    let gone = all.as_array().expect("a list").iter().filter(|d| d["endpoint_id"] == every["id"]);
    for delivery in gone {
        let path = format!("/api/v1/deliveries/{}", text(&delivery["id"]));
        server.get(&path).await.ok(200);
        server.bare(Method::GET, &path).header("api-key", &key).send().await.problem(404);
        let again = server.bare(Method::POST, &format!("{path}/resend")).header("api-key", &key);
        again.send().await.problem(404);
    }
}

async fn operators_of_a_schema_hear_of_its_endpoints_alone(engine: Engine) {
    let server = Server::start(engine).await;
    let (shop, two) = (json!(["shop"]), json!(["ti:sample", "shop"]));
    let alarms = json!(["endpoint.paused", "delivery.dead"]);
    let narrow = register(&server, shop.clone(), alarms.clone()).await;
    let wide = register(&server, two.clone(), alarms.clone()).await;
    let all = register(&server, Value::Null, alarms).await;
    let kinds = json!(["task.created"]);
    let own = register(&server, shop, kinds.clone()).await;
    let both = register(&server, two, kinds.clone()).await;
    let every = register(&server, Value::Null, kinds).await;
    server.refund().await;
    for endpoint in [&own, &both, &every] {
        let leased = claim(&server, endpoint).await;
        settle(&server, &leased[0], 500, Fate::Dead("exhausted"), false).await;
        server.request(Method::POST, &format!("{}/pause", of(endpoint))).send().await.ok(200);
    }
    for (listener, times) in [(&narrow, 1), (&wide, 2), (&all, 3)] {
        let expected = ["delivery.dead", "endpoint.paused"].repeat(times);
        assert_eq!(waiting(&server, listener).await, expected);
    }
    // And who reads the log sees of them what it sees of the endpoints.
    let read = async |key: &str, kind: &str| {
        with_key(&server, key, &format!("/api/v1/events?type={kind}")).await["events"].clone()
    };
    let one_key = server.key(Some(&["shop"]), &[Permission::TasksRead]).await;
    let two_key = server.key(Some(&["shop", "ti:sample"]), &[Permission::TasksRead]).await;
    let all_key = server.key(None, &[Permission::TasksRead]).await;
    let endpoints = [&own, &both, &every];
    for (key, times) in [(&one_key, 1), (&two_key, 2), (&all_key, 3)] {
        for kind in ["delivery.dead", "endpoint.paused"] {
            let events = read(key, kind).await;
            let events = events.as_array().expect("a list");
            assert_eq!(events.len(), times, "{kind}: {events:?}");
            for (event, endpoint) in events.iter().zip(endpoints) {
                let data = &event["data"];
                let about = [&data["endpoint"]["id"], &data["delivery"]["endpoint_id"]];
                assert!(about.contains(&&endpoint["id"]), "{event}");
            }
        }
    }
    let paused = read(&all_key, "endpoint.paused").await;
    assert_eq!(
        paused[0]["data"]["endpoint"]["url"], "https://public.example",
        "no path, which may be secret"
    );
    // Of one that is gone, nobody knows any more who knew of it.
    server.request(Method::DELETE, &of(&own)).send().await.ok(200);
    assert_eq!(read(&one_key, "delivery.dead").await, json!([]));
    assert_eq!(read(&all_key, "delivery.dead").await.as_array().map(Vec::len), Some(3));
}
