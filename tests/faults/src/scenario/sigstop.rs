//! One of two replicas is frozen for longer than its lease: with deliveries under way, and inside
//! a transaction that holds the log's head. The other one must go on within the lock time-out, take
//! the deliveries over, and the frozen one must settle nothing when it wakes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use task_inbox_testkit::proxy::{Statement, Trap};
use task_inbox_testkit::receiver::Behaviour;

use crate::Options;
use crate::audit::Report;
use crate::journal::Call;
use crate::load::{self, Work};
use crate::stage::{GOES_ON_WITHIN, LEASE, Stage};

/// The statement that takes the log's head.
const HEAD: Statement = Statement::Mentions("UPDATE log_head");

pub(super) async fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::build(options).await?;
    let (proxy, proxied) = stage.proxy().await?;
    let frozen = stage.serve(&proxied).await?;
    let installation = stage.installation.clone();
    let other = stage.serve(&installation).await?;
    stage.begin(Work::Stream);
    let mut probes = Vec::new();
    for round in 0..options.rounds.unwrap_or(3) {
        for is_inside in [false, true] {
            if !stage.expect_progress(100, Duration::from_secs(30)).await? {
                break;
            }
            // Answers come late, so that deliveries are under way when it freezes.
            stage.receiver.behave(Behaviour::Slow(200, Duration::from_millis(300)));
            let arrived = stage.receiver.count() + 20;
            stage.receiver.wait_for_count(arrived, Duration::from_secs(10)).await;
            let held = if is_inside {
                let held = proxy.arm(HEAD, Trap::Hold).wait(Duration::from_secs(30)).await?;
                Some(held.context("a held connection")?)
            } else {
                None
            };
            stage.server(frozen)?.sigstop()?;
            stage.announce(Some(frozen));
            // What was held goes on to a process that doesn't.
            drop(held);
            stage.count(if is_inside { "freezes inside a transaction" } else { "freezes outside" }, 1);
            let marker = format!("probe-{round}-{is_inside}");
            probes.extend(probe(&mut stage, other, &marker).await?);
            stage.server(frozen)?.sigcont()?;
            stage.announce(None);
            stage.receiver.behave(Behaviour::Answer(200));
        }
    }
    stage.expect_progress(100, Duration::from_secs(30)).await?;
    let taken_over = stage.repeated_arrivals();
    stage.count("deliveries taken over", taken_over);
    if taken_over == 0 {
        stage.broken("the scenario lets leases run out", "no delivery was sent twice");
    }
    stage.finish(probes).await
}

/// Posts to the other replica for longer than a lease, one after the other.
async fn probe(stage: &mut Stage, other: usize, marker: &str) -> Result<Vec<Call>> {
    let (address, key) = (stage.server(other)?.address(), stage.keys[0].clone());
    let until = Instant::now() + LEASE + Duration::from_secs(2);
    let (mut calls, mut worst) = (Vec::new(), Duration::ZERO);
    while Instant::now() < until {
        let begun = Instant::now();
        let marker = format!("{marker}-{}", calls.len());
        calls.extend(load::post_until_acknowledged(address, &key, &marker).await?);
        worst = worst.max(begun.elapsed());
    }
    stage.count("posts to the other replica meanwhile", calls.len());
    if worst > GOES_ON_WITHIN {
        stage.broken("a frozen replica stops nobody", format!("{marker}: a post took {worst:?}"));
    }
    Ok(calls)
}
