//! Many clients on few tasks and few idempotency keys: nobody may decide twice, and nobody may see
//! a deadlock.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::Options;
use crate::audit::Report;
use crate::journal::{Call, Op, Outcome};
use crate::load::{self, Work, task_seen};
use crate::schema;
use crate::stage::{Engine, Stage};

const CLIENTS: usize = 64;
const TASKS: usize = 20;
const KEYS: u32 = 10;

pub(super) async fn run(options: &Options) -> Result<Report> {
    let options = Options { clients: options.clients.or(Some(CLIENTS)), ..options.clone() };
    let mut stage = Stage::build(&options).await?;
    let installation = stage.installation.clone();
    let first = stage.serve(&installation).await?;
    if options.engine == Engine::Postgres {
        stage.serve(&installation).await?;
    }
    let (address, key) = (stage.server(first)?.address(), stage.keys[0].clone());
    let (mut calls, mut tasks) = (Vec::new(), Vec::new());
    for number in 0..TASKS {
        let made = load::post_until_acknowledged(address, &key, &format!("task-{number}")).await?;
        if let Some(Outcome::Answered { task: Some(task), .. }) = made.last().map(|call| &call.outcome) {
            tasks.push(task.id.clone());
        }
        calls.extend(made);
    }
    stage.begin(Work::Contention { tasks: tasks.clone(), keys: KEYS });
    let until = Instant::now() + Duration::from_secs(options.seconds.unwrap_or(60));
    match options.engine {
        Engine::Sqlite => calls.extend(decide_beside(&mut stage, &tasks, until).await?),
        Engine::Postgres => tokio::time::sleep_until(until.into()).await,
    }
    stage.finish(calls).await
}

/// Decides by the command line, in processes of their own, until told.
async fn decide_beside(stage: &mut Stage, tasks: &[String], until: Instant) -> Result<Vec<Call>> {
    let mut rng = StdRng::seed_from_u64(stage.options.seed);
    let mut calls = Vec::new();
    while Instant::now() < until {
        let task = tasks[rng.random_range(0..tasks.len())].clone();
        let Some(to) = schema::STATES[rng.random_range(0..schema::STATES.len())] else { continue };
        let marker = format!("cli-{}", calls.len());
        let output = stage.installation.try_cli(&["decide", &task, to, "--reason", &marker]).await?;
        let outcome = if output.status.success() {
            Outcome::Answered {
                status: 200,
                task: task_seen(&output.json["task"]),
                has_retry_after: false,
                is_problem: false,
                detail: None,
            }
        } else {
            if ["locked", "busy", "panicked"].iter().any(|word| output.stderr.contains(word)) {
                stage.broken("the command line writes beside the server", output.stderr.trim());
            }
            // The command line says it in words.
            Outcome::Answered {
                status: 409,
                task: None,
                has_retry_after: false,
                is_problem: true,
                detail: Some(output.stderr),
            }
        };
        let op = Op::Decide { task, state: Some(to.to_owned()), expected_version: None };
        calls.push(Call { actor: "cli".to_owned(), marker, op, outcome });
    }
    let decided = calls.iter().filter(|call| call.outcome.is_success()).count();
    stage.count("decisions by the command line", decided);
    if decided == 0 {
        stage.broken("the command line writes beside the server", "none of its decisions was taken");
    }
    Ok(calls)
}
