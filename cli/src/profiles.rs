//! Servers that `task-inbox login` keeps with their keys, for whoever works on them often.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use crate::output::warn;
use crate::private_file;

/// The name of the profile that is used where none is named.
pub(crate) const DEFAULT: &str = "default";

/// A server with a key for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) server: String,
    pub(crate) api_key: String,
}

/// All that are kept, by name.
pub(crate) struct Profiles {
    path: PathBuf,
    pub(crate) by_name: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file; none is one without profiles.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = path()?;
        let text = private_file::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
        let by_name = toml::from_str(text.as_deref().unwrap_or_default()).map_err(|e| {
            // Its own text would quote the line, and with it a key.
            anyhow!("{} can't be read: {}; mend it or remove it", path.display(), e.message())
        })?;
        if text.is_some() && private_file::is_open_to_others(&path) {
            warn(&format!("others may read {}, which holds keys: chmod 600 it", path.display()));
        }
        Ok(Self { path, by_name })
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = toml::to_string(&self.by_name)?;
        private_file::replace(&self.path, &text)
            .with_context(|| format!("{} can't be written", self.path.display()))
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// The names, as a sentence lists them.
    pub(crate) fn names(&self) -> String {
        match self.by_name.len() {
            0 => "there are none yet".to_owned(),
            _ => format!("there are {}", self.by_name.keys().cloned().collect::<Vec<_>>().join(", ")),
        }
    }
}

/// The XDG Base Directory Specification: a variable that is empty or relative is not set.
fn path() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let config = config.context("there is no place for profiles: neither XDG_CONFIG_HOME nor HOME is set")?;
    Ok(config.join("task-inbox/profiles.toml"))
}
