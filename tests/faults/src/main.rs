//! Breaks a running task inbox in every way that its design claims to survive, and audits what is
//! left: each scenario ends in the same audit, a short report and exit code 0 or 1.
//!
//! Black box: the real binary, a real database, HTTP, the command line and signals.
#![allow(clippy::print_stdout, reason = "its report is its output")]

mod alone;
mod audit;
mod collect;
mod journal;
mod load;
mod reader;
mod scenario;
mod schema;
mod site;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::audit::Report;
use crate::stage::Engine;

/// Breaks a running task inbox in every way that its design claims to survive, and audits the rest
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kill the server with SIGKILL at random points under load, and start it again (30 rounds)
    Kill9(Options),
    /// Kill one of two, then one of three, dispatching replicas with SIGKILL at random points under load
    /// (50 rounds each). PostgreSQL only: on SQLite a second `serve` is refused
    Kill9Replicas(Options),
    /// Terminate a server with SIGTERM during a burst: it drains and ends with 0 (10 rounds)
    Sigterm(Options),
    /// Freeze one of two replicas for longer than its lease, outside and inside a transaction (3
    /// rounds). PostgreSQL only: on SQLite a second `serve` is refused
    Sigstop(Options),
    /// Restart PostgreSQL with `-m immediate` under load (5 rounds). PostgreSQL only: SQLite has no
    /// server; what its crash would be is `kill9`
    PgRestart(Options),
    /// Cut the database connection in COMMIT under load, before it arrives and before its answer
    /// does, in turn (40 rounds). PostgreSQL only: SQLite has no connection to cut
    CommitCut(Options),
    /// Cut every database connection at once under load, by the server and by the network, in turn (30
    /// rounds). PostgreSQL only: SQLite has no connection to cut
    ConnectionsCut(Options),
    /// Set a `statement_timeout` that cuts the service's statements off, under load (a time for each two
    /// rounds of 6). PostgreSQL only: SQLite has no such setting
    StatementTimeout(Options),
    /// Fill the disk that the database is on, under load (a time for each two rounds of 6). SQLite only:
    /// PostgreSQL's disk is not the service's
    DiskFull(Options),
    /// Let 64 clients post and decide on 20 tasks and 10 idempotency keys (60 s): two replicas on
    /// PostgreSQL; on SQLite, one server with the command line beside it
    Contention(Options),
    /// Let receivers fail in every way there is, beside healthy ones: errors, hanging, endless answers,
    /// garbage, redirects, names that turn inwards, bad certificates, 410, 429, nobody there
    Receiver(Options),
    /// Let 50 readers of the log, by pages and by streams, break off at random while 4 clients write (1,000 calls a
    /// round, 5 rounds): through two replicas on PostgreSQL
    Readers(Options),
    /// Kill Redis, kill NATS, and end the connections that LISTEN, each at random for a time (120 s), while one of two
    /// replicas writes and the other sends and is read from. PostgreSQL only: on SQLite there is nobody to wake
    Bus(Options),
    /// Kill NATS and a replica that exports to it, in turn and with SIGKILL, at random points under load (40 rounds): two
    /// replicas on PostgreSQL, one on SQLite
    Export(Options),
    /// Change a byte, remove a row, swap two, cut the tail, each on a copy of a database, and let
    /// `audit verify` find it against a kept checkpoint
    Tamper(Options),
    /// Every scenario that the engine has
    All(Options),
    /// Judge a kept run again
    Audit {
        /// The directory that `--keep` named
        directory: PathBuf,
    },
}

/// What every scenario takes.
#[derive(Args, Clone, Debug)]
struct Options {
    /// The database engine
    #[arg(long, value_enum)]
    engine: Engine,
    /// How often the fault happens; the default depends on the scenario
    #[arg(long)]
    rounds: Option<u32>,
    /// Clients that post and decide meanwhile
    #[arg(long)]
    clients: Option<usize>,
    /// How long contention lasts, and the killing of each bus; the default depends on the scenario
    #[arg(long)]
    seconds: Option<u64>,
    /// Makes the clients' choices the same again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the run's journals and logs in this directory, which is made; otherwise they are kept
    /// in a temporary one if the audit fails
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let is_clean = match Cli::parse().command {
        Command::Kill9(options) => run("kill9", options).await?,
        Command::Kill9Replicas(options) => run("kill9-replicas", options).await?,
        Command::Sigterm(options) => run("sigterm", options).await?,
        Command::Sigstop(options) => run("sigstop", options).await?,
        Command::PgRestart(options) => run("pg-restart", options).await?,
        Command::CommitCut(options) => run("commit-cut", options).await?,
        Command::ConnectionsCut(options) => run("connections-cut", options).await?,
        Command::StatementTimeout(options) => run("statement-timeout", options).await?,
        Command::DiskFull(options) => run("disk-full", options).await?,
        Command::Contention(options) => run("contention", options).await?,
        Command::Receiver(options) => run("receiver", options).await?,
        Command::Readers(options) => run("readers", options).await?,
        Command::Bus(options) => run("bus", options).await?,
        Command::Export(options) => run("export", options).await?,
        Command::Tamper(options) => run("tamper", options).await?,
        Command::All(options) => {
            let mut is_clean = true;
            for (name, _) in scenario::ALL
                .iter()
                .filter(|(_, only)| only.is_none_or(|(engine, _)| engine == options.engine))
            {
                let keep = options.keep.as_ref().map(|directory| directory.join(name));
                is_clean &= run(name, Options { keep, ..options.clone() }).await?;
            }
            is_clean
        }
        Command::Audit { directory } => {
            let report = audit::judge(&journal::Run::load(&directory)?);
            println!("{report}");
            report.is_clean()
        }
    };
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(name: &str, options: Options) -> Result<bool> {
    let engine = options.engine;
    let only = scenario::ALL.iter().find(|(known, _)| *known == name).and_then(|(_, only)| *only);
    if let Some((needed, reason)) = only.filter(|(needed, _)| *needed != engine) {
        let needed = format!("{needed:?}").to_lowercase();
        Cli::command()
            .error(ErrorKind::InvalidValue, format!("{name} needs --engine {needed}: {reason}"))
            .exit();
    }
    let begun = std::time::Instant::now();
    let report: Report = scenario::run(name, options).await?;
    println!("{name} on {engine:?}, {} s\n{report}", begun.elapsed().as_secs());
    Ok(report.is_clean())
}
