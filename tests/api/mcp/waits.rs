//! Agents that wait: what they are shown, and what ends it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use task_inbox::app::keys::{self, NewKey};
use task_inbox::app::{Permission, Principal};
use task_inbox::store::Engine;

use super::client::{Agent, Stream, refusal};
use super::{agent, refund};
use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(
    a_decision_ends_the_wait,
    who_waits_is_shown_that_it_goes_on,
    what_stays_open_is_pending,
    a_client_that_goes_ends_its_wait_and_nothing_else,
    a_key_that_ends_ends_its_waits,
    a_server_that_stops_tells_to_call_again,
    another_server_knows_the_decision,
    a_database_that_is_away_is_outlived,
);

/// Longer than any of these tests takes.
const LONG: u64 = 3600;
const SOON: Duration = Duration::from_secs(20);

/// Until so many wait.
async fn listened(server: &Server, count: usize) {
    let begun = Instant::now();
    while server.app.tail.listeners() != count {
        assert!(begun.elapsed() < SOON, "{} listen", server.app.tail.listeners());
        tokio::task::yield_now().await;
    }
}

fn wait_for(task: &Value, seconds: u64) -> Value {
    json!({"task_id": task["task_id"], "wait_seconds": seconds})
}

async fn decide(server: &Server, task: &Value) {
    let paid = json!({"state": "paid", "output": {"amount": 5}});
    server.decide_with(&json!({"id": task["task_id"]}), &paid).send().await.ok(200);
}

async fn a_decision_ends_the_wait(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let mut waits = refund("18");
    waits["wait_seconds"] = LONG.into();
    waits["external_id"] = "18".into();
    let arguments = wait_for(&asked, LONG);
    let (waited, posted, ()) = tokio::join!(
        agent.call("wait_for_decision", &arguments),
        agent.call("request_decision", &waits),
        async {
            listened(&server, 2).await;
            // Another step on the way ends nothing.
            server.decide(&json!({"id": asked["task_id"]}), "checked").send().await.ok(200);
            decide(&server, &asked).await;
            let other = server.get("/api/v1/tasks?external_id=18").await.ok(200)["tasks"][0]["id"].clone();
            decide(&server, &json!({"task_id": other})).await;
        }
    );
    for told in [waited, posted] {
        assert_eq!((&told["status"], &told["output"]), (&json!("decided"), &json!({"amount": 5})));
    }
    listened(&server, 0).await;
}

async fn who_waits_is_shown_that_it_goes_on(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let params = json!({"name": "wait_for_decision", "arguments": wait_for(&asked, LONG), "_meta": {"progressToken": 4}});
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let mut stream = Stream::open(agent.request(&message)).await;
    let mut last = -1.0;
    for _ in 0..2 {
        let told = stream.next().await.expect("it goes on");
        assert_eq!(
            (&told["method"], &told["params"]["progressToken"]),
            (&json!("notifications/progress"), &json!(4))
        );
        let progress = told["params"]["progress"].as_f64().expect("a number");
        assert!(progress > last, "{told}");
        last = progress;
        assert_eq!(told["params"]["total"].as_f64(), Some(LONG as f64));
        assert!(told["params"]["message"].as_str().is_some_and(|said| said.contains("waiting")));
    }
    decide(&server, &asked).await;
    let (answer, _) = stream.finish().await;
    assert_eq!(agent.outcome("wait_for_decision", &answer)["status"], "decided");
}

async fn what_stays_open_is_pending(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let begun = Instant::now();
    let (answer, before) = agent.open("wait_for_decision", &wait_for(&asked, 1)).await.finish().await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(before, [] as [Value; 0], "nobody asked for progress");
    let told = agent.outcome("wait_for_decision", &answer);
    assert_eq!((&told["status"], &told["state"]), (&json!("pending"), &json!("asked")));
    assert!(answer["result"].get("_meta").is_none_or(|meta| meta.get("task-inbox/stopping").is_none()));
}

async fn a_client_that_goes_ends_its_wait_and_nothing_else(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let stream = agent.open("wait_for_decision", &wait_for(&asked, LONG)).await;
    listened(&server, 1).await;
    drop(stream);
    listened(&server, 0).await;
    assert_eq!(agent.call("get_task", &json!({"task_id": asked["task_id"]})).await["status"], "pending");
}

async fn a_key_that_ends_ends_its_waits(engine: Engine) {
    let server = Server::start(engine).await;
    let created =
        server.new_key(NewKey { permissions: Some(Permission::DEFAULT.to_vec()), ..NewKey::default() }).await;
    let agent = Agent::new(&server, created.key.clone()).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let stream = agent.open("wait_for_decision", &wait_for(&asked, LONG)).await;
    listened(&server, 1).await;
    keys::revoke(&server.app, &Principal::cli(), created.info.id).await.expect("revoked");
    server.app.keys.refresh(&server.app.db).await.expect("read");
    let (answer, _) = stream.finish().await;
    let (said, _) = refusal(&answer);
    assert!(said.contains("revoked"), "{said}");
    listened(&server, 0).await;
}

async fn a_server_that_stops_tells_to_call_again(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    let mut waits = refund("18");
    waits["wait_seconds"] = LONG.into();
    let streams = [
        agent.open("wait_for_decision", &wait_for(&asked, LONG)).await,
        agent.open("request_decision", &waits).await,
    ];
    listened(&server, 2).await;
    server.begin_to_stop();
    for (stream, name) in streams.into_iter().zip(["wait_for_decision", "request_decision"]) {
        let (answer, _) = stream.finish().await;
        assert_eq!(answer["result"]["_meta"]["task-inbox/stopping"], true);
        let told = agent.outcome(name, &answer);
        assert_eq!(told["status"], "pending");
        assert!(told["next"].as_str().is_some_and(|next| next.contains("wait_for_decision")), "{told}");
    }
    let begun = Instant::now();
    server.restart().await;
    assert!(begun.elapsed() < SOON, "an open stream held up the end");
}

async fn another_server_knows_the_decision(engine: Engine) {
    let server = Server::start(engine).await;
    let (id, key) = {
        let key = server.key(None, &Permission::DEFAULT).await;
        let agent = Agent::new(&server, key.clone()).await;
        (agent.call("request_decision", &refund("17")).await["task_id"].clone(), key)
    };
    decide(&server, &json!({"task_id": id})).await;
    let server = server.restart().await;
    let agent = Agent::new(&server, key).await;
    let told = agent.call("wait_for_decision", &json!({"task_id": id})).await;
    assert_eq!((&told["status"], &told["state"]), (&json!("decided"), &json!("paid")));
}

async fn a_database_that_is_away_is_outlived(engine: Engine) {
    let server = Server::start(engine).await;
    let agent = agent(&server).await;
    let asked = agent.call("request_decision", &refund("17")).await;
    server.lose_database().await;
    // It is tried again until the time is over, and then said so.
    let (said, _) = agent.refused("wait_for_decision", &wait_for(&asked, 1)).await;
    assert!(said.contains("try again"), "{said}");
}
