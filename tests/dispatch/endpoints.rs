//! Registered endpoints and callbacks: who gets what, in which form, how fast.

use std::time::{Duration, Instant};

use task_inbox::app::endpoints::{self, EndpointChange};
use task_inbox::app::{PostTask, Principal, tasks};
use task_inbox::store::Engine;
use task_inbox_domain::webhook::format::Format;
use task_inbox_domain::{Document, EventType, Rate};
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::on_both_engines;
use crate::receiver::{Answer, Receiver};

on_both_engines!(
    an_event_goes_to_everybody_who_asks,
    each_gets_the_form_that_it_asks_for,
    a_task_is_called_back_with_its_schemas_key,
    a_rate_is_kept_by_all_processes_together,
    a_rate_waits_for_nobody_else,
    as_many_at_once_as_it_wants,
    its_own_timeout_holds,
    what_is_paused_waits_and_goes_out_in_order,
    what_is_taken_away_gets_nothing_more,
    another_rate_holds_at_once,
    another_receiver_is_not_judged_by_the_former,
);

/// Registers an endpoint.
async fn register(f: &Fixture, url: &str, change: EndpointChange) -> Uuid {
    let change = EndpointChange { url: Some(url.to_owned()), ..change };
    let made = endpoints::create(f.app(), &Principal::cli(), change, None).await.expect("registered");
    made.view.row.endpoint.id
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

async fn an_event_goes_to_everybody_who_asks(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut own = Receiver::start([Answer::Status(200)]).await;
    let (mut all, mut decided, mut other) = (
        Receiver::start([Answer::Status(200)]).await,
        Receiver::start([Answer::Status(200)]).await,
        Receiver::start([Answer::Status(200)]).await,
    );
    f.install("s", &own.url, "hook_events: [task.created]").await;
    f.install("o", &own.url, "hook_events: [task.due]").await;
    f.key("s").await;
    register(&f, &all.url, EndpointChange::default()).await;
    let done = EndpointChange {
        states: Some(Some(names(&["done"]))),
        schemas: Some(Some(names(&["s"]))),
        ..EndpointChange::default()
    };
    register(&f, &decided.url, done).await;
    register(
        &f,
        &other.url,
        EndpointChange { schemas: Some(Some(names(&["o"]))), ..EndpointChange::default() },
    )
    .await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    f.decide(id, Some("done")).await;
    assert_eq!(own.next().await.json()["type"], "task.created");
    for expected in ["task.created", "task.state_changed", "task.state_changed"] {
        let received = all.next().await;
        assert_eq!(received.json()["type"], expected);
        assert!(received.header("webhook-signature").starts_with("v1,"));
    }
    assert_eq!(decided.next().await.json()["data"]["task"]["state"], "done");
    f.until("SELECT count(*) FROM deliveries", 0).await;
    assert!(own.try_next().is_none() && all.try_next().is_none() && decided.try_next().is_none());
    assert!(other.try_next().is_none(), "another schema's");
}

async fn each_gets_the_form_that_it_asks_for(engine: Engine) {
    let f = Fixture::new(engine).await;
    let own = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &own.url, "hook_events: [task.created]").await;
    let mut receivers = Vec::new();
    for format in Format::ALL {
        let receiver = Receiver::start([Answer::Status(200)]).await;
        let headers = vec![("X-Tenant".to_owned(), "acme 7".to_owned())];
        let change = EndpointChange {
            format: Some(format),
            headers: Some(Some(headers)),
            event_types: Some(Some(vec![EventType::TaskCreated])),
            ..EndpointChange::default()
        };
        register(&f, &receiver.url, change).await;
        receivers.push((format, receiver));
    }
    f.post("s").await;
    for (format, receiver) in &mut receivers {
        let received = receiver.next().await;
        assert_eq!(received.header("x-tenant"), "acme 7");
        assert!(received.header("webhook-id").starts_with("evt_"));
        let text = String::from_utf8_lossy(&received.body).into_owned();
        match format {
            Format::Full => assert_eq!(received.json()["type"], "task.created"),
            Format::Output => assert!(received.json()["task_id"].is_string()),
            Format::Ntfy => {
                assert!(text.starts_with("New task: t (s)"), "{text}");
                assert!(received.header("content-type").starts_with("text/plain"));
            }
            Format::Slack => assert!(received.json()["text"].as_str().expect("text").contains("New task")),
            Format::Discord => {
                assert!(received.json()["content"].as_str().expect("text").contains("New task"));
            }
        }
    }
}

async fn a_task_is_called_back_with_its_schemas_key(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut own = Receiver::start([Answer::Status(200)]).await;
    let mut called = Receiver::start([Answer::Status(200)]).await;
    // What has no host name can't be listed: the address stands for itself.
    let top = "hook_events: [task.created, task.state_changed]\ncallback_hosts: ['127.0.0.1']";
    f.install("s", &own.url, top).await;
    let key = f.key("s").await;
    let secret = task_inbox_domain::webhook::signing::HmacKey::parse(&key).expect("a key");
    let url = format!("{}/resume/17?x=1", called.url);
    let post = PostTask {
        schema_name: "s".to_owned(),
        task: "t".to_owned(),
        meta: Some(Document::parse_object(r#"{"a":1}"#).expect("JSON")),
        callback_url: Some(url.clone()),
        ..PostTask::default()
    };
    let id = tasks::create(f.app(), &Principal::cli(), post, None).await.expect("posted").0.task.id;
    f.post("s").await;
    f.decide(id, Some("done")).await;
    for version in [1, 2] {
        let received = called.next().await;
        assert_eq!(received.json()["data"]["task"]["version"], version);
        assert_eq!(received.json()["data"]["task"]["callback_url"], url.as_str());
        let signed = task_inbox_domain::webhook::signing::signatures(
            [&secret],
            received.header("webhook-id"),
            received.header("webhook-timestamp").parse().expect("seconds"),
            &received.body,
        );
        assert_eq!(received.header("webhook-signature"), signed);
    }
    for _ in 0..3 {
        own.next().await;
    }
    f.until("SELECT count(*) FROM deliveries", 0).await;
    assert!(called.try_next().is_none(), "the other task named no callback");
}

async fn a_rate_is_kept_by_all_processes_together(engine: Engine) {
    const RATE: usize = 20;
    let f = Fixture::new(engine).await;
    let _other = f.another().await;
    let own = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &own.url, "hook_events: [task.due]").await;
    let mut paced = Receiver::start([Answer::Status(200)]).await;
    let rate = Rate::parse(&format!("{RATE}/s")).expect("a rate");
    register(&f, &paced.url, EndpointChange { rate: Some(Some(rate)), ..EndpointChange::default() }).await;
    let begun = Instant::now();
    futures_util::future::join_all((0..3 * RATE).map(|_| f.post("s"))).await;
    for _ in 0..3 * RATE {
        paced.next().await;
    }
    let took = begun.elapsed();
    // One second's worth may come at once.
    assert!(took >= Duration::from_millis(1950), "{took:?} for two seconds' worth and a first one");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

async fn a_rate_waits_for_nobody_else(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut own = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &own.url, "hook_events: [task.created]").await;
    f.key("s").await;
    let mut paced = Receiver::start([Answer::Status(200)]).await;
    let rate = Rate::parse("1/h").expect("a rate");
    register(&f, &paced.url, EndpointChange { rate: Some(Some(rate)), ..EndpointChange::default() }).await;
    for _ in 0..20 {
        f.post("s").await;
    }
    for _ in 0..20 {
        own.next().await;
    }
    paced.next().await;
    f.until("SELECT count(*) FROM deliveries", 19).await;
    assert!(paced.try_next().is_none());
}

async fn as_many_at_once_as_it_wants(engine: Engine) {
    let f = Fixture::new(engine).await;
    let own = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &own.url, "hook_events: [task.due]").await;
    let mut narrow = Receiver::start([Answer::Hang]).await;
    register(&f, &narrow.url, EndpointChange { concurrency: Some(Some(1)), ..EndpointChange::default() })
        .await;
    for _ in 0..5 {
        f.post("s").await;
    }
    narrow.next().await;
    narrow.answer(Answer::Status(200));
    // The second comes only when the first was given up, after its deadline.
    let begun = Instant::now();
    narrow.next().await;
    assert!(begun.elapsed() > crate::fixture::SETTINGS.deadline / 2, "{:?}", begun.elapsed());
}

async fn its_own_timeout_holds(engine: Engine) {
    let f = Fixture::new(engine).await;
    let own = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &own.url, "hook_events: [task.due]").await;
    let mut hanging = Receiver::start([Answer::Hang]).await;
    let id = register(&f, &hanging.url, EndpointChange::default()).await;
    // Shorter than what can be registered, so that the test need not wait.
    f.execute("UPDATE endpoints SET timeout_ms = 50 WHERE origin = 'registered'").await;
    f.execute("UPDATE log_head SET registry = registry + 1").await;
    f.app().registry.refresh(&f.app().db).await.expect("read");
    assert!(f.app().registry.current().endpoint(id).expect("there").treatment.timeout.is_some());
    f.post("s").await;
    hanging.next().await;
    f.until("SELECT count(*) FROM attempts WHERE outcome = 'timeout' AND duration_us < 400000", 1).await;
}

async fn what_is_paused_waits_and_goes_out_in_order(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut told = Receiver::start([Answer::Status(200)]).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created, task.state_changed]").await;
    f.key("s").await;
    let kinds = vec![EventType::EndpointPaused, EventType::EndpointRecovered];
    register(&f, &told.url, EndpointChange { event_types: Some(Some(kinds)), ..EndpointChange::default() })
        .await;
    let endpoint = f.app().registry.current().endpoint_of("s", None).expect("declared").id;
    let who = Principal::cli();
    let paused = endpoints::pause(f.app(), &who, endpoint, Some("being deployed")).await.expect("paused");
    assert_eq!(
        (paused.held, paused.row.endpoint.status_reason.as_deref()),
        (Some("paused"), Some("being deployed"))
    );
    assert!(endpoints::pause(f.app(), &who, endpoint, None).await.is_err(), "it is paused");
    let id = f.post("s").await;
    for state in ["p", "q", "done"] {
        f.decide(id, Some(state)).await;
    }
    let event = told.next().await.json();
    assert_eq!(event["type"], "endpoint.paused");
    assert_eq!(event["data"]["reason"], "paused");
    assert_eq!(event["data"]["message"], "being deployed");
    assert_eq!(event["data"]["endpoint"]["id"], endpoint.to_string());
    f.app().bus.wake(task_inbox::bus::Topic::Due);
    assert!(receiver.try_next().is_none());
    // The operator was told, which is settled a moment later, and nothing else was sent.
    f.until("SELECT count(*) FROM attempts", 1).await;
    endpoints::resume(f.app(), &who, endpoint).await.expect("resumed");
    for version in 1..=4 {
        assert_eq!(receiver.next().await.json()["data"]["task"]["version"], version);
    }
    assert_eq!(told.next().await.json()["type"], "endpoint.recovered");
    assert!(endpoints::resume(f.app(), &who, endpoint).await.is_err(), "it is not paused");
}

async fn what_is_taken_away_gets_nothing_more(engine: Engine) {
    let f = Fixture::new(engine).await;
    let own = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &own.url, "hook_events: [task.due]").await;
    let mut failing = Receiver::start([Answer::Status(500)]).await;
    let id = register(&f, &failing.url, EndpointChange::default()).await;
    f.post("s").await;
    failing.next().await;
    f.until("SELECT count(*) FROM attempts", 1).await;
    let withdrawn = endpoints::remove(f.app(), &Principal::cli(), id).await.expect("removed");
    assert_eq!(withdrawn, 1);
    f.post("s").await;
    f.until("SELECT count(*) FROM deliveries", 0).await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'cancelled' AND reason = 'endpoint_removed'", 1)
        .await;
    assert_eq!(f.count("SELECT count(*) FROM endpoint_secrets").await, 0);
    assert!(endpoints::remove(f.app(), &Principal::cli(), id).await.is_err(), "once");
    assert!(failing.try_next().is_none());
}

async fn another_rate_holds_at_once(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", "https://own.example/", "hook_events: [task.due]").await;
    let slow = EndpointChange {
        rate: Some(Some(Rate::parse("1/h").expect("a rate"))),
        event_types: Some(Some(vec![EventType::TaskCreated])),
        ..EndpointChange::default()
    };
    let id = register(&f, &receiver.url, slow).await;
    for _ in 0..5 {
        f.post("s").await;
    }
    receiver.next().await;
    f.until("SELECT count(*) FROM finished_deliveries", 1).await;
    assert_eq!(f.count("SELECT count(*) FROM deliveries").await, 4, "an hour's one was sent");
    let quick = EndpointChange {
        rate: Some(Some(Rate::parse("100/s").expect("a rate"))),
        ..EndpointChange::default()
    };
    endpoints::update(f.app(), &Principal::cli(), id, quick).await.expect("changed");
    for _ in 0..4 {
        receiver.next().await;
    }
    f.until("SELECT count(*) FROM deliveries", 0).await;
}

async fn another_receiver_is_not_judged_by_the_former(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut hanging = Receiver::start([Answer::Hang]).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", "https://own.example/", "hook_events: [task.due]").await;
    let created =
        EndpointChange { event_types: Some(Some(vec![EventType::TaskCreated])), ..EndpointChange::default() };
    let id = register(&f, &hanging.url, created).await;
    for _ in 0..12 {
        f.post("s").await;
    }
    // Two at once, of one that has answered nothing yet.
    hanging.next().await;
    hanging.next().await;
    let moved = EndpointChange { url: Some(receiver.url.clone()), ..EndpointChange::default() };
    endpoints::update(f.app(), &Principal::cli(), id, moved).await.expect("changed");
    // These run into their time-out at the former one.
    f.until("SELECT count(*) FROM attempts WHERE outcome = 'timeout'", 2).await;
    let told = "SELECT count(*) FROM endpoints WHERE failing_since IS NOT NULL OR open_until IS NOT NULL";
    assert_eq!(f.count(told).await, 0, "nothing is known against the new one");
    f.hurry().await;
    for _ in 0..12 {
        receiver.next().await;
    }
    f.until("SELECT count(*) FROM deliveries", 0).await;
}
