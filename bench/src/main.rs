//! Measures the service against the limits of the machine it runs on, in the same run.
//!
//! Black box: the release binary, databases of the run's own, load generators and receivers in
//! processes of their own. Everything shares the same cores, as `pgbench` does with its server.
//! What is measured is kept (`results`); the report and its charts are made from that (`report`,
//! `chart`), so that a part can be measured again alone.
#![allow(clippy::print_stdout, reason = "its report is its output")]

mod baseline;
mod chart;
mod fill;
mod load;
mod machine;
mod nginx;
mod part;
mod profile;
mod report;
mod results;
mod scale;
mod stage;
mod statistics;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::part::Part;
use crate::results::Results;
use crate::scale::Scale;

/// Measures the service against the limits of the machine it runs on
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every part, one after the other (half an hour)
    All {
        /// Only these
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Part>,
        #[command(flatten)]
        options: Options,
    },
    /// Posts per second, beside pgbench's transaction of three inserts and the disk's fdatasync
    Posts(Options),
    /// Webhooks of decisions per second, sustained, beside a bare loop that signs and posts
    Delivered(Options),
    /// From a decision to its webhook on an idle server, beside a bare commit and a bare POST
    Latency(Options),
    /// Reads of a million tasks beside reads of ten thousand
    Reads(Options),
    /// Posts per second by 1, 2 and 4 replicas, with 1 ms added to each round trip
    Replicas(Options),
    /// Memory, idle and after a million posts; and the time from start to ready
    Footprint(Options),
    /// Webhooks to healthy endpoints beside one that hangs with ten thousand queued
    Neighbour(Options),
    /// A million deliveries over a thousand endpoints, drained
    Drain(Options),
    /// A million deliveries that come and go, with a short retention
    Storage(Options),
    /// Ten thousand listeners to topics, and 200 events a second
    Realtime(Options),
    /// Flame graphs of the server while tasks are posted (`make profile`)
    Profile(Options),
    /// The report and its charts again, from what is kept
    Report(Options),
    /// Fill an empty database as `reads` does, to look at it by hand; prints an API key
    #[command(hide = true)]
    Fill {
        /// `postgres://...`, or the path of a SQLite file
        database: String,
        /// Tasks, each with three events
        #[arg(long, default_value_t = Scale::FULL.many)]
        tasks: u64,
    },
    /// A load generator, as the parts start it
    #[command(hide = true)]
    Load {
        /// What to do, as JSON
        order: String,
    },
}

/// What every part takes.
#[derive(Args, Clone)]
struct Options {
    /// Short runs on little data, to try it out; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Where `BENCHMARKS.md`, and charts and results in `benchmarks`, go
    #[arg(long, value_name = "DIRECTORY", default_value = "docs")]
    output: PathBuf,
}

fn main() -> Result<()> {
    let (parts, options) = match Cli::parse().command {
        Command::Load { order } => return load::run(&order),
        Command::Fill { database, tasks } => return runtime()?.block_on(part::reads::fill(&database, tasks)),
        Command::Profile(options) => {
            profile::has_frame_pointers()?;
            return runtime()?.block_on(profile::profile(&options.output));
        }
        Command::All { only, options } if only.is_empty() => (Part::ALL.to_vec(), options),
        Command::All { only, options } => (only, options),
        Command::Posts(options) => (vec![Part::Posts], options),
        Command::Delivered(options) => (vec![Part::Delivered], options),
        Command::Latency(options) => (vec![Part::Latency], options),
        Command::Reads(options) => (vec![Part::Reads], options),
        Command::Replicas(options) => (vec![Part::Replicas], options),
        Command::Footprint(options) => (vec![Part::Footprint], options),
        Command::Neighbour(options) => (vec![Part::Neighbour], options),
        Command::Drain(options) => (vec![Part::Drain], options),
        Command::Storage(options) => (vec![Part::Storage], options),
        Command::Realtime(options) => (vec![Part::Realtime], options),
        Command::Report(options) => (Vec::new(), options),
    };
    ensure!(
        !cfg!(debug_assertions) || options.quick || parts.is_empty(),
        "a debug build measures nothing: cargo run --release -p bench -- ..."
    );
    let file = options.output.join("benchmarks/results.json");
    let mut results = Results::load(&file)?;
    ensure!(
        parts.is_empty() || !options.quick || results.conditions().iter().all(|(_, kept)| kept.quick),
        "{} holds what was really measured: try it out with another --output",
        file.display()
    );
    let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    let runtime = runtime()?;
    for part in parts {
        runtime.block_on(part::measure(part, &scale, &mut results))?;
        // What comes next may fail.
        results.save(&file)?;
        report::write(&results, &options.output)?;
    }
    report::write(&results, &options.output)?;
    println!("\n{}", options.output.join("BENCHMARKS.md").display());
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
