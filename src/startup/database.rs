//! The database at start: reached, alone where it must be, and of the right age.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::config::Config;
use crate::store::{Db, StoreError};

/// How sea-orm says that the database has a migration which this binary hasn't.
const NEWER: &str = "Migration file of version";

/// Connects.
pub async fn connect(url: &str) -> anyhow::Result<Db> {
    Db::connect(url).await.context("the database can't be opened; check DATABASE_URL")
}

/// The file of an SQLite address.
pub(super) fn sqlite_file(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(Path::new(path.split_once('?').map_or(path, |(path, _)| path)))
}

/// A path beside another: the same with something after it.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Connecting to an SQLite file makes it, which only `serve` and `migrate up` should do.
pub(super) fn must_exist(url: &str) -> anyhow::Result<()> {
    match sqlite_file(url) {
        Some(file) if !file.exists() => {
            bail!(
                "there is no database at {}; make one with `task-inbox migrate up`, or set DATABASE_URL",
                file.display()
            )
        }
        _ => Ok(()),
    }
}

/// Makes sure that no other server runs on the same SQLite file, for as long as the lock is held.
///
/// # Errors
///
/// Another server holds it.
pub fn lock(db: &Db) -> anyhow::Result<Option<File>> {
    let Some(file) = db.sqlite_file() else { return Ok(None) };
    let path = beside(Path::new(file), ".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} can't be made", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => bail!(
            "another `task-inbox serve` runs on {file}; on SQLite there can be one: stop it, or use PostgreSQL"
        ),
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("{} can't be locked", path.display())),
    }
}

/// Migrates if that was asked for; refuses a database that is not up to date, or ahead.
pub(super) async fn prepare(db: &Db, config: &Config) -> anyhow::Result<()> {
    let pending = pending(db).await?;
    if pending.is_empty() {
        return Ok(());
    }
    if !config.dev && !config.migrate {
        bail!(behind(&pending));
    }
    if !config.dev && !config.genesis && db.applied_migrations().await?.is_empty() {
        bail!(
            "the database is empty; for a first start set TASK_INBOX_GENESIS=on (or run `task-inbox migrate up`), \
             else check DATABASE_URL and that its volume is mounted"
        );
    }
    let applied = db.migrate_up().await?;
    tracing::info!(migrations = applied.len(), "the database is up to date");
    Ok(())
}

/// Refuses a database that is not up to date, or ahead.
pub(super) async fn must_be_current(db: &Db) -> anyhow::Result<()> {
    match pending(db).await?.as_slice() {
        [] => Ok(()),
        pending => bail!(behind(pending)),
    }
}

fn behind(pending: &[String]) -> String {
    let migrations = if pending.len() == 1 { "migration is" } else { "migrations are" };
    format!(
        "the database is not up to date: {} {migrations} pending; run `task-inbox migrate up`",
        pending.len()
    )
}

async fn pending(db: &Db) -> anyhow::Result<Vec<String>> {
    match db.pending_migrations().await {
        Err(StoreError::Unavailable(text)) if text.contains(NEWER) => bail!(
            "the database was migrated by a newer version of task-inbox than this one, {}; use that version",
            env!("CARGO_PKG_VERSION")
        ),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_file() {
        for (url, file) in [
            ("sqlite://data/a.db", Some("data/a.db")),
            ("sqlite:///data/a.db?mode=rwc", Some("/data/a.db")),
            ("sqlite:a.db", Some("a.db")),
            ("postgres://localhost/a", None),
        ] {
            assert_eq!(sqlite_file(url), file.map(Path::new), "{url}");
        }
        assert_eq!(beside(Path::new("data/a.db"), ".lock"), Path::new("data/a.db.lock"));
    }

    #[tokio::test]
    async fn one_server_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let db =
            connect(&format!("sqlite://{}", folder.path().join("a.db").display())).await.expect("a database");
        let held = lock(&db).expect("free").expect("SQLite has one");
        assert!(lock(&db).expect_err("held").to_string().contains("another `task-inbox serve`"));
        drop(held);
        assert!(lock(&db).is_ok());
    }
}
