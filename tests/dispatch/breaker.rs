//! Endpoints that fail are left alone, and tried again.

use std::time::Duration;

use task_inbox::app::endpoints::{self, EndpointChange};
use task_inbox::app::replays::{self, NewReplay};
use task_inbox::app::{App, Principal};
use task_inbox::store::Engine;
use task_inbox::store::delivery_list::DeliveryFilter;
use task_inbox::store::replays::{ReplayStatus, What};
use task_inbox_domain::EventType;
use task_inbox_domain::webhook::breaker::RUN;
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::on_both_engines;
use crate::receiver::{Answer, Receiver};

on_both_engines!(
    a_run_of_failures_stops_it_until_a_probe_succeeds,
    a_closed_breaker_in_one_process_is_closed_in_all,
    days_of_failures_disable_it,
    what_was_given_up_is_sent_again,
    everything_since_a_time_is_sent_again,
    a_replay_goes_on_after_a_restart_and_can_be_cancelled,
    sending_again_disturbs_no_retry_and_waits_for_nobody,
);

/// Registers an endpoint that is told of how delivering goes.
async fn operator(f: &Fixture) -> Receiver {
    let receiver = Receiver::start([Answer::Status(200)]).await;
    let kinds = EventType::ALL.into_iter().filter(|kind| kind.is_operational()).collect();
    let change = EndpointChange {
        url: Some(receiver.url.clone()),
        event_types: Some(Some(kinds)),
        ..EndpointChange::default()
    };
    endpoints::create(f.app(), &Principal::cli(), change, None).await.expect("registered");
    receiver
}

fn endpoint(app: &App) -> Uuid {
    app.registry.current().endpoint_of("s", None).expect("declared").id
}

/// Makes the next probe due.
async fn hurry_probe(f: &Fixture) {
    f.execute("UPDATE endpoints SET open_until = 1 WHERE open_until IS NOT NULL").await;
}

async fn a_run_of_failures_stops_it_until_a_probe_succeeds(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut told = operator(&f).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    for _ in 0..RUN {
        f.post("s").await;
    }
    assert_eq!(told.next().await.json()["type"], "endpoint.paused");
    f.until("SELECT count(*) FROM attempts WHERE outcome = 'status'", i64::from(RUN)).await;
    f.until("SELECT count(*) FROM endpoints WHERE open_until IS NOT NULL", 1).await;
    for _ in 0..RUN {
        receiver.next().await;
    }
    // What comes now waits, and what is due for a retry, too.
    for _ in 0..5 {
        f.post("s").await;
    }
    f.hurry().await;
    let view = endpoints::get(f.app(), &Principal::cli(), endpoint(f.app())).await.expect("there");
    assert_eq!(view.held, Some("failing"));
    // A probe that fails: one attempt, and a longer pause.
    hurry_probe(&f).await;
    receiver.next().await;
    f.until("SELECT count(*) FROM endpoints WHERE probes = 1", 1).await;
    assert!(receiver.try_next().is_none(), "one probe");
    // One that succeeds: everything goes out.
    receiver.answer(Answer::Status(200));
    hurry_probe(&f).await;
    f.hurry().await;
    assert_eq!(told.next().await.json()["type"], "endpoint.recovered");
    f.hurry().await;
    // With the two that the operator got.
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered'", 15 + 2).await;
    f.until("SELECT count(*) FROM endpoints WHERE failing_since IS NOT NULL", 0).await;
}

async fn a_closed_breaker_in_one_process_is_closed_in_all(engine: Engine) {
    let f = Fixture::new(engine).await;
    let receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    for _ in 0..RUN {
        f.post("s").await;
    }
    f.until("SELECT count(*) FROM endpoints WHERE open_until IS NOT NULL", 1).await;
    // Another process finds it open, and closes it.
    f.process.stop(Duration::from_secs(5)).await;
    let other = f.another().await;
    receiver.answer(Answer::Status(200));
    hurry_probe(&f).await;
    f.execute("UPDATE deliveries SET due_at = 0 WHERE lease_token IS NULL").await;
    other.app.bus.wake(task_inbox::bus::Topic::Due);
    f.until("SELECT count(*) FROM endpoints WHERE open_until IS NOT NULL", 0).await;
    f.until("SELECT count(*) FROM deliveries", 0).await;
}

async fn days_of_failures_disable_it(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut told = operator(&f).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    f.post("s").await;
    receiver.next().await;
    f.until("SELECT count(*) FROM endpoints WHERE failing_since IS NOT NULL", 1).await;
    // As it stands after five days of probes.
    f.execute(
        "UPDATE endpoints SET failing_since = failing_since - 432000000000, failures = 60, open_until = 1,
            probes = 50 WHERE failing_since IS NOT NULL",
    )
    .await;
    f.hurry().await;
    receiver.next().await;
    let event = told.next().await.json();
    assert_eq!((&event["type"], &event["data"]["reason"]), (&"endpoint.disabled".into(), &"failing".into()));
    f.until("SELECT count(*) FROM endpoints WHERE status = 'disabled'", 1).await;
    // Before it's resumed: what waits is claimed at once, and must find it mended.
    receiver.answer(Answer::Status(200));
    let who = Principal::cli();
    let resumed = endpoints::resume(f.app(), &who, endpoint(f.app())).await.expect("resumed");
    assert_eq!(resumed.held, None);
    f.hurry().await;
    f.until("SELECT count(*) FROM deliveries WHERE schema_name = 's'", 0).await;
}

async fn what_was_given_up_is_sent_again(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut told = operator(&f).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        f.post("s").await;
        ids.push(receiver.next().await.header("webhook-id").to_owned());
    }
    f.until("SELECT count(*) FROM attempts", 3).await;
    f.execute("UPDATE deliveries SET attempts = 9").await;
    f.hurry().await;
    for _ in 0..3 {
        receiver.next().await;
        let event = told.next().await.json();
        assert_eq!(
            (&event["type"], &event["data"]["delivery"]["reason"]),
            (&"delivery.dead".into(), &"exhausted".into())
        );
    }
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'dead'", 3).await;
    receiver.answer(Answer::Status(200));
    let new = NewReplay { endpoint: endpoint(f.app()), what: What::Dead, schema: None };
    let who = Principal::cli();
    assert_eq!(replays::preview(f.app(), &who, new.clone()).await.expect("counted").count, 3);
    let job = replays::create(f.app(), &who, new.clone()).await.expect("made");
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(receiver.next().await.header("webhook-id").to_owned());
    }
    again.sort();
    ids.sort();
    assert_eq!(again, ids, "the same events");
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'resent'", 3).await;
    f.until("SELECT count(*) FROM replays WHERE status = 'done'", 1).await;
    assert_eq!(replays::get(f.app(), &who, job.id).await.expect("there").resent, 3);
    assert_eq!(
        replays::preview(f.app(), &who, new).await.expect("counted").count,
        0,
        "nothing is dead any more"
    );
}

async fn everything_since_a_time_is_sent_again(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.install("o", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    f.post("s").await;
    receiver.next().await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered'", 1).await;
    let since = App::now();
    let mut seqs = Vec::new();
    for _ in 0..4 {
        let id = f.post("s").await;
        f.decide(id, Some("p")).await;
        seqs.push(receiver.next().await.json()["data"]["seq"].clone());
        f.post("o").await;
    }
    let who = Principal::cli();
    let new = NewReplay { endpoint: endpoint(f.app()), what: What::Since(since), schema: None };
    let preview = replays::preview(f.app(), &who, new.clone()).await.expect("counted");
    assert_eq!((preview.count, preview.at_least), (4, false), "its own events, of that kind, since then");
    replays::create(f.app(), &who, new).await.expect("made");
    let mut again = Vec::new();
    for _ in 0..4 {
        again.push(receiver.next().await.json()["data"]["seq"].clone());
    }
    again.sort_by_key(serde_json::Value::as_i64);
    assert_eq!(again, seqs);
    f.until("SELECT count(*) FROM replays WHERE status = 'done' AND resent = 4", 1).await;
    assert!(receiver.try_next().is_none());
}

async fn a_replay_goes_on_after_a_restart_and_can_be_cancelled(engine: Engine) {
    let f = Fixture::new(engine).await;
    let receiver = Receiver::start([Answer::Status(200)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    futures_util::future::join_all((0..30).map(|_| f.post("s"))).await;
    f.until("SELECT count(*) FROM finished_deliveries", 30).await;
    f.process.stop(Duration::from_secs(5)).await;
    let who = Principal::cli();
    let since = What::Since(task_inbox_domain::Timestamp::from_micros(0));
    let new = NewReplay { endpoint: endpoint(f.app()), what: since, schema: None };
    let (job, other) = (
        replays::create(f.app(), &who, new.clone()).await.expect("made"),
        replays::create(f.app(), &who, NewReplay { schema: Some("s".to_owned()), ..new })
            .await
            .expect("made"),
    );
    let cancelled = replays::cancel(f.app(), &who, other.id).await.expect("cancelled");
    assert_eq!(cancelled.status, ReplayStatus::Cancelled);
    assert!(replays::cancel(f.app(), &who, other.id).await.is_err(), "once");
    // The process that made it is gone; the next one does it.
    let next = f.another().await;
    f.until("SELECT count(*) FROM replays WHERE status = 'done' AND resent = 30", 1).await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE is_resend", 30).await;
    assert_eq!(replays::get(&next.app, &who, job.id).await.expect("there").status, ReplayStatus::Done);
}

async fn sending_again_disturbs_no_retry_and_waits_for_nobody(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", &receiver.url, "hook_events: [task.created, task.state_changed]").await;
    f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("done")).await;
    receiver.next().await;
    f.until("SELECT count(*) FROM attempts", 1).await;
    let due = f.count("SELECT max(due_at) FROM deliveries WHERE version = 1").await;
    let second = f.app();
    let waiting =
        task_inbox::app::deliveries::list(second, &Principal::cli(), DeliveryFilter::default(), None, 10)
            .await;
    let waiting = waiting.expect("listed").deliveries;
    let decided = waiting.iter().find(|d| d.version == Some(2)).expect("it waits for the first");
    receiver.answer(Answer::Status(200));
    let again = replays::resend(f.app(), &Principal::cli(), decided.id).await.expect("sent again");
    assert!(again.is_resend && again.id != decided.id && again.version.is_none());
    let sent_again = receiver.next().await.json();
    assert_eq!(sent_again["data"]["task"]["version"], 2, "it waits for nobody");
    f.until("SELECT count(*) FROM finished_deliveries WHERE is_resend", 1).await;
    let counted = "SELECT count(*) FROM deliveries WHERE attempts = 1 AND version = 1";
    assert_eq!(f.count(counted).await, 1, "the first one's retry stands");
    assert_eq!(f.count("SELECT max(due_at) FROM deliveries WHERE version = 1").await, due);
    // And it holds nobody up: the others go on in their order.
    f.hurry().await;
    for version in [1, 2] {
        assert_eq!(receiver.next().await.json()["data"]["task"]["version"], version);
    }
    f.until("SELECT count(*) FROM deliveries", 0).await;
}
