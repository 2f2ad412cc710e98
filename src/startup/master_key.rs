//! Where the master key comes from: the configuration, or a file that `--dev` makes.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::database::{beside, sqlite_file};
use crate::app::vault::{self, Vault};
use crate::config::Config;

/// The file on PostgreSQL, which has no file to put it beside.
const POSTGRES_FILE: &str = "data/master-key";

/// A server's key: required, but for `--dev`, which makes one.
pub(super) fn for_server(config: &Config) -> anyhow::Result<Vault> {
    if let Some(text) = &config.master_key {
        return Ok(Vault::parse(text)?);
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
    if config.dev && config.master_key.is_none() {
        return for_development(config);
    }
    Ok(if_there(config)?.unwrap_or_else(Vault::empty))
}

/// The key that is set, or that was made for development.
pub(super) fn if_there(config: &Config) -> anyhow::Result<Option<Vault>> {
    if let Some(text) = &config.master_key {
        return Ok(Some(Vault::parse(text)?));
    }
    let path = file(&config.database_url);
    read(&path)?.map(|text| parse(&path, &text)).transpose()
}

/// The key in the file, which is made if it is not there.
fn for_development(config: &Config) -> anyhow::Result<Vault> {
    let path = file(&config.database_url);
    if let Some(text) = read(&path)? {
        return parse(&path, &text);
    }
    let text = vault::generate();
    make(&path, &text).with_context(|| format!("{} can't be made", path.display()))?;
    tracing::info!(path = %path.display(), "made a master key for development");
    parse(&path, &text)
}

/// Where the file is, or would be.
pub fn file(url: &str) -> PathBuf {
    sqlite_file(url).map_or_else(|| POSTGRES_FILE.into(), |db| beside(db, ".master-key"))
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("{} can't be read", path.display())),
    }
}

fn parse(path: &Path, text: &str) -> anyhow::Result<Vault> {
    Vault::parse(text.trim()).with_context(|| format!("{} does not hold a master key", path.display()))
}

/// Only for its owner, and never over one that is there.
fn make(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
