//! What a scenario may do because nobody else is there: `scripts/faults` gives this program mounts and a
//! loopback network of its own, which end with it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use task_inbox_testkit::NameServer;

/// Where the system's resolver asks for names.
const RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// An address of this machine that is a public one to whoever judges it.
pub(crate) fn public_address() -> Result<IpAddr> {
    let told = std::env::var("TASK_INBOX_FAULTS_PUBLIC")
        .context("this scenario needs mounts and a network of its own: start it by scripts/faults")?;
    Ok(told.parse()?)
}

/// Something mounted; dropping it takes it away.
pub(crate) struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // At once for whoever looks it up, and wholly when the last file of it is closed.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> Result<Mounted> {
    // Elsewhere, others would see it.
    public_address()?;
    let output = Command::new("mount").args(arguments).arg(at).output().context("can't run mount")?;
    ensure!(
        output.status.success(),
        "can't mount at {}: {}",
        at.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(Mounted(at.to_owned()))
}

/// A disk of so many bytes, in memory.
pub(crate) fn small_disk(at: &Path, bytes: u64) -> Result<Mounted> {
    std::fs::create_dir_all(at)?;
    mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "faults"], at)
}

/// A name server, and the system's files that make every process here ask it.
pub(crate) async fn name_server(directory: &Path) -> Result<(NameServer, [Mounted; 2])> {
    let server = NameServer::start(RESOLVER).await?;
    let over = |file: &str, text: &str| {
        let own = directory.join(file);
        std::fs::write(&own, text)?;
        mount(&["--bind", &own.display().to_string()], &Path::new("/etc").join(file))
    };
    let asked =
        over("resolv.conf", &format!("nameserver {}\noptions attempts:1 timeout:2\n", RESOLVER.ip()))?;
    // Nor must a resolving daemon be asked instead.
    let order = over("nsswitch.conf", "hosts: files dns\npasswd: files\ngroup: files\n")?;
    Ok((server, [asked, order]))
}
