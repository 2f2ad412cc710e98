//! Child processes that can't outlive their parent, and signals to them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};

/// A command whose process gets `signal` (a name without `SIG`) when the thread that started it
/// ends, by `setpriv --pdeathsig`: a killed test leaves nothing behind.
///
/// With `user`, it also runs as that user and its group of the same name.
pub fn tethered(program: &Path, signal: &str, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig").arg(signal);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process id")?;
    kill_process(pid, signal).with_context(|| format!("can't send {signal:?} to process {pid:?}"))
}

/// Sends a signal to every process of a group, which its first process has given its id.
pub fn signal_group(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process id")?;
    kill_process_group(pid, signal).with_context(|| format!("can't send {signal:?} to the group {pid:?}"))
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
