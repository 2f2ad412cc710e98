//! A TCP proxy that makes a network longer: every byte arrives later by the same time, however many
//! there are.
//!
//! Threads, not tasks: a runtime's timers count in milliseconds, and what is added here is less.
//! Each direction reads on while what it read before is still on its way, as a long cable does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// A running proxy on loopback. Dropping it takes no more connections; those that are open end with
/// their ends.
pub struct Delay {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Delay {
    /// Starts a proxy before `upstream` that adds `each_way` to each direction.
    pub fn start(upstream: SocketAddr, each_way: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if is_stopped.load(Ordering::Relaxed) {
                    break;
                }
                // Whoever can't be connected is hung up on.
                let _ = relay(client, upstream, each_way);
            }
        });
        Ok(Self { address, stopped })
    }

    /// Where clients connect to instead.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn relay(client: TcpStream, upstream: SocketAddr, each_way: Duration) -> Result<()> {
    let server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    one_way(client.try_clone()?, server.try_clone()?, each_way);
    one_way(server, client, each_way);
    Ok(())
}

fn one_way(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, under_way) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            if sender.send((Instant::now() + delay, chunk[..read].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in under_way {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // The sender has ended: so does the receiver's side, and with it the other direction.
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH_WAY: Duration = Duration::from_millis(20);

    /// Answers every byte with itself, until the client ends.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || std::io::copy(&mut stream.try_clone().expect("a handle"), &mut stream));
            }
        });
        address
    }

    #[test]
    fn adds_its_time_once_however_much_is_sent() {
        let delay = Delay::start(echo(), EACH_WAY).expect("started");
        let mut stream = TcpStream::connect(delay.address()).expect("connected");
        let sent: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        let mut writer = stream.try_clone().expect("a handle");
        let begun = Instant::now();
        let (bytes, all) = (sent.clone(), sent.len());
        thread::spawn(move || writer.write_all(&bytes));
        let mut received = vec![0; all];
        stream.read_exact(&mut received).expect("echoed");
        let took = begun.elapsed();
        assert_eq!(received, sent);
        assert!(took >= 2 * EACH_WAY, "{took:?}");
        // Sixteen chunks, one after the other, would take sixteen times as long.
        assert!(took < 10 * EACH_WAY, "{took:?}");
    }

    #[test]
    fn ends_with_either_end() {
        let delay = Delay::start(echo(), Duration::from_micros(100)).expect("started");
        let mut stream = TcpStream::connect(delay.address()).expect("connected");
        stream.write_all(b"a").expect("sent");
        stream.shutdown(Shutdown::Write).expect("shut down");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("ended");
        assert!(rest.len() <= 1);
        let address = delay.address();
        drop(delay);
        while TcpStream::connect(address).is_ok() {
            thread::yield_now();
        }
    }
}
