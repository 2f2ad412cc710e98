//! How fast the disk makes a write durable, as PostgreSQL's own tool measures it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// How many 8 KiB writes with fdatasync the disk under `directory` takes a second, one by one.
pub(crate) async fn fdatasync(tools: &Path, directory: &Path, seconds: u64) -> Result<f64> {
    let file = directory.join("pg_test_fsync.out");
    let mut test = Command::new(tools.join("pg_test_fsync"))
        .args(["-s", &seconds.to_string(), "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("can't run pg_test_fsync: apt-get install postgresql")?;
    let mut lines = BufReader::new(test.stdout.take().context("stdout is piped")?).lines();
    while let Some(line) = lines.next_line().await? {
        // The first one is the test of a single write; the rest of the program is not waited for.
        let Some(line) = line.trim().strip_prefix("fdatasync") else { continue };
        let figure = line.split_whitespace().next().and_then(|figure| figure.parse().ok());
        test.kill().await?;
        // The tool removes its file only when it ends by itself.
        std::fs::remove_file(file)?;
        return figure.with_context(|| format!("no figure in what pg_test_fsync printed: {line}"));
    }
    bail!("pg_test_fsync printed no fdatasync")
}

#[cfg(test)]
mod tests {
    use task_inbox_testkit::Postgres;

    #[tokio::test]
    async fn measures_the_disk() {
        let cluster = Postgres::start().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        assert!(super::fdatasync(cluster.tools(), directory.path(), 1).await.unwrap() > 0.0);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
