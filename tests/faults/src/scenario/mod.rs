//! The scenarios: each builds its stage, breaks something, and ends in the audit.

mod commit_cut;
mod contention;
mod kill9;
mod pg_restart;
mod receiver;
mod sigstop;
mod tamper;

use anyhow::{Result, bail};

use crate::Options;
use crate::audit::Report;

/// Every scenario, and why one is not for SQLite.
pub(crate) const ALL: [(&str, Option<&str>); 7] = [
    ("kill9", None),
    ("sigstop", Some("on SQLite a second serve is refused, so there is no other replica")),
    ("pg-restart", Some("SQLite has no server to restart; kill9 is what crashes it")),
    ("commit-cut", Some("SQLite has no connection to cut")),
    ("contention", None),
    ("receiver", None),
    ("tamper", None),
];

/// Runs one by its name.
pub(crate) async fn run(name: &str, options: Options) -> Result<Report> {
    match name {
        "kill9" => kill9::run(&options).await,
        "sigstop" => sigstop::run(&options).await,
        "pg-restart" => pg_restart::run(&options).await,
        "commit-cut" => commit_cut::run(&options).await,
        "contention" => contention::run(&options).await,
        "receiver" => receiver::run(&options).await,
        "tamper" => tamper::run(&options).await,
        _ => bail!("no scenario is called {name}"),
    }
}
