//! Lists of tasks: filters and pages.

use std::collections::HashSet;

use serde_json::{Value, json};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::{Server, column};

on_both_engines!(
    filters_combine,
    pages_follow_each_other,
    pages_stay_whole_while_tasks_are_posted,
    large_items_make_short_pages,
    refuses_odd_queries
);

async fn ids(server: &Server, query: &str) -> Vec<String> {
    let list = server.get(&format!("/api/v1/tasks{query}")).await.ok(200);
    column(&list["tasks"], "id").into_iter().map(str::to_owned).collect()
}

fn id(task: &Value) -> String {
    task["id"].as_str().expect("an id").to_owned()
}

async fn filters_combine(engine: Engine) {
    let server = Server::start(engine).await;
    let (flag, refund) = (server.flag(json!({})).await, server.refund().await);
    let note =
        server.post(&json!({"schema_name": "shop", "task": "note", "external_id": "n/1"})).await.ok(201);
    let note = &note["task"];
    let other = server.flag(json!({})).await;
    server.decide(&flag, "block").send().await.ok(200);
    server.decide(&other, "level1").send().await.ok(200);
    let cases: &[(&str, &[&Value])] = &[
        ("", &[&flag, &refund, note, &other]),
        ("?resolved=all", &[&flag, &refund, note, &other]),
        ("?resolved=un", &[&refund, note, &other]),
        ("?schema=shop", &[&refund, note]),
        ("?schema=ti:sample&resolved=un", &[&other]),
        ("?ttype=flag-content", &[&flag, &other]),
        ("?schema=shop&ttype=flag-content", &[]),
        ("?state=", &[note]),
        ("?state=asked", &[&refund]),
        ("?phase=resolved", &[&flag]),
        ("?phase=expired", &[]),
        ("?external_id=n%2F1", &[note]),
        ("?external_id=n", &[]),
        ("?schema=nowhere", &[]),
        ("?assignee=0190a0a0-0000-7000-8000-000000000000", &[]),
        ("?cursor=", &[&flag, &refund, note, &other]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&server, query).await, expected.iter().map(|t| id(t)).collect::<Vec<_>>(), "{query}");
    }
    let list = server.get("/api/v1/tasks?schema=shop").await.ok(200);
    let types = list["types"].as_object().expect("types");
    assert_eq!(types.len(), 2);
    let ttype = &types[refund["ttype_id"].as_str().expect("a type")];
    assert_eq!(ttype["title"], "Refund");
    assert_eq!(ttype["semver"], "1.2");
    assert_eq!(ttype["initial_state"], "asked");
    assert_eq!(ttype["reason_required"], json!(["refused"]));
    assert_eq!(ttype["input"]["required"], json!(["order"]));
    assert_eq!(ttype["output"]["paid"]["required"], json!(["amount"]));
}

async fn pages_follow_each_other(engine: Engine) {
    let server = Server::start(engine).await;
    let mut posted = Vec::new();
    for n in 0..7 {
        posted.push(id(&server.flag(json!({"n": n})).await));
        server.refund().await;
    }
    let mut seen = Vec::new();
    let mut query = "?schema=ti:sample&limit=3".to_owned();
    for page in 0.. {
        let list = server.get(&format!("/api/v1/tasks{query}")).await.ok(200);
        seen.extend(column(&list["tasks"], "id").into_iter().map(str::to_owned));
        let Some(cursor) = list["next_cursor"].as_str() else {
            assert_eq!(page, 2);
            break;
        };
        query = format!("?schema=ti:sample&limit=3&cursor={cursor}");
    }
    assert_eq!(seen, posted);
    // A last page that is just full has no next one.
    let list = server.get("/api/v1/tasks?schema=ti:sample&limit=7").await.ok(200);
    assert_eq!(list["next_cursor"], Value::Null);
}

async fn pages_stay_whole_while_tasks_are_posted(engine: Engine) {
    let server = Server::start(engine).await;
    let mut before = HashSet::new();
    for n in 0..20 {
        before.insert(id(&server.flag(json!({"n": n})).await));
    }
    let mut seen = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let written = server.flag(json!({})).await;
        let decided = json!({"id": before.iter().next()});
        let path = format!("/api/v1/tasks{query}");
        let (list, _, _) = tokio::join!(
            server.get(&path),
            server.decide(&written, "allow").send(),
            server.decide(&decided, "level1").send(),
        );
        let list = list.ok(200);
        seen.extend(column(&list["tasks"], "id").into_iter().map(str::to_owned));
        // The reader is faster than the writer: it ends.
        let Some(cursor) = list["next_cursor"].as_str() else { break };
        query = format!("?limit=3&cursor={cursor}");
    }
    let unique: HashSet<_> = seen.iter().cloned().collect();
    assert_eq!(unique.len(), seen.len(), "a task came twice");
    assert!(before.is_subset(&unique), "a task was left out");
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(seen, sorted);
}

async fn large_items_make_short_pages(engine: Engine) {
    let server = Server::start(engine).await;
    let text = "x".repeat(200_000);
    let mut posted = Vec::new();
    for _ in 0..30 {
        let task = server.flag(json!({"title": "large", "content": text})).await;
        posted.push(task["id"].as_str().expect("an id").to_owned());
    }
    for (list, field) in [("tasks", "tasks"), ("events", "events")] {
        let (mut query, mut found, mut pages) = (String::new(), Vec::new(), 0);
        while found.len() < posted.len() {
            let answer = server.get(&format!("/api/v1/{list}?limit=100{query}")).await;
            let page = answer.ok(200);
            assert!(answer.bytes.len() < 6_000_000, "{} bytes", answer.bytes.len());
            let items = page[field].as_array().expect("a list");
            assert!(!items.is_empty(), "{list}: a page that is not the last has something");
            let id = |item: &Value| match list {
                "tasks" => item["id"].as_str().map(str::to_owned),
                _ => item["data"]["task"]["id"].as_str().map(str::to_owned),
            };
            found.extend(items.iter().filter_map(id));
            pages += 1;
            let parameter = if list == "tasks" { "cursor" } else { "after" };
            query = format!("&{parameter}={}", page["next_cursor"].as_str().unwrap_or_default());
        }
        assert_eq!(found, posted, "{list}");
        assert!(pages > 1, "{list}");
    }
}

async fn refuses_odd_queries(engine: Engine) {
    let server = Server::start(engine).await;
    for query in [
        "resolved=yes",
        "resolved=",
        "phase=gone",
        "assignee=me",
        "limit=0",
        "limit=501",
        "limit=ten",
        "cursor=x",
        "cursor=AQAAAAAAAAAA",
        "schema=",
        "schema=%00",
        "schema=%FF",
        "state=a&state=b",
        "colour=red",
        "ttype=a%00b",
    ] {
        let problem = server.get(&format!("/api/v1/tasks?{query}")).await.problem(400);
        assert_eq!(problem["instance"], "/api/v1/tasks");
        let name = query.split('=').next().expect("a name");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains(name)), "{query}: {problem}");
    }
    let unknown = server.get("/api/v1/tasks?colour=red").await.problem(400);
    assert!(unknown["detail"].as_str().is_some_and(|d| d.contains("external_id")), "{unknown}");
}
