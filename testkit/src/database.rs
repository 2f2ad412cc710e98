//! Direct SQL on either engine, for what the service has no answer to: through `psql` and
//! `sqlite3`, so that no driver of ours sits between the test and the data.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// A database of either engine.
#[derive(Clone, Debug)]
pub enum Database {
    /// A PostgreSQL database, by its URL.
    Postgres(String),
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl Database {
    /// What goes into `DATABASE_URL`.
    pub fn url(&self) -> String {
        match self {
            Self::Postgres(url) => url.clone(),
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
        }
    }

    /// Runs one SELECT and returns its rows as JSON objects.
    pub async fn query(&self, select: &str) -> Result<Vec<Value>> {
        let text = match self {
            Self::Postgres(_) => {
                self.execute(&format!("SELECT coalesce(json_agg(r), '[]') FROM ({select}) r")).await?
            }
            Self::Sqlite(_) => self.execute(select).await?,
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str(text).with_context(|| format!("answer to {select:?} is not JSON"))
    }

    /// Runs statements, one transaction for all, and returns what they printed.
    pub async fn execute(&self, statements: &str) -> Result<String> {
        let mut command = match self {
            Self::Postgres(url) => {
                let mut psql = Command::new("psql");
                psql.args([
                    "-X",
                    "-q",
                    "-A",
                    "-t",
                    "-1",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-d",
                    url,
                    "-c",
                    statements,
                ]);
                psql
            }
            Self::Sqlite(path) => {
                let mut sqlite = Command::new("sqlite3");
                // The dot command prints nothing, unlike the pragma.
                sqlite.args(["-batch", "-bail", "-json", "-cmd", ".timeout 10000"]).arg(path);
                sqlite.arg(format!("BEGIN; {}; COMMIT;", statements.trim_end().trim_end_matches(';')));
                sqlite
            }
        };
        let output = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("can't run {}: apt-get install {}", self.tool(), self.package()))?;
        ensure!(
            output.status.success(),
            "{}: {}: {statements}",
            self.tool(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Copies a SQLite database that nobody has open.
    pub fn copy_file(from: &Path, to: &Path) -> Result<Self> {
        for suffix in ["", "-wal"] {
            let source = PathBuf::from(format!("{}{suffix}", from.display()));
            if source.exists() {
                std::fs::copy(source, format!("{}{suffix}", to.display()))?;
            }
        }
        Ok(Self::Sqlite(to.to_owned()))
    }

    const fn tool(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "psql",
            Self::Sqlite(_) => "sqlite3",
        }
    }

    const fn package(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgresql-client",
            Self::Sqlite(_) => "sqlite3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_and_writes_sqlite() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let database = Database::Sqlite(directory.path().join("a.db"));
        database
            .execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2);")
            .await
            .expect("written");
        let rows = database.query("SELECT a FROM t ORDER BY a").await.expect("read");
        assert_eq!(rows, [serde_json::json!({"a": 1}), serde_json::json!({"a": 2})]);
        assert!(database.query("SELECT a FROM t WHERE a > 2").await.expect("read").is_empty());
        assert!(database.execute("SELECT nonsense").await.is_err());
    }
}
