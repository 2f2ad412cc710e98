//! Where the master key ring comes from: the configuration, a file that it names, or one that `--dev`
//! makes. Files are read again while the service works.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::database::{beside, sqlite_file};
use crate::app::vault::{self, Source, Vault};
use crate::config::Config;

/// The file on PostgreSQL, which has no file to put it beside.
const POSTGRES_FILE: &str = "data/master-key";

/// A server's key: required, but for `--dev`, which makes one.
pub(super) fn for_server(config: &Config) -> anyhow::Result<Vault> {
    if let Some(vault) = configured(config)? {
        return Ok(vault);
    }
    if !config.dev {
        return Err(missing());
    }
    for_development(config)
}

/// What to do where a server has none.
pub(super) fn missing() -> anyhow::Error {
    anyhow!("TASK_INBOX_MASTER_KEY is not set; make one with `task-inbox generate-keys` and put it into .env")
}

/// A command's key: what is set, or what was made for development; many commands need none.
pub(super) fn for_command(config: &Config) -> anyhow::Result<Vault> {
    if config.dev {
        return for_server(config);
    }
    Ok(if_there(config)?.unwrap_or_else(Vault::empty))
}

/// The key that is set, or that was made for development.
pub(super) fn if_there(config: &Config) -> anyhow::Result<Option<Vault>> {
    if let Some(vault) = configured(config)? {
        return Ok(Some(vault));
    }
    let path = default_file(config);
    let is_there = path.try_exists().with_context(|| format!("{} can't be looked for", path.display()))?;
    is_there.then(|| watching(path)).transpose()
}

/// What the configuration says, if it says something.
fn configured(config: &Config) -> anyhow::Result<Option<Vault>> {
    match (&config.master_key, &config.master_key_file) {
        (Some(text), _) => Ok(Some(Vault::parse(text)?)),
        (None, Some(path)) => watching(path.clone()).context("TASK_INBOX_MASTER_KEY_FILE").map(Some),
        (None, None) => Ok(None),
    }
}

/// The key in the file, which is made if it is not there.
fn for_development(config: &Config) -> anyhow::Result<Vault> {
    let path = default_file(config);
    match make(&path, &vault::generate()) {
        Ok(()) => tracing::info!(path = %path.display(), "made a master key for development"),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("{} can't be made", path.display())),
    }
    watching(path)
}

/// The file that holds the ring, if one does: the one that is set, or the one that `--dev` makes.
pub fn file(config: &Config) -> PathBuf {
    config.master_key_file.clone().unwrap_or_else(|| default_file(config))
}

fn default_file(config: &Config) -> PathBuf {
    sqlite_file(&config.database_url).map_or_else(|| POSTGRES_FILE.into(), |db| beside(db, ".master-key"))
}

/// A vault that follows a file.
fn watching(path: PathBuf) -> anyhow::Result<Vault> {
    let name = path.display().to_string();
    let read = Box::new(move || fs::read_to_string(&path));
    Vault::watching(Source { name, read }).map_err(|e| anyhow!(e))
}

/// Only for its owner, and never over one that is there.
fn make(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
