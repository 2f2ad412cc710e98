//! The scenarios: each builds its stage, breaks something, and ends in the audit.

mod bus;
mod commit_cut;
mod connections_cut;
mod contention;
mod disk_full;
mod export;
mod kill9;
mod kill9_replicas;
mod pg_restart;
mod readers;
mod receiver;
mod sigstop;
mod sigterm;
mod statement_timeout;
mod tamper;

use anyhow::{Result, bail};

use crate::Options;
use crate::audit::Report;
use crate::stage::Engine;

/// Every scenario, and why one is for a single engine.
pub(crate) const ALL: [(&str, Option<(Engine, &str)>); 15] = [
    ("kill9", None),
    (
        "kill9-replicas",
        Some((Engine::Postgres, "on SQLite a second serve is refused, so there are no replicas")),
    ),
    ("sigterm", None),
    (
        "sigstop",
        Some((Engine::Postgres, "on SQLite a second serve is refused, so there is no other replica")),
    ),
    ("pg-restart", Some((Engine::Postgres, "SQLite has no server to restart; kill9 is what crashes it"))),
    ("commit-cut", Some((Engine::Postgres, "SQLite has no connection to cut"))),
    ("connections-cut", Some((Engine::Postgres, "SQLite has no connection to cut"))),
    ("statement-timeout", Some((Engine::Postgres, "SQLite has no such setting"))),
    ("disk-full", Some((Engine::Sqlite, "PostgreSQL's disk is not the service's"))),
    ("contention", None),
    ("receiver", None),
    ("readers", None),
    ("bus", Some((Engine::Postgres, "on SQLite there is one process, which has nobody to wake"))),
    ("export", None),
    ("tamper", None),
];

/// Runs one by its name.
pub(crate) async fn run(name: &str, options: Options) -> Result<Report> {
    match name {
        "kill9" => kill9::run(&options).await,
        "kill9-replicas" => kill9_replicas::run(&options).await,
        "sigterm" => sigterm::run(&options).await,
        "sigstop" => sigstop::run(&options).await,
        "pg-restart" => pg_restart::run(&options).await,
        "commit-cut" => commit_cut::run(&options).await,
        "connections-cut" => connections_cut::run(&options).await,
        "statement-timeout" => statement_timeout::run(&options).await,
        "disk-full" => disk_full::run(&options).await,
        "contention" => contention::run(&options).await,
        "receiver" => receiver::run(&options).await,
        "bus" => bus::run(&options).await,
        "readers" => readers::run(&options).await,
        "export" => export::run(&options).await,
        "tamper" => tamper::run(&options).await,
        _ => bail!("no scenario is called {name}"),
    }
}
