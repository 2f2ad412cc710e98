//! Where a scenario takes place: its schema, its endpoints, the keys of both sides.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use task_inbox_testkit::signature::Secret;
use task_inbox_testkit::{Installation, Receiver};

use crate::load::Key;
use crate::schema;

/// Several keys, so that the same decision by another actor is another decision.
const KEYS: usize = 4;

/// An endpoint beside the load's own: a type that has it for itself.
pub(crate) struct Neighbour {
    /// The name of the type.
    pub(crate) name: String,
    pub(crate) url: String,
    /// Who listens there, if anybody does.
    pub(crate) receiver: Option<Receiver>,
}

/// Where a scenario takes place.
pub(crate) struct Site {
    /// Where the load's receiver is.
    pub(crate) receiver: IpAddr,
    /// Where the SQLite file is, if not among the run's files.
    pub(crate) disk: Option<PathBuf>,
    pub(crate) neighbours: Vec<Neighbour>,
}

impl Default for Site {
    fn default() -> Self {
        Self { receiver: Ipv4Addr::LOCALHOST.into(), disk: None, neighbours: Vec::new() }
    }
}

/// Brings the database up to date and installs what a load needs; returns the keys it posts with.
pub(crate) async fn install(
    installation: &Installation,
    receiver: &Receiver,
    neighbours: &[Neighbour],
    directory: &Path,
) -> Result<Vec<Key>> {
    installation.cli(&["migrate", "up"]).await?;
    let file = directory.join("faults.yml");
    let more = neighbours.iter().map(|neighbour| (neighbour.name.as_str(), neighbour.url.as_str()));
    std::fs::write(&file, schema::file(|path| receiver.url(path), more))?;
    installation.cli(&["taskschema", &file.display().to_string()]).await?;
    let text = |value: &Value, field: &str| {
        value[field].as_str().map(str::to_owned).with_context(|| format!("no {field} in {value}"))
    };
    let own = schema::TYPES.map(|(ttype, path)| (ttype, path.to_owned(), Some(receiver)));
    let beside = neighbours
        .iter()
        .map(|beside| (beside.name.as_str(), format!("/{}", beside.name), beside.receiver.as_ref()));
    for (place, (ttype, path, receiver)) in own.into_iter().chain(beside).enumerate() {
        let mut arguments = vec!["webhook_key", schema::NAME];
        // The first type goes to the schema's default.
        if place > 0 {
            arguments.extend(["--type", ttype]);
        }
        let secret = text(&installation.cli(&arguments).await?, "key")?;
        let secret = Secret::parse(&secret).context("webhook_key gives a whsec_ secret")?;
        if let Some(receiver) = receiver {
            receiver.expect_secret(&path, secret);
        }
    }
    let mut keys = Vec::new();
    for number in 0..KEYS {
        let name = format!("load-{number}");
        let mut arguments = vec!["api_key", "--name", &name];
        for permission in ["tasks:write", "tasks:read", "tasks:resolve"] {
            arguments.extend(["--permission", permission]);
        }
        let made = installation.cli(&arguments).await?;
        keys.push(Key { id: text(&made, "id")?, secret: text(&made, "key")? });
    }
    Ok(keys)
}
