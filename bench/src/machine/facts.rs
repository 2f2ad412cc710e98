//! The machine, for whoever wants to compare.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// What the figures were measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The CPU's name and how many cores there are to run on.
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) postgres: String,
    /// The file system that holds the databases.
    pub(crate) disk: String,
    /// The commit that the binary should be of.
    pub(crate) commit: String,
}

impl Facts {
    pub(crate) async fn gather() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: cpu(),
            kernel: format!("Linux {}", release.trim()),
            postgres: said_by("psql", &["--version"])
                .await
                .and_then(|text| Some(format!("PostgreSQL {}", text.split_whitespace().nth(2)?)))
                .unwrap_or_else(|| "no PostgreSQL".to_owned()),
            disk: file_system(&std::env::temp_dir()),
            commit: commit().await.unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

/// The commit that is checked out, and whether anything differs from it but the report that is being written.
async fn commit() -> Option<String> {
    let commit = said_by("git", &["describe", "--always", "--exclude=*"]).await?;
    let elsewhere = ["status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs"];
    let is_changed = said_by("git", &elsewhere).await.is_some_and(|changes| !changes.is_empty());
    Some(format!("{}{}", commit.trim(), if is_changed { "-dirty" } else { "" }))
}

async fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// The kind of file system that a directory is on.
fn file_system(directory: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, kind) = (fields.next()?, fields.next()?);
            directory.starts_with(point).then_some((point.len(), kind))
        })
        // The deepest mount is the one; of several at one point, the latest.
        .max_by_key(|(depth, _)| *depth)
        .map_or_else(|| "unknown file system".to_owned(), |(_, kind)| kind.to_owned())
}

/// Refuses to measure databases that are kept in memory: `fdatasync` costs nothing there.
pub(crate) fn refuse_memory() -> Result<()> {
    let directory = std::env::temp_dir();
    let kind = file_system(&directory);
    ensure!(
        !matches!(kind.as_str(), "tmpfs" | "ramfs"),
        "{} is {kind}, which is no disk: set TMPDIR to a directory on one",
        directory.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn knows_where_it_runs() {
        let facts = Facts::gather().await;
        assert!(facts.cpu.contains("cores"), "{facts:?}");
        assert!(facts.kernel.len() > "Linux ".len(), "{facts:?}");
        assert_eq!(file_system(Path::new("/proc/self")), "proc");
    }
}
