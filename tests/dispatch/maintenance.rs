//! Maintenance that holds deliveries: none goes out meanwhile, none is lost.

use std::time::Duration;

use task_inbox::app::maintenance::{self, NewMaintenance};
use task_inbox::app::{Principal, deliveries};
use task_inbox::store::Engine;
use task_inbox::store::delivery_list::DeliveryFilter;

use crate::fixture::{Fixture, SETTINGS};
use crate::on_both_engines;
use crate::receiver::{Answer, Receiver};

on_both_engines!(what_is_held_waits_and_goes_out_at_its_end, what_waits_in_line_is_given_back,);

async fn hold(f: &Fixture, schema: Option<&str>) {
    let schema = schema.map(str::to_owned);
    let new = NewMaintenance { schema, hold_deliveries: true, ..NewMaintenance::default() };
    maintenance::begin(f.app(), &Principal::cli(), new).await.expect("begun");
}

async fn reasons(f: &Fixture) -> Vec<Option<String>> {
    let listed = deliveries::list(f.app(), &Principal::cli(), DeliveryFilter::default(), None, 100).await;
    listed.expect("listed").deliveries.into_iter().map(|d| d.reason).collect()
}

async fn what_is_held_waits_and_goes_out_at_its_end(engine: Engine) {
    let f = Fixture::new(engine).await;
    let cli = Principal::cli();
    let mut receivers = Vec::new();
    for (name, failing) in [("held", true), ("free", false)] {
        let first = if failing { Answer::Status(500) } else { Answer::Status(200) };
        let receiver = Receiver::start([first, Answer::Status(200)]).await;
        f.install(name, &receiver.url, "hook_events: [task.created]").await;
        f.key(name).await;
        receivers.push(receiver);
    }
    // One that waits for its second attempt when it begins, whose time comes meanwhile.
    let first = f.post("held").await;
    assert_eq!(receivers[0].next().await.json()["data"]["task"]["id"], first.to_string());
    f.until("SELECT count(*) FROM attempts", 1).await;
    for scope in [Some("held"), None] {
        hold(&f, scope).await;
        f.hurry().await;
        // What is posted elsewhere goes out, and by then this one's turn would have come.
        if scope.is_some() {
            for _ in 0..3 {
                let free = f.post("free").await;
                assert_eq!(receivers[1].next().await.json()["data"]["task"]["id"], free.to_string());
            }
            f.until("SELECT count(*) FROM finished_deliveries", 3).await;
        } else {
            // Nothing is claimed at all: a look of the dispatcher's is over.
            f.app().bus.wake(task_inbox::bus::Topic::Due);
            tokio::time::timeout(Duration::from_millis(300), receivers[0].next()).await.expect_err("held");
        }
        assert!(receivers[0].try_next().is_none(), "held");
        assert_eq!(f.count("SELECT count(*) FROM deliveries WHERE lease_token IS NOT NULL").await, 0);
        assert!(reasons(&f).await.contains(&Some("maintenance".to_owned())));
        if scope.is_some() {
            maintenance::end(f.app(), &cli, scope).await.expect("ended");
            assert_eq!(receivers[0].next().await.json()["data"]["task"]["id"], first.to_string());
            f.until("SELECT count(*) FROM deliveries", 0).await;
            receivers[0].answer(Answer::Status(500));
            let second = f.post("held").await;
            assert_eq!(receivers[0].next().await.json()["data"]["task"]["id"], second.to_string());
            f.until("SELECT count(*) FROM attempts", 6).await;
            receivers[0].answer(Answer::Status(200));
        }
    }
    maintenance::end(f.app(), &cli, None).await.expect("ended");
    receivers[0].next().await;
    f.until("SELECT count(*) FROM deliveries", 0).await;
    assert!(reasons(&f).await.iter().all(Option::is_none));
}

async fn what_waits_in_line_is_given_back(engine: Engine) {
    let f = Fixture::new(engine).await;
    let mut receiver = Receiver::start([Answer::Hang]).await;
    f.install("s", &receiver.url, "hook_events: [task.created]").await;
    f.key("s").await;
    // Of one that has answered nothing yet, two are under way.
    let under_way = 2;
    let all = under_way + SETTINGS.line;
    futures_util::future::join_all((0..all).map(|_| f.post("s"))).await;
    for _ in 0..under_way {
        receiver.next().await;
    }
    assert_eq!(f.count("SELECT count(*) FROM deliveries WHERE lease_token IS NOT NULL").await, all as i64);
    hold(&f, Some("s")).await;
    receiver.answer(Answer::Status(200));
    // What was under way runs into its time-out; who stood behind it is not sent.
    f.until("SELECT count(*) FROM attempts", under_way as i64).await;
    f.until("SELECT count(*) FROM deliveries WHERE lease_token IS NULL", all as i64).await;
    assert!(receiver.try_next().is_none());
    maintenance::end(f.app(), &Principal::cli(), Some("s")).await.expect("ended");
    f.hurry().await;
    for _ in 0..all {
        receiver.next().await;
    }
    f.until("SELECT count(*) FROM deliveries", 0).await;
}
