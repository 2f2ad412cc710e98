//! A receiver that costs next to nothing, of nobody's making here: nginx, which answers 204 and
//! counts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::process::{is_root, tethered};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running nginx on loopback; dropping it ends it.
pub(crate) struct Nginx {
    address: SocketAddr,
    process: Child,
    directory: TempDir,
}

impl Nginx {
    pub(crate) async fn start() -> Result<Self> {
        let program = find()?;
        let directory = tempfile::Builder::new().prefix("task-inbox-nginx-").tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration(directory.path(), port))?;
        let log = std::fs::File::create(directory.path().join("error.log"))?;
        let process = Command::from(tethered(&program, "KILL", None))
            .arg("-e")
            .arg("stderr")
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("can't run nginx through setpriv")?;
        let mut nginx = Self { address: (Ipv4Addr::LOCALHOST, port).into(), process, directory };
        nginx.wait().await?;
        Ok(nginx)
    }

    async fn wait(&mut self) -> Result<()> {
        let answers = async {
            while Count::new(self.address).requests().await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answered = tokio::time::timeout(START_TIMEOUT, answers) => if answered.is_ok() { return Ok(()) },
            _ = self.process.wait() => {}
        }
        let log = std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default();
        bail!("nginx didn't start:\n{log}")
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where webhooks go.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

/// One process without a master, so that it ends with its parent. It closes no connection by itself.
fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    let user = if is_root() { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;
master_process off;
pid {directory}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_buffer_size 64k;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /hook {{ return 204; }}
        location = /count {{ stub_status; }}
    }}
}}
"
    )
}

fn find() -> Result<PathBuf> {
    // It is an administrator's program, which not every PATH holds.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join("nginx"))
        .find(|program| program.exists())
        .context("nginx is not installed: apt-get install nginx-light")
}

/// Asks nginx how many requests it has had.
pub(crate) struct Count {
    client: Client,
    /// Our own questions are among them.
    asked: u64,
}

impl Count {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { client: Client::new(address), asked: 0 }
    }

    /// Requests since the start, less this value's own.
    pub(crate) async fn requests(&mut self) -> Result<u64> {
        self.asked += 1;
        let answer = self.client.send(&Request::new("GET", "/count", &[])).await?;
        ensure!(answer.status == 200, "nginx answered {}", answer.status);
        let text = String::from_utf8_lossy(answer.body());
        // "server accepts handled requests", and below it the three numbers.
        let requests: u64 = text
            .lines()
            .nth(2)
            .and_then(|line| line.split_whitespace().nth(2)?.parse().ok())
            .with_context(|| format!("no count in what nginx said:\n{text}"))?;
        Ok(requests - self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_what_it_got() {
        let nginx = Nginx::start().await.unwrap();
        let mut count = Count::new(nginx.address());
        let before = count.requests().await.unwrap();
        let mut client = Client::new(nginx.address());
        for _ in 0..5 {
            let answer = client.send(&Request::json("POST", "/hook", &[], "{\"a\": 1}")).await.unwrap();
            assert_eq!(answer.status, 204);
        }
        assert_eq!(count.requests().await.unwrap() - before, 5);
    }
}
