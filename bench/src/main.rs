//! Measures the service against the limits of the machine it runs on, in the same run.
//!
//! Black box: the release binary, a database of the run's own, a load generator in a process of its
//! own. Everything shares the same cores, as `pgbench` does with its server.
#![allow(clippy::print_stdout, reason = "its report is its output")]

mod baseline;
mod load;
mod machine;
mod posts;
mod report;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

/// Measures the service against the limits of the machine it runs on
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Posts per second, beside pgbench's transaction of three inserts and the disk's fdatasync
    Posts(posts::Options),
    /// The load generator, as `posts` starts it
    #[command(hide = true)]
    Load(load::Options),
}

fn main() -> Result<()> {
    ensure!(!cfg!(debug_assertions), "a debug build measures nothing: cargo run --release -p bench -- ...");
    match Cli::parse().command {
        Command::Posts(options) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(posts::run(&options))
        }
        // One thread, like `pgbench -j 1`.
        Command::Load(options) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(load::run(&options))
        }
    }
}
