//! A Redis or NATS server of the test's own, on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use task_inbox_testkit::process::tethered;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that can be killed and started again at the same address.
pub(crate) struct Broker {
    program: &'static str,
    port: u16,
    child: Option<Child>,
}

impl Broker {
    pub(crate) async fn redis() -> Self {
        Self::new("redis-server").await
    }

    pub(crate) async fn nats() -> Self {
        Self::new("nats-server").await
    }

    async fn new(program: &'static str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut broker = Self { program, port, child: None };
        broker.start().await;
        broker
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, and waits until it takes connections.
    pub(crate) async fn start(&mut self) {
        let path = ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
            .iter()
            .map(|folder| std::path::Path::new(folder).join(self.program))
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("{0} is not installed: apt-get install {0}", self.program));
        let mut command = tethered(&path, "KILL", None);
        let port = self.port.to_string();
        match self.program {
            "redis-server" => {
                command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
            }
            _ => command.args(["-a", "127.0.0.1", "-p", &port]),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("it starts"));
        let begun = Instant::now();
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "{} takes no connections", self.program);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
