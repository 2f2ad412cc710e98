//! An example receiver of task-inbox webhooks: what an application server does with them.
//!
//! It imports nothing of task-inbox, so it shows, and tests, the wire format alone. This file
//! reads the environment, listens and stops; `receiver` has the route. The README tells the rules.

mod dedup;
mod guard;
mod ledger;
mod receiver;
mod verify;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use axum::http::HeaderName;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::ledger::Ledger;
use crate::receiver::{Receiver, router};
use crate::verify::{HeadKey, Secret};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let receiver = configure()?;
    let address = variable("RCV_LISTEN")?.unwrap_or_else(|| "127.0.0.1:5001".to_owned());
    let listener =
        TcpListener::bind(&address).await.map_err(|error| format!("RCV_LISTEN: {address}: {error}"))?;
    // Before the first line, so that who reads it may stop us at once.
    let stopped = stop_signal()?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    axum::serve(listener, router(receiver)).with_graceful_shutdown(stopped).await?;
    Ok(())
}

/// Reads `RCV_HOOK_HEADER`, `RCV_HOOK_KEY`, `RCV_HOOK_SECRET` and `RCV_JOURNAL`. Errors name the
/// variable and never show a secret.
fn configure() -> Result<Receiver, Box<dyn Error>> {
    let header = variable("RCV_HOOK_HEADER")?.unwrap_or_else(|| "ti-key".to_owned());
    let header =
        HeaderName::try_from(header).map_err(|_| "RCV_HOOK_HEADER: this is not a name of a header")?;
    let key = variable("RCV_HOOK_KEY")?.map(|key| HeadKey::new(&key));
    let secrets = variable("RCV_HOOK_SECRET")?.unwrap_or_default();
    let secrets = Secret::parse_all(&secrets).map_err(|error| format!("RCV_HOOK_SECRET: {error}"))?;
    let journal = variable("RCV_JOURNAL")?;
    let ledger =
        Ledger::open(journal.as_deref().map(Path::new)).map_err(|error| format!("RCV_JOURNAL: {error}"))?;
    Ok(Receiver { header, key, secrets, ledger: Mutex::new(ledger) })
}

/// A variable that is set to nothing counts as not set: an empty key must never match.
fn variable(name: &str) -> Result<Option<String>, String> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{name}: this is not UTF-8")),
    }
}

/// Resolves on SIGTERM or ctrl-c; requests under way are still answered.
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
