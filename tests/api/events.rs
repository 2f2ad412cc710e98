//! The events feed.

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::Permission;
use task_inbox::store::Engine;
use task_inbox_domain::cursor::LogCursor;

use crate::on_both_engines;
use crate::server::{Server, column, time};

on_both_engines!(
    tells_everything_in_order,
    filters_and_goes_on,
    begins_at_the_end,
    is_complete_while_others_write,
    refuses_odd_cursors,
    says_what_was_trimmed
);

async fn page(server: &Server, query: &str) -> Value {
    server.get(&format!("/api/v1/events{query}")).await.ok(200)
}

fn cursor(page: &Value) -> &str {
    page["next_cursor"].as_str().expect("always there")
}

async fn tells_everything_in_order(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({"url": "x"})).await;
    server.decide(&task, "block").send().await.ok(200);
    let all = page(&server, "").await;
    let kinds = column(&all["events"], "type");
    assert_eq!(
        kinds,
        ["schema.version_created", "schema.version_created", "task.created", "task.state_changed"]
    );
    let seqs: Vec<_> =
        all["events"].as_array().expect("events").iter().map(|e| e["data"]["seq"].clone()).collect();
    assert_eq!(seqs, [json!(1), json!(2), json!(3), json!(4)]);
    let changed = &all["events"][3];
    time(&changed["timestamp"]);
    assert_eq!(changed["data"]["task"]["id"], task["id"]);
    assert_eq!(changed["data"]["task"]["state"], "block");
    assert_eq!(changed["data"]["task"].get("allowed_transitions"), None);
    assert_eq!(changed["data"]["previous_state"], Value::Null);
    assert_eq!(changed["data"]["ttype"], "flag-content");
    assert_eq!(changed["data"]["actor"]["kind"], "key");
    // The end is a place to go on from.
    let end = cursor(&all);
    assert_eq!(changed["data"]["cursor"], end);
    let nothing = page(&server, &format!("?after={end}")).await;
    assert_eq!(nothing["events"], json!([]));
    assert_eq!(cursor(&nothing), end);
    server.decide(&task, "").send().await.ok(200);
    assert_eq!(page(&server, &format!("?after={end}")).await["events"][0]["data"]["seq"], 5);
    // History is the same events.
    let history =
        server.get(&format!("/api/v1/tasks/{}/history", task["id"].as_str().expect("an id"))).await.ok(200);
    let mine = page(&server, &format!("?task={}", task["id"].as_str().expect("an id"))).await;
    let ids: Vec<_> =
        mine["events"].as_array().expect("events").iter().map(|e| e["data"]["event_id"].clone()).collect();
    assert_eq!(column(&history["history"], "id"), ids);
}

async fn filters_and_goes_on(engine: Engine) {
    let server = Server::start(engine).await;
    let (flag, refund) = (server.flag(json!({})).await, server.refund().await);
    server.decide(&flag, "level1").send().await.ok(200);
    let count = async |query: &str| page(&server, query).await["events"].as_array().map(Vec::len);
    assert_eq!(count("?schema=shop").await, Some(2));
    assert_eq!(count("?ttype=flag-content").await, Some(2));
    assert_eq!(count("?type=task.state_changed").await, Some(1));
    assert_eq!(count(&format!("?task={}", refund["id"].as_str().expect("an id"))).await, Some(1));
    assert_eq!(count("?schema=shop&type=task.state_changed").await, Some(0));
    // The cursor moves past what the filter left out.
    let none = page(&server, "?schema=nowhere").await;
    assert_eq!(cursor(&none), cursor(&page(&server, "").await));
    // A page that is full ends at its last event.
    let first = page(&server, "?type=task.created&limit=1").await;
    assert_eq!(cursor(&first), first["events"][0]["data"]["cursor"]);
    let second = page(&server, &format!("?type=task.created&limit=1&after={}", cursor(&first))).await;
    assert_eq!(second["events"][0]["data"]["task"]["id"], refund["id"]);
    assert_eq!(count("?after=").await, Some(5));
}

async fn begins_at_the_end(engine: Engine) {
    let server = Server::start(engine).await;
    server.flag(json!({})).await;
    let end = page(&server, "?after=latest").await;
    assert_eq!(end["events"], json!([]), "what is there already is left out");
    assert_eq!(cursor(&end), cursor(&page(&server, "").await));
    let task = server.flag(json!({})).await;
    let next = page(&server, &format!("?after={}&schema=ti:sample", cursor(&end))).await;
    assert_eq!(next["events"][0]["data"]["task"]["id"], task["id"]);
    // Also where the log has been trimmed, and whoever has to ask for permission has to here.
    server.sql("UPDATE log_head SET floor_seq = 2").await;
    assert_eq!(cursor(&page(&server, "?after=latest&limit=1").await), cursor(&next));
    let key = server.key(None, &[Permission::TasksWrite]).await;
    server.bare(Method::GET, "/api/v1/events?after=latest").header("api-key", &key).send().await.problem(403);
    server.get("/api/v1/events?after=Latest").await.problem(400);
}

async fn is_complete_while_others_write(engine: Engine) {
    const POSTS: usize = 60;
    let server = Server::start(engine).await;
    let start = cursor(&page(&server, "").await).to_owned();
    let write = async {
        futures_util::future::join_all((0..POSTS).map(|n| server.flag(json!({"n": n})))).await;
    };
    let read = async {
        let (mut after, mut seen) = (start, Vec::new());
        while seen.len() < POSTS {
            let page = page(&server, &format!("?limit=7&after={after}")).await;
            seen.extend(
                page["events"]
                    .as_array()
                    .expect("events")
                    .iter()
                    .map(|e| e["data"]["seq"].as_i64().expect("a seq")),
            );
            cursor(&page).clone_into(&mut after);
        }
        seen
    };
    let ((), seen) = tokio::join!(write, read);
    let expected: Vec<_> = (3..3 + POSTS as i64).collect();
    assert_eq!(seen, expected);
}

async fn refuses_odd_cursors(engine: Engine) {
    let server = Server::start(engine).await;
    for query in
        ["after=x", "after=AgAAAAAAAAAAAAAAAAAAAAA", "type=task.gone", "task=1", "limit=0", "cursor=x"]
    {
        server.get(&format!("/api/v1/events?{query}")).await.problem(400);
    }
    // Ahead of the log: going on from there would pass over what comes next.
    let ahead = task_inbox_domain::cursor::LogCursor(1_000_000).encode();
    let problem = server.get(&format!("/api/v1/events?after={ahead}")).await.problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/after");
}

async fn says_what_was_trimmed(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    server.sql("UPDATE log_head SET floor_seq = 2").await;
    let problem = server.get("/api/v1/events").await.problem(410);
    assert_eq!(problem["type"], "/problems/gone");
    assert_eq!(problem["floor"], 2);
    let rest = page(&server, &format!("?after={}", problem["cursor"].as_str().expect("a cursor"))).await;
    assert_eq!(rest["events"][0]["data"]["task"]["id"], task["id"]);
    server.get(&format!("/api/v1/events?after={}", LogCursor(1).encode())).await.problem(410);
}
