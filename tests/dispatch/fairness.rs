//! Who waits for whom: one task's events for each other, nobody for a failing endpoint.

use std::collections::HashMap;

use task_inbox::store::Engine;
use uuid::Uuid;

use crate::fixture::{Fixture, SETTINGS};
use crate::on_both_engines;
use crate::receiver::{Answer, Received, Receiver};

on_both_engines!(
    a_tasks_events_come_in_order,
    what_waits_for_one_hides_no_other,
    a_hanging_endpoint_delays_no_other,
    several_that_hang_leave_a_place,
    no_endpoint_gets_more_than_its_share,
    two_processes_share_the_work_in_order,
);

async fn a_tasks_events_come_in_order(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500), Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created, task.state_changed]").await;
    f.key("s").await;
    let id = f.post("s").await;
    for state in ["p", "q", "done"] {
        f.decide(id, Some(state)).await;
    }
    assert_eq!(receiver.next().await.json()["type"], "task.created");
    f.until("SELECT count(*) FROM attempts", 1).await;
    assert!(receiver.try_next().is_none(), "the others wait for it");
    f.hurry().await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(receiver.next().await.json()["data"]["task"]["version"].as_i64().expect("a number"));
    }
    assert_eq!(seen, [1, 2, 3, 4]);
}

async fn what_waits_for_one_hides_no_other(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500), Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created, task.state_changed]").await;
    // Without a key nothing is sent yet.
    let busy = f.post("s").await;
    for time in 0..1100 {
        f.decide(busy, Some(["p", "q"][time % 2])).await;
    }
    let other = f.post("s").await;
    f.key("s").await;
    let task = |received: Received| received.json()["data"]["task"]["id"].as_str().map(str::to_owned);
    assert_eq!(task(receiver.next().await), Some(busy.to_string()));
    assert_eq!(task(receiver.next().await), Some(other.to_string()), "long before the first is tried again");
}

async fn a_hanging_endpoint_delays_no_other(engine: Engine) {
    let f = Fixture::new(engine).await;
    let hanging = Receiver::start([Answer::Hang]).await;
    let mut healthy = Receiver::start([Answer::Status(200)]).await;
    f.install("bad", &hanging.url, "hook_events: [task.created]").await;
    f.install("good", &healthy.url, "hook_events: [task.created]").await;
    f.key("bad").await;
    f.key("good").await;
    // Many times more than there are places.
    for _ in 0..100 {
        f.post("bad").await;
    }
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        f.post("good").await;
    }
    for _ in 0..20 {
        healthy.next().await;
    }
    // All of the other's would take 100 / 4 deadlines.
    assert!(begun.elapsed() < SETTINGS.deadline * 12, "{:?}", begun.elapsed());
    assert!(f.count("SELECT count(*) FROM deliveries").await >= 50, "the other's wait");
}

async fn several_that_hang_leave_a_place(engine: Engine) {
    let f = Fixture::new(engine).await;
    let hanging = Receiver::start([Answer::Hang]).await;
    let mut healthy = Receiver::start([Answer::Status(200)]).await;
    // As many as would fill every place, were each to take its cap.
    let names: Vec<_> =
        (0..SETTINGS.concurrency / SETTINGS.per_endpoint).map(|i| format!("bad{i}")).collect();
    for name in &names {
        f.install(name, &hanging.url, "hook_events: [task.created]").await;
        f.key(name).await;
    }
    f.install("good", &healthy.url, "hook_events: [task.created]").await;
    f.key("good").await;
    let all = names.iter().flat_map(|name| std::iter::repeat_n(name, SETTINGS.per_endpoint));
    futures_util::future::join_all(all.map(|name| f.post(name))).await;
    f.post("good").await;
    healthy.next().await;
    let given_up = f.count("SELECT count(*) FROM attempts WHERE outcome = 'timeout'").await;
    assert_eq!(given_up, 0, "it waited for none of them to end");
}

async fn no_endpoint_gets_more_than_its_share(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut hanging = Receiver::start([Answer::Hang]).await;
    f.install("s", &hanging.url, "hook_events: [task.created]").await;
    f.key("s").await;
    for _ in 0..20 {
        f.post("s").await;
    }
    for _ in 0..SETTINGS.per_endpoint {
        hanging.next().await;
    }
    let leased = f.count("SELECT count(*) FROM deliveries WHERE lease_token IS NOT NULL").await;
    let most = SETTINGS.per_endpoint + SETTINGS.line;
    assert!(leased <= most as i64, "{leased}");
    // And when those are over, the next have their turn.
    hanging.answer(Answer::Status(200));
    f.until("SELECT count(*) FROM finished_deliveries", 20 - SETTINGS.per_endpoint as i64).await;
}

async fn two_processes_share_the_work_in_order(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created, task.state_changed]").await;
    let mut ids = Vec::new();
    for _ in 0..30 {
        let id = f.post("s").await;
        f.decide(id, Some("p")).await;
        f.decide(id, Some("done")).await;
        ids.push(id);
    }
    f.key("s").await;
    let other = f.another().await;
    other.app.bus.wake(task_inbox::bus::Topic::Due);
    let mut last: HashMap<String, i64> = HashMap::new();
    for _ in 0..90 {
        let body = receiver.next().await.json();
        let task = body["data"]["task"]["id"].as_str().expect("text").to_owned();
        let version = body["data"]["task"]["version"].as_i64().expect("a number");
        let before = last.insert(task, version).unwrap_or(0);
        assert_eq!(version, before + 1, "each once, in order");
    }
    assert_eq!(last.len(), ids.len());
    assert!(ids.iter().map(Uuid::to_string).all(|id| last[&id] == 3));
    f.until("SELECT count(*) FROM deliveries", 0).await;
    assert!(receiver.try_next().is_none());
}
