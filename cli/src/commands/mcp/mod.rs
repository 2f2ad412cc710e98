//! `mcp`: an inbox for an agent that starts its servers as processes and talks to them over stdin and stdout.
//!
//! It is a pipe to the server's own `/mcp`: it knows how messages travel and nothing of tools, so that an agent sees the
//! same at both ends. What it adds is that a connection may break: it asks again until there is an answer, and the
//! agent, which waits for a person anyway, never knows. Nothing but the protocol goes to stdout.

mod message;
mod upstream;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::api::Remote;
use crate::output::{Usage, note};
use crate::target::{Target, Where};
use message::{Heard, Request};
use upstream::Upstream;

/// The longest message of an agent: several times what the server takes.
const MAX_LINE: u64 = 4 * 1024 * 1024;

/// How long what is under way may take to be answered once the agent has nothing more to say. Agents end a process
/// that stays much longer.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) fn run(place: &Where) -> anyhow::Result<()> {
    let Target::Server(address) = place.target()? else {
        return Err(Usage(
            "mcp is a way to a running server: give its address as --server or TASK_INBOX_SERVER and a key as \
             TASK_INBOX_API_KEY, or keep both with `task-inbox login`"
                .to_owned(),
        )
        .into());
    };
    let remote = Remote::new(address, place.timeout)?;
    note(&format!("speaking the Model Context Protocol for {}", remote.server()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(pipe(Upstream::new(remote, place.timeout)));
    Ok(())
}

/// Passes messages on until the agent closes stdin, or takes nothing more.
async fn pipe(upstream: Upstream) {
    let upstream = Arc::new(upstream);
    let (says, mut said) = mpsc::channel(16);
    // On a thread of its own, which nobody waits for: a read of stdin can't be given up.
    std::thread::spawn(move || listen(&says));
    let output = Output::default();
    let mut calls = JoinSet::new();
    let mut by_id: HashMap<String, AbortHandle> = HashMap::new();
    while let Some(line) = said.recv().await {
        while calls.try_join_next().is_some() {}
        by_id.retain(|_, call| !call.is_finished());
        match line.map_or_else(message::too_long, |line| message::read(&line)) {
            Heard::Request(request) => {
                let id = request.id.clone();
                let call = calls.spawn(answer(upstream.clone(), request, output.clone()));
                by_id.insert(id, call);
            }
            // The connection closes, which tells the server. The task stays.
            Heard::Cancelled(id) => {
                if let Some(call) = by_id.remove(&id) {
                    call.abort();
                }
            }
            Heard::Nothing => {}
            Heard::Nonsense(error) => output.write(&error),
        }
        if output.is_closed() {
            return;
        }
    }
    let all = async { while calls.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
}

async fn answer(upstream: Arc<Upstream>, request: Request, output: Output) {
    upstream.answer(&request, |line| output.write(line)).await;
}

/// Reads messages, one a line; none in place of one that is too long.
fn listen(says: &mpsc::Sender<Option<Vec<u8>>>) {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut is_too_long = false;
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
            is_too_long = true;
            continue;
        }
        // The rest of a line that was too long is no message of its own.
        let line = (!std::mem::take(&mut is_too_long)).then_some(line);
        if line.as_ref().is_some_and(|line| line.trim_ascii().is_empty()) {
            continue;
        }
        if says.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Where answers go.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<bool>>);

impl Output {
    /// Writes one message.
    fn write(&self, line: &str) {
        let mut is_closed = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = std::io::stdout().lock();
        *is_closed |= writeln!(out, "{line}").and_then(|()| out.flush()).is_err();
    }

    /// Whether nobody reads any more.
    fn is_closed(&self) -> bool {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
