//! One proxied connection: two pumps, and the trap that may spring between them.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{oneshot, watch};

use super::frames::Frames;
use super::{Armed, Held, Shared, Trap};

/// `ReadyForQuery` without its status byte: the server has answered the statement.
const READY_FOR_QUERY: &[u8] = &[b'Z', 0, 0, 0, 5];

/// What the server's answers meet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Answers wait.
    Held,
    /// Answers vanish; the connection ends with the one to the statement.
    Swallowing,
}

/// Relays until either side closes or the trap cuts.
pub(super) async fn run(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let gate = watch::Sender::new(Gate::Open);
    let cut_after = Mutex::default();
    // Either end of a pump ends the connection: both sockets close when this returns.
    let _: io::Result<()> = tokio::select! {
        end = requests(from_client, to_server, &gate, &cut_after, shared) => end,
        end = answers(from_server, to_client, &gate, shared) => end,
    };
    if let Some(sprung) = cut_after.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let _ = sprung.send(None);
    }
}

async fn flows(shared: &Shared) {
    let mut stalled = shared.stalled.subscribe();
    // The sender lives in `shared`.
    let _ = stalled.wait_for(|stalled| !*stalled).await;
}

async fn requests(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    gate: &watch::Sender<Gate>,
    cut_after: &Mutex<Option<oneshot::Sender<Option<Held>>>>,
    shared: &Shared,
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut chunk = vec![0; 16 * 1024];
    let mut holding = None;
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        let latency = shared.latency_micros.load(Ordering::Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_micros(latency)).await;
        }
        flows(shared).await;
        frames.push(&chunk[..read]);
        let mut out = Vec::with_capacity(read);
        while let Some(frame) = frames.next() {
            if let Some(armed) = frame.statement.as_deref().and_then(|statement| take(shared, statement)) {
                match armed.trap {
                    Trap::CutBefore => {
                        to.write_all(&out).await?;
                        let _ = armed.sprung.send(None);
                        return Ok(());
                    }
                    Trap::CutAfter => {
                        gate.send_replace(Gate::Swallowing);
                        *cut_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed.sprung);
                    }
                    Trap::Hold => {
                        gate.send_replace(Gate::Held);
                        holding = Some(armed.sprung);
                    }
                }
            }
            out.extend(frame.bytes);
            if frame.is_flush
                && let Some(sprung) = holding.take()
            {
                to.write_all(&out).await?;
                out.clear();
                let (release, released) = oneshot::channel();
                if sprung.send(Some(Held { _release: release })).is_ok() {
                    let _ = released.await;
                }
                gate.send_replace(Gate::Open);
            }
        }
        to.write_all(&out).await?;
    }
}

fn take(shared: &Shared, statement: &str) -> Option<Armed> {
    shared.armed().take_if(|armed| armed.statement.matches(statement))
}

async fn answers(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    gate: &watch::Sender<Gate>,
    shared: &Shared,
) -> io::Result<()> {
    let mut gate = gate.subscribe();
    let mut chunk = vec![0; 16 * 1024];
    let mut swallowed = Vec::new();
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        flows(shared).await;
        let now = gate.wait_for(|gate| *gate != Gate::Held).await.map_or(Gate::Open, |gate| *gate);
        if now == Gate::Swallowing {
            swallowed.extend_from_slice(&chunk[..read]);
            if swallowed.windows(READY_FOR_QUERY.len()).any(|window| window == READY_FOR_QUERY) {
                return Ok(());
            }
        } else {
            to.write_all(&chunk[..read]).await?;
        }
    }
}
