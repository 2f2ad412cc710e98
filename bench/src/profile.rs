//! Where the server's time goes while tasks are posted: a flame graph, and shares of it.
//!
//! `perf` samples the server's stacks by frame pointers, which the build must have (`make profile`
//! gives them); the stacks are folded and drawn here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options as FolderOptions};
use inferno::flamegraph;
use tokio::process::Command;

use crate::load::{Measured, Order, Post, Until, WARM_UP, Watched};
use crate::stage::{self, Engine, NOWHERE, SCHEMA, Stage, TYPES};

/// Connections that post.
const CONNECTIONS: usize = 32;
/// How long stacks are sampled, and how often a second; a prime, to meet no timer's rhythm.
const SECONDS: u64 = 8;
const FREQUENCY: &str = "997";

/// What a frame is a sign of: the first that holds part of a sample's stack, from its leaf up, tells
/// what the sample was spent on.
const SIGNS: &[(&str, &[&str])] = &[
    ("kernel: sending on sockets", &["tcp_sendmsg", "sock_write_iter", "__sys_sendto"]),
    ("kernel: receiving from sockets", &["tcp_recvmsg", "__sys_recvfrom", "sock_read_iter"]),
    ("kernel: sleeping and waking", &["futex", "epoll", "schedule", "eventfd"]),
    ("kernel: files, durably", &["fsync", "pwrite", "pread", "ftruncate"]),
    ("kernel: the rest", &["entry_SYSCALL", "do_syscall", "asm_"]),
    ("memory: allocating and copying", &["mi_", "_mi_", "memmove", "memcpy", "memset"]),
    ("SQLite", &["sqlite3"]),
    ("hashing", &["sha2::", "hmac::"]),
    ("JSON", &["serde_json::"]),
    ("the driver of the database", &["sqlx", "sea_orm::", "sea_query::"]),
    ("HTTP: axum, hyper, tower", &["hyper", "axum", "tower", "httparse", "http::"]),
    ("the service's own code", &["task_inbox"]),
    ("the runtime", &["tokio::", "flume::", "crossbeam"]),
];

/// Profiles posts on both engines; writes a flame graph for each and prints the shares.
pub(crate) async fn profile(directory: &Path) -> Result<()> {
    let charts = directory.join("benchmarks");
    std::fs::create_dir_all(&charts)?;
    let cluster = stage::cluster().await?;
    for (engine, name) in [(Engine::Postgres, "postgresql"), (Engine::Sqlite, "sqlite")] {
        let stage = Stage::new(engine, &cluster, NOWHERE, "task.state_changed").await?;
        let server = stage.serve().await?;
        stage.try_out(server.address()).await?;
        let process = stage::process_of(&server)?;
        let order = Order::Post(Post {
            addresses: vec![server.address()],
            key: stage.key.clone(),
            schema: SCHEMA.to_owned(),
            task: TYPES[0].to_owned(),
            connections: CONNECTIONS,
            until: Until::Seconds(SECONDS + 2),
            keyed: false,
            watched: Watched { servers: vec![process], database: None },
        });
        let scratch = stage::directory()?;
        let samples = scratch.path().join("perf.data");
        let (posted, recorded) = tokio::join!(order.run::<Measured>(), record(process, &samples));
        let (posted, ()) = (posted?, recorded?);
        let folded = scratch.path().join("folded");
        fold(&samples, &folded).await?;
        let title = format!("{CONNECTIONS} connections post tasks, {engine}");
        draw(&folded, &charts.join(format!("profile-{name}.svg")), &title)?;
        println!(
            "\n{title}: {:.0}/s while sampled\n\n| share of the server's time | |\n|---|---|",
            posted.rate()
        );
        for (share, what) in shares(&std::fs::read_to_string(&folded)?) {
            println!("| {:.1} % | {what} |", share * 100.0);
        }
        stage::end(server).await?;
        stage.strike(&cluster).await?;
    }
    Ok(())
}

/// Samples a process's stacks once its load has warmed up.
async fn record(process: u32, samples: &Path) -> Result<()> {
    tokio::time::sleep(WARM_UP + Duration::from_secs(1)).await;
    let status = Command::new("perf")
        .args(["record", "--freq", FREQUENCY, "--call-graph", "fp", "--pid"])
        .arg(process.to_string())
        .arg("--output")
        .arg(samples)
        .args(["--", "sleep", &SECONDS.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .context("perf can't be run: apt-get install linux-perf")?;
    ensure!(status.success(), "perf record ended with {status}");
    Ok(())
}

async fn fold(samples: &Path, folded: &Path) -> Result<()> {
    let script = folded.with_extension("script");
    let status = Command::new("perf")
        .args(["script", "--no-inline", "--fields", "comm,pid,tid,time,event,ip,sym,dso", "--input"])
        .arg(samples)
        .stdout(File::create(&script)?)
        .stderr(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "perf script ended with {status}");
    let mut collapse = Folder::from(FolderOptions::default());
    collapse.collapse(BufReader::new(File::open(script)?), BufWriter::new(File::create(folded)?))?;
    Ok(())
}

fn draw(folded: &Path, svg: &Path, title: &str) -> Result<()> {
    let mut options = flamegraph::Options::default();
    title.clone_into(&mut options.title);
    "samples".clone_into(&mut options.count_name);
    options.hash = true;
    // Frames of less than this share are not drawn.
    options.min_width = 0.2;
    options.image_width = Some(1600);
    flamegraph::from_reader(
        &mut options,
        BufReader::new(File::open(folded)?),
        BufWriter::new(File::create(svg)?),
    )?;
    println!("{}", svg.display());
    Ok(())
}

/// What the samples were spent on, the largest share first.
fn shares(folded: &str) -> Vec<(f64, &'static str)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut all = 0;
    for line in folded.lines() {
        let Some((stack, count)) = line.rsplit_once(' ') else { continue };
        let count: u64 = count.parse().unwrap_or(0);
        let spent = stack.rsplit(';').find_map(sign).unwrap_or("not known");
        *counts.entry(spent).or_default() += count;
        all += count;
    }
    let mut shares: Vec<_> =
        counts.into_iter().map(|(what, count)| (count as f64 / all as f64, what)).collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    shares
}

fn sign(frame: &str) -> Option<&'static str> {
    SIGNS.iter().find(|(_, parts)| parts.iter().any(|part| frame.contains(part))).map(|(what, _)| *what)
}

/// Refuses a build whose stacks can't be walked.
pub(crate) fn has_frame_pointers() -> Result<()> {
    if cfg!(frame_pointers) {
        return Ok(());
    }
    bail!("this build has no frame pointers, by which perf walks stacks: make profile builds one that has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_for_what_is_nearest_to_its_leaf() {
        let folded = "worker;tokio::run;hyper::poll;serde_json::to_vec;__memmove_avx 3\n\
                      worker;tokio::run;hyper::poll;entry_SYSCALL_64;tcp_sendmsg;ip_output 5\n\
                      commit;start_thread 2\n";
        let shares = shares(folded);
        assert_eq!(
            shares,
            [
                (0.5, "kernel: sending on sockets"),
                (0.3, "memory: allocating and copying"),
                (0.2, "not known")
            ]
        );
    }
}
