//! What an answer means for the delivery.

use std::time::Duration;

use task_inbox::store::Engine;

use crate::fixture::Fixture;
use crate::on_both_engines;
use crate::receiver::{Answer, Receiver};

on_both_engines!(
    a_failure_is_tried_again_after_five_seconds,
    retry_after_is_obeyed,
    gone_disables_the_endpoint_and_a_new_key_enables_it,
    a_hanging_receiver_ends_at_the_deadline,
    an_endless_answer_is_read_for_sixteen_kib,
    a_redirect_is_a_failure_and_not_followed,
    after_the_last_attempt_it_is_dead_and_its_successor_goes,
);

/// The wait until the next attempt, in seconds, by the database's clock.
const WAIT: &str = "SELECT CAST((SELECT max(d.due_at) FROM deliveries d) / 1000000
    - (SELECT max(a.started_at) FROM attempts a) / 1000000 AS bigint)";

async fn failed_once(f: &Fixture, receiver: &mut Receiver) -> i64 {
    f.install("s", &receiver.url, "").await;
    f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    receiver.next().await;
    f.until("SELECT count(*) FROM attempts WHERE number = 1", 1).await;
    f.count(WAIT).await
}

async fn a_failure_is_tried_again_after_five_seconds(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    let wait = failed_once(&f, &mut receiver).await;
    assert!((3..=7).contains(&wait), "{wait} s: 5 s, give or take a fifth");
    assert_eq!(f.count("SELECT count(*) FROM attempts WHERE status = 500 AND outcome = 'status'").await, 1);
}

async fn retry_after_is_obeyed(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::RetryAfter(429, "3600")]).await;
    let wait = failed_once(&f, &mut receiver).await;
    assert!((3590..=3610).contains(&wait), "{wait} s");
}

async fn gone_disables_the_endpoint_and_a_new_key_enables_it(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(410), Answer::Status(200)]).await;
    f.install("s", &receiver.url, "").await;
    f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    receiver.next().await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'dead' AND reason = 'gone'", 1).await;
    assert_eq!(f.count("SELECT count(*) FROM endpoints WHERE status = 'disabled'").await, 1);
    f.app().registry.refresh(&f.app().db).await.expect("read");
    f.decide(id, Some("done")).await;
    assert_eq!(f.count("SELECT count(*) FROM deliveries").await, 1, "it waits");
    f.rotate("s", Duration::ZERO).await;
    f.app().registry.refresh(&f.app().db).await.expect("read");
    f.hurry().await;
    assert_eq!(receiver.next().await.json()["data"]["task"]["state"], "done");
}

async fn a_hanging_receiver_ends_at_the_deadline(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Hang]).await;
    failed_once(&f, &mut receiver).await;
    let sql =
        "SELECT count(*) FROM attempts WHERE outcome = 'timeout' AND duration_us BETWEEN 450000 AND 3000000";
    assert_eq!(f.count(sql).await, 1);
}

async fn an_endless_answer_is_read_for_sixteen_kib(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Endless]).await;
    f.install("s", &receiver.url, "").await;
    f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    receiver.next().await;
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'delivered'", 1).await;
    assert_eq!(f.count("SELECT count(*) FROM attempts WHERE length(response) = 16384").await, 1);
}

async fn a_redirect_is_a_failure_and_not_followed(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut elsewhere = Receiver::start([Answer::Status(200)]).await;
    let mut receiver = Receiver::start([Answer::Redirect(elsewhere.url.clone())]).await;
    failed_once(&f, &mut receiver).await;
    assert_eq!(f.count("SELECT count(*) FROM attempts WHERE status = 302").await, 1);
    assert!(elsewhere.try_next().is_none());
}

async fn after_the_last_attempt_it_is_dead_and_its_successor_goes(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    f.install("s", &receiver.url, "").await;
    f.key("s").await;
    let id = f.post("s").await;
    f.decide(id, Some("p")).await;
    f.decide(id, Some("done")).await;
    for attempt in 1..=10 {
        assert_eq!(receiver.next().await.json()["data"]["task"]["state"], "p", "attempt {attempt}");
        f.until("SELECT CAST(coalesce(max(number), 0) AS bigint) FROM attempts", attempt).await;
        if attempt == 9 {
            receiver.answer(Answer::Status(500));
        }
        if attempt < 10 {
            f.hurry().await;
        }
    }
    f.until("SELECT count(*) FROM finished_deliveries WHERE outcome = 'dead' AND reason = 'exhausted'", 1)
        .await;
    assert_eq!(receiver.next().await.json()["data"]["task"]["state"], "done");
}
