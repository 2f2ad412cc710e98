//! Posts per second, in turn with pgbench, several runs each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use task_inbox_testkit::signature::Secret;
use task_inbox_testkit::{Database, Installation, Postgres, Receiver};
use tokio::process::Command;

use crate::load::Measured;
use crate::report::{Report, Row};
use crate::{baseline, machine};

const SCHEMA: &str = "ti:bench";
const TASK: &str = "flag-content";

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Runs of each, in turn; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Connections, of the load generator and of pgbench
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Seconds of each run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// What is posted
    #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
    variants: Vec<Variant>,
    /// Leave SQLite out
    #[arg(long)]
    no_sqlite: bool,
    /// Where the table goes
    #[arg(long, default_value = "docs/BENCHMARKS.md")]
    output: PathBuf,
}

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// Tasks whose creation no webhook wants, as in the sample schema
    Plain,
    /// The same, each with an Idempotency-Key
    Keyed,
    /// Tasks whose creation goes out to a receiver by a signed webhook
    Delivered,
}

impl Variant {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Plain => "posts",
            Self::Keyed => "posts with an Idempotency-Key",
            Self::Delivered => "posts, each delivered by a signed webhook",
        }
    }
}

/// One measurement of the service.
pub(crate) struct Sample {
    pub(crate) measured: Measured,
    /// Webhooks that arrived before the load ended.
    pub(crate) delivered: usize,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut report = Report::new(options.connections, options.seconds, options.runs);
    let cluster = Postgres::start().await?;
    report.machine(&[
        &machine::cpu(),
        &machine::kernel(),
        &format!("PostgreSQL {}", cluster.version().await?),
    ]);
    let directory = tempfile::Builder::new().prefix("task-inbox-bench-").tempdir()?;
    let pgbench_database = cluster.create_database().await?;
    let mut transactions = Vec::new();
    let mut samples: Vec<Vec<Sample>> = options.variants.iter().map(|_| Vec::new()).collect();
    for run in 1..=options.runs {
        let pgbench = baseline::pgbench(
            &cluster,
            &pgbench_database,
            options.connections,
            options.seconds,
            directory.path(),
        );
        transactions.push(pgbench.await?);
        println!("run {run}: pgbench, {:.0} transactions/s", transactions[run - 1]);
        for (variant, samples) in options.variants.iter().zip(&mut samples) {
            let database = Database::Postgres(cluster.url(&cluster.create_database().await?));
            samples.push(measure(options, *variant, database, run).await?);
        }
    }
    report.pgbench(&transactions);
    for (variant, samples) in options.variants.iter().zip(&samples) {
        report.posts(Row::new("PostgreSQL", *variant, samples));
    }
    if !options.no_sqlite {
        report.fdatasync(baseline::fdatasync(cluster.tools(), directory.path()).await?);
        for variant in &options.variants {
            let mut samples = Vec::new();
            for run in 1..=options.runs {
                let file = directory.path().join(format!("{variant:?}-{run}.db"));
                samples.push(measure(options, *variant, Database::Sqlite(file), run).await?);
            }
            report.posts(Row::new("SQLite", *variant, &samples));
        }
    }
    println!("\n{report}");
    if let Some(parent) = options.output.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&options.output, report.to_string())?;
    Ok(())
}

async fn measure(options: &Options, variant: Variant, database: Database, run: usize) -> Result<Sample> {
    let directory = tempfile::Builder::new().prefix("task-inbox-bench-").tempdir()?;
    let installation = Installation::new(directory.path(), database)?;
    let receiver = Receiver::start_counting().await?;
    let key = install(&installation, &receiver, variant, directory.path()).await?;
    let server = installation.serve("server").await?;
    let process = server.process_id().context("the server runs")?.to_string();
    let mut load = Command::new(std::env::current_exe()?);
    load.args(["load", "--address", &server.address().to_string(), "--key", &key])
        .args(["--server", &process, "--schema", SCHEMA, "--task", TASK])
        .args(["--connections", &options.connections.to_string(), "--seconds", &options.seconds.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if variant == Variant::Keyed {
        load.arg("--keyed");
    }
    let output = load.output().await?;
    ensure!(output.status.success(), "the load failed: {}", String::from_utf8_lossy(&output.stderr));
    let sample = Sample { measured: serde_json::from_slice(&output.stdout)?, delivered: receiver.count() };
    server.terminate(Duration::from_mins(1)).await?;
    println!(
        "run {run}: {}, {:.0} posts/s",
        variant.title(),
        sample.measured.posts as f64 / sample.measured.seconds
    );
    Ok(sample)
}

async fn install(
    installation: &Installation,
    receiver: &Receiver,
    variant: Variant,
    directory: &Path,
) -> Result<String> {
    installation.cli(&["migrate", "up"]).await?;
    let events =
        if variant == Variant::Delivered { "task.created, task.state_changed" } else { "task.state_changed" };
    let schema = format!(
        "name: '{SCHEMA}'
semver: '1'
default_hook_url: {}
hook_events: [{events}]
tasktypes:
- name: {TASK}
  pending_states: [level1, level2]
  resolved_states: [block, allow]
",
        receiver.url("/hook")
    );
    let file = directory.join("bench.yml");
    std::fs::write(&file, schema)?;
    installation.cli(&["taskschema", &file.display().to_string()]).await?;
    let made = installation.cli(&["webhook_key", SCHEMA]).await?;
    let secret = made["key"].as_str().and_then(Secret::parse);
    ensure!(secret.is_some(), "webhook_key gives a whsec_ secret, not {made}");
    let made = installation
        .cli(&["api_key", "--name", "bench", "--permission", "tasks:write", "--permission", "tasks:read"])
        .await?;
    made["key"].as_str().map(str::to_owned).with_context(|| format!("no key in {made}"))
}
