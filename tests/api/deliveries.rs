//! Endpoints and deliveries, as people look at them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::webhook_keys::{self, NewWebhookKey};
use task_inbox::app::{Permission, Principal, schemas};
use task_inbox::store::Engine;
use task_inbox::store::deliveries::{self, Fate, Leased, Settled};
use task_inbox::store::registry::Held;
use task_inbox_domain::Timestamp;

use crate::on_both_engines;
use crate::server::{Server, column, time};

on_both_engines!(
    endpoints_tell_where_webhooks_go,
    endpoints_tell_why_deliveries_wait,
    a_delivery_is_followed_through_its_life,
    deliveries_come_in_pages_newest_first,
    filters_combine,
    another_tenants_are_not_there,
    odd_queries_are_refused,
);

const HOOKED: &str = "
name: hooked
semver: '1'
default_hook_url: https://hooked.example/all
hook_events: [task.created, task.state_changed]
tasktypes:
- name: plain
  pending_states: [waits]
  resolved_states: [done]
- name: own
  resolved_states: [done]
  hook_url: https://hooked.example/own
  hook_auth: {kind: head, val: x-key}
  hook_events: [task.state_changed]
";

const ENDPOINTS: &str = "/api/v1/endpoints";
const DELIVERIES: &str = "/api/v1/deliveries";

async fn start(engine: Engine) -> Server {
    let server = Server::start(engine).await;
    for source in [HOOKED, &HOOKED.replace("hooked\n", "another\n")] {
        schemas::install(&server.app, &Principal::cli(), source, false, false).await.expect("installs");
    }
    server
}

async fn key(server: &Server, schema: &str) {
    let new = NewWebhookKey { schema: schema.to_owned(), ..NewWebhookKey::default() };
    webhook_keys::create(&server.app, &Principal::cli(), new).await.expect("made");
}

async fn post(server: &Server, schema: &str, task: &str) -> Value {
    server.post(&json!({"schema_name": schema, "task": task})).await.ok(201)["task"].clone()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// Takes what is due at an endpoint, as a dispatcher does.
pub(crate) async fn claim(server: &Server, endpoint: &Value) -> Vec<Leased> {
    let id = text(&endpoint["id"]).parse().expect("an id");
    deliveries::claim(&server.app.db, id, 100, Duration::from_mins(1), &Held::default())
        .await
        .expect("claims")
}

pub(crate) async fn settle(server: &Server, leased: &Leased, status: u16, fate: Fate, disables: bool) {
    let attempt = Settled {
        id: leased.id,
        token: leased.token,
        endpoint: leased.endpoint,
        event_id: leased.event.id,
        kind: leased.event.kind,
        schema: leased.event.schema.clone(),
        task_id: leased.event.task_id,
        happened: leased.event.created,
        number: leased.attempts + 1,
        started: Timestamp::from_micros(1_700_000_000_000_000),
        duration: Duration::from_micros(7_600),
        outcome: if status == 200 { "delivered".into() } else { "status".into() },
        status: Some(status),
        error: (status != 200).then(|| format!("answered {status}")),
        response: b"caf\xc3\xa9 \xff".to_vec(),
        generation: 0,
        shown: task_inbox_domain::webhook::breaker::Shown::of(fate == Fate::Delivered),
        fate,
        disables,
        probe: leased.probe,
    };
    let registry = server.app.registry.current();
    let settled = deliveries::settle(&server.app.db, &registry, &[&attempt]).await.expect("settles");
    assert_eq!(settled.held.len(), 1);
}

async fn endpoints_tell_where_webhooks_go(engine: Engine) {
    let server = start(engine).await;
    let list = server.get(&format!("{ENDPOINTS}?schema=hooked")).await.ok(200)["endpoints"].clone();
    let expected = [
        ("schema", Value::Null, "hmac", Value::Null, json!(["task.created", "task.state_changed"])),
        ("type", json!("own"), "head", json!("x-key"), json!(["task.state_changed"])),
    ];
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    for (endpoint, (origin, ttype, kind, header, events)) in
        list.as_array().expect("a list").iter().zip(expected)
    {
        assert_eq!((text(&endpoint["origin"]), text(&endpoint["kind"])), (origin, kind));
        assert_eq!((&endpoint["type"], &endpoint["header"]), (&ttype, &header));
        assert_eq!(endpoint["event_types"], events);
        assert_eq!((text(&endpoint["format"]), text(&endpoint["status"])), ("full", "active"));
        assert_eq!((&endpoint["schemas"], &endpoint["states"]), (&json!(["hooked"]), &Value::Null));
        assert!(time(&endpoint["created"]) <= time(&endpoint["updated"]));
        let path = format!("{ENDPOINTS}/{}", text(&endpoint["id"]));
        assert_eq!(server.get(&path).await.ok(200), *endpoint);
    }
    let all = server.get(ENDPOINTS).await.ok(200);
    assert_eq!(column(&all["endpoints"], "schema"), ["another", "another", "hooked", "hooked", "ti:sample"]);
    // A version that names no endpoint any more.
    let none = "name: hooked\nsemver: '2'\ntasktypes:\n- {name: plain, resolved_states: [done]}\n";
    schemas::install(&server.app, &Principal::cli(), none, true, false).await.expect("installs");
    let removed = server.get(&format!("{ENDPOINTS}?schema=hooked&status=removed")).await.ok(200);
    assert_eq!(removed["endpoints"].as_array().map(Vec::len), Some(2));
    assert_eq!(removed["endpoints"][0]["event_types"], json!([]));
    assert_eq!(
        server.get(&format!("{ENDPOINTS}?schema=hooked&status=active")).await.ok(200)["endpoints"],
        json!([])
    );
    for nothing in ["0190a0a0-0000-7000-8000-000000000000", "x"] {
        server.get(&format!("{ENDPOINTS}/{nothing}")).await.problem(404);
    }
}

async fn endpoints_tell_why_deliveries_wait(engine: Engine) {
    let server = start(engine).await;
    let read =
        || async { server.get(&format!("{ENDPOINTS}?schema=hooked")).await.ok(200)["endpoints"][0].clone() };
    let state = |e: &Value| (e["held"].clone(), e["has_key"].clone(), e["waiting"].clone());
    assert_eq!(state(&read().await), (json!("no_key"), json!(false), json!(0)));
    post(&server, "hooked", "plain").await;
    post(&server, "hooked", "plain").await;
    assert_eq!(state(&read().await), (json!("no_key"), json!(false), json!(2)));
    let waiting = server.get(&format!("{DELIVERIES}?status=pending")).await.ok(200);
    assert_eq!(column(&waiting["deliveries"], "reason"), ["no_key", "no_key"]);
    key(&server, "hooked").await;
    let endpoint = read().await;
    assert_eq!(state(&endpoint), (Value::Null, json!(true), json!(2)));
    let pending = server.get(&format!("{DELIVERIES}?status=pending")).await.ok(200);
    assert_eq!(pending["deliveries"][0]["reason"], Value::Null);

    let leased = claim(&server, &endpoint).await;
    settle(&server, &leased[0], 410, Fate::Dead("gone"), true).await;
    server.app.registry.refresh(&server.app.db).await.expect("the watcher does this");
    let disabled = read().await;
    assert_eq!(state(&disabled), (json!("disabled"), json!(true), json!(1)));
    assert_eq!(text(&disabled["status"]), "disabled");
    assert!(disabled["status_reason"].as_str().is_some_and(|r| r.contains("410")), "{disabled}");
    deliveries::release(&server.app.db, &[(leased[1].id, leased[1].token)]).await.expect("given back");
    let waiting = server.get(&format!("{DELIVERIES}?status=pending")).await.ok(200);
    assert_eq!(column(&waiting["deliveries"], "reason"), ["disabled"]);
}

async fn a_delivery_is_followed_through_its_life(engine: Engine) {
    let server = start(engine).await;
    key(&server, "hooked").await;
    let task = post(&server, "hooked", "plain").await;
    server.decide(&task, "done").send().await.ok(200);
    let endpoint = server.get(&format!("{ENDPOINTS}?schema=hooked")).await.ok(200)["endpoints"][0].clone();
    let of_task = format!("{DELIVERIES}?task={}", text(&task["id"]));
    let read = || async { server.get(&of_task).await.ok(200)["deliveries"].clone() };
    let pending = read().await;
    let (second, first) = (&pending[0], &pending[1]);
    assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
    assert_eq!(
        (text(&first["event_type"]), text(&second["event_type"])),
        ("task.created", "task.state_changed")
    );
    assert_eq!(
        (text(&first["status"]), &first["reason"], &first["attempts"]),
        ("pending", &Value::Null, &json!(0))
    );
    assert_eq!((text(&second["status"]), text(&second["reason"])), ("pending", "waits_for_earlier"));
    assert_eq!((&first["url"], &first["schema"]), (&json!("https://hooked.example/all"), &json!("hooked")));
    assert_eq!((&first["endpoint_id"], &first["task_id"]), (&endpoint["id"], &task["id"]));
    assert!(second["seq"].as_i64() > first["seq"].as_i64());
    assert!(first["finished"].is_null());
    time(&first["due_at"]);

    let leased = claim(&server, &endpoint).await;
    assert_eq!(leased.len(), 1, "one after the other");
    assert_eq!(text(&read().await[1]["status"]), "sending");
    for (status, delivery) in [("sending", first), ("pending", second)] {
        let list = server.get(&format!("{of_task}&status={status}")).await.ok(200);
        assert_eq!(column(&list["deliveries"], "id"), [text(&delivery["id"])]);
    }
    settle(&server, &leased[0], 503, Fate::Retry(Duration::ZERO), false).await;
    let retried = read().await;
    assert_eq!((text(&retried[1]["status"]), &retried[1]["attempts"]), ("pending", &json!(1)));
    let leased = claim(&server, &endpoint).await;
    settle(&server, &leased[0], 200, Fate::Delivered, false).await;
    let leased = claim(&server, &endpoint).await;
    settle(&server, &leased[0], 500, Fate::Dead("exhausted"), false).await;

    let ended = read().await;
    assert_eq!((text(&ended[1]["status"]), &ended[1]["attempts"]), ("delivered", &json!(2)));
    assert_eq!((text(&ended[0]["status"]), text(&ended[0]["reason"])), ("dead", "exhausted"));
    assert!(ended[0]["due_at"].is_null() && time(&ended[0]["finished"]) >= time(&ended[0]["created"]));
    let path = format!("{DELIVERIES}/{}", text(&first["id"]));
    let whole = server.get(&path).await.ok(200);
    assert_eq!(whole["delivery"], ended[1]);
    let attempts = whole["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    let expected = json!({
        "number": 1, "started": "2023-11-14T22:13:20.000000Z", "duration_ms": 8, "outcome": "status", "status": 503,
        "error": "answered 503", "response": "café \u{fffd}",
    });
    assert_eq!(attempts[0], expected);
    assert_eq!((&attempts[1]["number"], text(&attempts[1]["outcome"])), (&json!(2), "delivered"));
    for nothing in ["0190a0a0-0000-7000-8000-000000000000", "x"] {
        server.get(&format!("{DELIVERIES}/{nothing}")).await.problem(404);
    }
    // Removing the schema leaves the list, without its addresses.
    post(&server, "hooked", "plain").await;
    server.request(Method::DELETE, "/api/v1/schemas/hooked").send().await.ok(200);
    let list = server.get(&format!("{DELIVERIES}?schema=hooked")).await.ok(200)["deliveries"].clone();
    assert_eq!((text(&list[0]["status"]), text(&list[0]["reason"])), ("dead", "schema_removed"));
    assert_eq!((&list[0]["url"], list.as_array().map(Vec::len)), (&Value::Null, Some(3)));
}

async fn deliveries_come_in_pages_newest_first(engine: Engine) {
    let server = start(engine).await;
    key(&server, "hooked").await;
    let endpoint = server.get(&format!("{ENDPOINTS}?schema=hooked")).await.ok(200)["endpoints"][0].clone();
    for i in 0..7 {
        post(&server, "hooked", "plain").await;
        // Live and ended ones by turns.
        if i % 2 == 0 {
            let leased = claim(&server, &endpoint).await;
            settle(&server, &leased[0], 200, Fate::Delivered, false).await;
        }
    }
    let all = server.get(DELIVERIES).await.ok(200);
    let seqs = |list: &Value| -> Vec<i64> {
        list["deliveries"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|d| d["seq"].as_i64().expect("a number"))
            .collect()
    };
    let every = seqs(&all);
    assert_eq!((every.len(), &all["next_cursor"]), (7, &Value::Null));
    assert!(every.is_sorted_by(|a, b| a > b), "{every:?}");
    let (mut found, mut cursor) = (Vec::new(), String::new());
    for expected in [3, 3, 1] {
        let page = server.get(&format!("{DELIVERIES}?limit=3&cursor={cursor}")).await.ok(200);
        assert_eq!(seqs(&page).len(), expected);
        found.extend(seqs(&page));
        cursor = page["next_cursor"].as_str().unwrap_or_default().to_owned();
        // What is made meanwhile is newer than every page to come.
        post(&server, "another", "plain").await;
    }
    assert_eq!((found, cursor.as_str()), (every, ""));
    let exactly = server.get(&format!("{DELIVERIES}?schema=hooked&limit=7")).await.ok(200);
    assert_eq!(exactly["next_cursor"], Value::Null, "no empty last page");
}

async fn filters_combine(engine: Engine) {
    let server = start(engine).await;
    key(&server, "hooked").await;
    let (task, other) = (post(&server, "hooked", "plain").await, post(&server, "another", "plain").await);
    let own = post(&server, "hooked", "own").await;
    server.decide(&own, "done").send().await.ok(200);
    let endpoints = server.get(ENDPOINTS).await.ok(200)["endpoints"].clone();
    let leased = claim(&server, &endpoints[2]).await;
    settle(&server, &leased[0], 200, Fate::Delivered, false).await;
    let all = server.get(DELIVERIES).await.ok(200)["deliveries"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    let of = |task: &Value| {
        let found = all.as_array().expect("a list").iter().find(|d| d["task_id"] == task["id"]);
        found.expect("is there").clone()
    };
    let (delivered, waits, owns) = (of(&task), of(&other), of(&own));
    let event = text(&owns["event_id"]);
    let cases = [
        ("?schema=hooked".to_owned(), vec![&owns, &delivered]),
        ("?schema=another".to_owned(), vec![&waits]),
        ("?schema=nowhere".to_owned(), vec![]),
        (format!("?endpoint={}", text(&endpoints[3]["id"])), vec![&owns]),
        (format!("?task={}", text(&task["id"])), vec![&delivered]),
        (format!("?task={}&status=pending", text(&task["id"])), vec![]),
        (format!("?event={event}"), vec![&owns]),
        (format!("?event={}", event.trim_start_matches("evt_")), vec![&owns]),
        (format!("?event={}", text(&delivered["event_id"])), vec![&delivered]),
        ("?status=delivered".to_owned(), vec![&delivered]),
        ("?status=pending".to_owned(), vec![&owns, &waits]),
        ("?status=pending&schema=hooked".to_owned(), vec![&owns]),
        ("?status=sending".to_owned(), vec![]),
        ("?status=dead".to_owned(), vec![]),
        ("?status=cancelled".to_owned(), vec![]),
        ("?status=resent".to_owned(), vec![]),
        ("?cursor=".to_owned(), vec![&owns, &waits, &delivered]),
    ];
    for (query, expected) in cases {
        let found = server.get(&format!("{DELIVERIES}{query}")).await.ok(200);
        let expected: Vec<_> = expected.iter().map(|d| text(&d["id"])).collect();
        assert_eq!(column(&found["deliveries"], "id"), expected, "{query}");
    }
}

async fn another_tenants_are_not_there(engine: Engine) {
    let server = start(engine).await;
    post(&server, "hooked", "plain").await;
    let hidden_task = post(&server, "another", "plain").await;
    let key = server.key(Some(&["hooked"]), &[Permission::EndpointsRead]).await;
    let ask = |path: String| server.bare(Method::GET, &path).header("api-key", &key).send();
    let endpoints = ask(ENDPOINTS.to_owned()).await.ok(200);
    assert_eq!(column(&endpoints["endpoints"], "schema"), ["hooked", "hooked"]);
    let deliveries = ask(DELIVERIES.to_owned()).await.ok(200);
    assert_eq!(column(&deliveries["deliveries"], "schema"), ["hooked"]);
    for (list, items) in [(ENDPOINTS, "endpoints"), (DELIVERIES, "deliveries")] {
        assert_eq!(ask(format!("{list}?schema=another")).await.ok(200)[items], json!([]));
        let hidden = server.get(&format!("{list}?schema=another")).await.ok(200)[items][0]["id"].clone();
        ask(format!("{list}/{}", text(&hidden))).await.problem(404);
    }
    let of_task = ask(format!("{DELIVERIES}?task={}", text(&hidden_task["id"]))).await.ok(200);
    assert_eq!(of_task["deliveries"], json!([]));
}

async fn odd_queries_are_refused(engine: Engine) {
    let server = start(engine).await;
    for query in [
        "?status=lost",
        "?status=",
        "?endpoint=x",
        "?task=1",
        "?event=evt_",
        "?event=msg_0190a0a0-0000-7000-8000-000000000000",
        "?limit=0",
        "?limit=501",
        "?cursor=x",
        "?cursor=AgAAAAAAAAAAAAAAAAAAAAA",
        "?url=x",
        "?schema=a&schema=b",
    ] {
        server.get(&format!("{DELIVERIES}{query}")).await.problem(400);
    }
    for query in ["?status=pending", "?status=", "?type=own", "?schema=", "?origin=me"] {
        server.get(&format!("{ENDPOINTS}{query}")).await.problem(400);
    }
    server.request(Method::POST, DELIVERIES).json(&json!({})).send().await.problem(405);
}
