//! Receivers that fail in every way there is, all at once, beside healthy ones: each attempt comes to what
//! it should, no answer fills the memory, nothing inside is ever reached, and nobody else is delayed. Then
//! they recover, and everything arrives.
//!
//! Takes place at a public address: the service runs as in production, with no network allowed beyond.

mod cases;
mod judge;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use task_inbox_testkit::tls::Authority;
use tokio::task::JoinSet;

use self::cases::{Cases, GONE, LEAVES, TURNING};
use crate::audit::Report;
use crate::collect::{self, Tried};
use crate::journal::Call;
use crate::load::{self, Work};
use crate::site::Site;
use crate::stage::Stage;
use crate::{Options, alone};

/// How long the load runs before anything fails, for comparison.
const CALM: Duration = Duration::from_secs(3);
/// The schedule's first wait and its jitter.
const FIRST_RETRY: Duration = Duration::from_secs(6);
/// How long the first attempts may take, with the deadline that the stage sets.
const SOON: Duration = Duration::from_secs(20);
/// By how much the process may grow while it is sent answers without end.
const GROWTH: u64 = 64 << 20;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let public = alone::public_address()?;
    let scratch = tempfile::tempdir()?;
    let (names, _mounted) = alone::name_server(scratch.path()).await?;
    let authority = Authority::new()?;
    let trusted = scratch.path().join("authority.pem");
    authority.save(&trusted)?;
    let (cases, neighbours) = Cases::start(public, &names, authority).await?;
    let mut stage = Stage::build_at(options, Site { receiver: public, disk: None, neighbours }).await?;
    let installation = stage.installation.clone().with("SSL_CERT_FILE", &trusted.display().to_string());
    let place = stage.serve(&installation).await?;
    stage.begin(Work::Stream);
    stage.expect_progress(50, Duration::from_secs(30)).await?;
    let calm_from = SystemTime::now();
    tokio::time::sleep(CALM).await;

    let trouble_from = SystemTime::now();
    stage.server(place)?.forget_peak()?;
    let before = stage.server(place)?.peak_memory()?;
    let mut calls = trouble(&mut stage, place, &cases).await?;
    if options.rounds.is_none() {
        // The first retry fails as well.
        tokio::time::sleep(FIRST_RETRY).await;
    }
    let grown = stage.server(place)?.peak_memory()?.saturating_sub(before);
    stage.count("KiB that the process grew by meanwhile", (grown >> 10) as usize);
    if grown > GROWTH {
        stage.broken("an endless answer fills no memory", format!("the process grew by {grown} bytes"));
    }
    judge::delays(&mut stage, calm_from, trouble_from);
    let tried = collect::tried(stage.installation.database()).await?;
    judge::attempts(&mut stage, &cases, &tried);
    cases.recover(&names, &stage.neighbours)?;

    calls.extend(leave(&mut stage, place).await?);
    give_up(&mut stage).await?;
    let report = stage.audit(calls).await?;
    judge::afterwards(&mut stage, &cases);
    Ok(stage.conclude(report))
}

/// Posts and decides tasks for each failing endpoint, and waits until it was tried.
async fn trouble(stage: &mut Stage, place: usize, cases: &Cases) -> Result<Vec<Call>> {
    let (address, key) = (stage.server(place)?.address(), stage.keys[0].clone());
    let mut posting = JoinSet::new();
    for case in cases.all.iter().filter(|case| case.name != TURNING) {
        let (key, name, tasks) = (key.clone(), case.name, case.tasks);
        posting.spawn(async move {
            let mut calls = Vec::new();
            for number in 0..tasks {
                calls.extend(load::post_and_decide(address, &key, &format!("{name}-{number}"), name).await?);
            }
            anyhow::Ok(calls)
        });
    }
    let mut calls = Vec::new();
    for number in 0..cases.all.iter().filter(|case| case.name == TURNING).map(|case| case.tasks).sum() {
        let marker = format!("{TURNING}-{number}");
        calls.extend(load::post_and_decide(address, &key, &marker, TURNING).await?);
        // One after the other, or they share one answer to their name.
        wait_for(stage, |all| count(all, TURNING) > number).await?;
    }
    for posted in posting.join_all().await {
        calls.extend(posted?);
    }
    wait_for(stage, |all| cases.all.iter().all(|case| count(all, case.name) >= case.tried())).await?;
    Ok(calls)
}

fn count(tried: &[Tried], name: &str) -> usize {
    tried.iter().filter(|attempt| attempt.ttype == name).count()
}

/// Waits until the attempts are such.
async fn wait_for(stage: &Stage, are_there: impl Fn(&[Tried]) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let tried = collect::tried(stage.installation.database()).await?;
        if are_there(&tried) {
            return Ok(());
        }
        if begun.elapsed() > SOON {
            bail!("not every endpoint was tried within {SOON:?}: {tried:#?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The endpoint that answered 410 hears nothing more, although it would accept by now.
async fn leave(stage: &mut Stage, place: usize) -> Result<Vec<Call>> {
    stage.give_up(LEAVES);
    let listed = stage.installation.cli(&["endpoints", "--status", "disabled"]).await?;
    if !listed.to_string().contains(&format!("/{LEAVES}\"")) {
        stage.broken("410 disables an endpoint", listed.to_string());
    }
    let arrived = arrived(stage, LEAVES)?;
    let (address, key) = (stage.server(place)?.address(), stage.keys[0].clone());
    let calls = load::post_and_decide(address, &key, "after-410", LEAVES).await?;
    // What is sent at all is sent at once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let more = self::arrived(stage, LEAVES)? - arrived;
    if more > 0 {
        stage.broken("a disabled endpoint hears nothing", format!("{more} webhooks arrived"));
    }
    Ok(calls)
}

fn arrived(stage: &Stage, name: &str) -> Result<usize> {
    let neighbour = stage.neighbours.iter().find(|neighbour| neighbour.name == name);
    Ok(neighbour.and_then(|neighbour| neighbour.receiver.as_ref()).context("a receiver")?.count())
}

/// Brings the end of the schedule forward where nothing listens: the first event ends as a listed, dead
/// delivery, and lets the second go.
async fn give_up(stage: &mut Stage) -> Result<()> {
    stage.give_up(GONE);
    let endpoint = format!("(SELECT id FROM endpoints WHERE ttype = '{GONE}')");
    let begun = Instant::now();
    loop {
        let database = stage.installation.database();
        let dead = database
            .query(&format!("SELECT reason FROM finished_deliveries WHERE endpoint_id IN {endpoint}"))
            .await?;
        if let Some(dead) = dead.first() {
            if dead["reason"] != "exhausted" {
                stage.broken("a delivery is given up when its attempts are used up", dead.to_string());
            }
            break;
        }
        if begun.elapsed() > Duration::from_secs(90) {
            stage.broken("a delivery is given up when its attempts are used up", "it still lives");
            return Ok(());
        }
        database
            .execute(&format!(
                "UPDATE deliveries SET due_at = created_at WHERE lease_token IS NULL AND endpoint_id IN {endpoint}"
            ))
            .await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let listed = stage.installation.cli(&["deliveries", "--status", "dead"]).await?;
    let is_listed = listed["deliveries"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["attempts"] == 10 && one["reason"] == "exhausted"));
    if !is_listed {
        stage.broken("what is given up is listed", listed.to_string());
    }
    let second = |all: &[Tried]| all.iter().filter(|t| t.ttype == GONE && t.number == 1).count() == 2;
    if wait_for(stage, second).await.is_err() {
        stage.broken("what is given up lets its successors go", "the next event of the task was not tried");
    }
    Ok(())
}
