//! Settings: flags over the environment, over `.env`, over `task-inbox.toml`.
//!
//! [`VARIABLES`] names every one; `.env.example` and `docs/CONFIG.md` are written from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use ipnet::IpNet;
use serde::Deserialize;

use crate::app::Vault;
use crate::app::vault;
use crate::store::Db;

/// A setting, as the reference describes it.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The environment variable. In `task-inbox.toml` it is in lower case, without `TASK_INBOX_`.
    pub name: &'static str,
    /// What holds if it is not set; empty: nothing.
    pub default: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
}

/// Every setting.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "DATABASE_URL",
        default: "sqlite://data/task-inbox.db",
        doc: "`sqlite://{file}`, or `postgres://{user}:{password}@{host}/{database}` for several replicas.",
    },
    Variable {
        name: "TASK_INBOX_LISTEN",
        default: "127.0.0.1:8080",
        doc: "Address and port of the API. Port 0 picks one; the first line on standard output names it.",
    },
    Variable {
        name: "TASK_INBOX_MASTER_KEY",
        default: "",
        doc: "Encrypts webhook keys at rest and signs checkpoints: 32 bytes in base64, or a ring \
              `{id}:{base64},...`, of which the first encrypts and all decrypt. `task-inbox generate-keys` \
              makes one. Required, except with `serve --dev`, which makes one beside the database.",
    },
    Variable {
        name: "TASK_INBOX_ROLES",
        default: "api,realtime,dispatcher,timers,ui",
        doc: "What this process does. Without `dispatcher` it sends no webhooks; another must.",
    },
    Variable {
        name: "TASK_INBOX_MIGRATE",
        default: "false",
        doc: "Brings the database's schema up to date at start; otherwise `task-inbox migrate up` does.",
    },
    Variable {
        name: "TASK_INBOX_ALLOW_NETS",
        default: "",
        doc: "Networks that webhooks may reach although they are private or special, in CIDR notation, \
              separated by commas: `10.1.0.0/16,fd00::/8`. `serve --dev` opens loopback.",
    },
    Variable {
        name: "TASK_INBOX_TRUSTED_PROXIES",
        default: "",
        doc: "Networks of proxies whose `Forwarded` and `X-Forwarded-*` headers are believed.",
    },
    Variable {
        name: "TASK_INBOX_DELIVERY_DEADLINE",
        default: "15s",
        doc: "The hard end of one delivery attempt, the answer's body included: `15s`, `500ms`.",
    },
    Variable {
        name: "TASK_INBOX_LEASE_MARGIN",
        default: "15s",
        doc: "How much longer than an attempt its lease runs; after deadline and margin another replica \
              takes a delivery over.",
    },
    Variable {
        name: "TASK_INBOX_LOG",
        default: "info",
        doc: "What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`) or a filter \
              (`info,task_inbox=debug`).",
    },
    Variable { name: "TASK_INBOX_LOG_FORMAT", default: "human", doc: "`human` or `json`." },
];

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves the API.
    Api,
    /// Serves subscriptions.
    Realtime,
    /// Sends webhooks.
    Dispatcher,
    /// Runs time-outs.
    Timers,
    /// Serves the app.
    Ui,
}

impl Role {
    const ALL: [(&str, Self); 5] = [
        ("api", Self::Api),
        ("realtime", Self::Realtime),
        ("dispatcher", Self::Dispatcher),
        ("timers", Self::Timers),
        ("ui", Self::Ui),
    ];
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The settings of a process, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`. May hold a password.
    pub database_url: String,
    /// `TASK_INBOX_LISTEN`.
    pub listen: SocketAddr,
    /// `TASK_INBOX_ROLES`.
    pub roles: Vec<Role>,
    /// `TASK_INBOX_MIGRATE`.
    pub migrate: bool,
    /// `TASK_INBOX_ALLOW_NETS`.
    pub allow_nets: Vec<IpNet>,
    /// `TASK_INBOX_TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// `TASK_INBOX_DELIVERY_DEADLINE`.
    pub delivery_deadline: Duration,
    /// `TASK_INBOX_LEASE_MARGIN`.
    pub lease_margin: Duration,
    /// `TASK_INBOX_LOG`.
    pub log: String,
    /// `TASK_INBOX_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// Whether this is a developer's machine: migrates, makes a master key, opens loopback.
    pub dev: bool,
    master_key: Option<String>,
}

/// The settings as text, wherever they come from.
#[derive(Deserialize)]
struct Raw {
    database_url: String,
    listen: Scalar,
    master_key: Option<String>,
    roles: String,
    migrate: Scalar,
    allow_nets: String,
    trusted_proxies: String,
    delivery_deadline: String,
    lease_margin: String,
    log: String,
    log_format: String,
}

/// A value that TOML may hold as something else than text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Text(String),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Text(value) => value,
        }
    }
}

impl Config {
    /// Reads the settings of this process. `overrides` are flags, by variable name.
    ///
    /// # Errors
    ///
    /// A file or a value that can't be read, with the variable's name and what it takes.
    pub fn load(dev: bool, overrides: &[(&str, String)]) -> anyhow::Result<Self> {
        let dotenv = match std::fs::read_to_string(".env") {
            Ok(text) => parse_dotenv(&text).context(".env can't be read")?,
            Err(_) => Vec::new(),
        };
        let mut figment = Figment::new();
        for variable in VARIABLES.iter().filter(|v| !v.default.is_empty() || v.name != "TASK_INBOX_MASTER_KEY") {
            figment = figment.merge(Serialized::default(&key(variable.name), variable.default));
        }
        figment = figment.merge(Toml::file("task-inbox.toml"));
        let environment = |name: &str| std::env::var(name).ok();
        for Variable { name, .. } in VARIABLES {
            let given = overrides.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
            let in_file = || dotenv.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
            if let Some(value) = given.or_else(|| environment(name)).or_else(in_file) {
                figment = figment.merge(Serialized::default(&key(name), value));
            }
        }
        let raw: Raw = figment.extract().map_err(|e| anyhow::anyhow!("task-inbox.toml: {e}"))?;
        Self::check(raw, dev)
    }

    fn check(raw: Raw, dev: bool) -> anyhow::Result<Self> {
        let listen = raw.listen.into_text();
        let migrate = raw.migrate.into_text();
        Ok(Self {
            database_url: raw.database_url,
            listen: listen.parse().map_err(|_| {
                anyhow::anyhow!("TASK_INBOX_LISTEN={listen}: give an address and a port, such as 127.0.0.1:8080")
            })?,
            roles: parse_roles(&raw.roles)?,
            migrate: match migrate.as_str() {
                "true" | "1" | "on" | "yes" => true,
                "false" | "0" | "off" | "no" | "" => false,
                other => bail!("TASK_INBOX_MIGRATE={other}: give true or false"),
            },
            allow_nets: parse_nets("TASK_INBOX_ALLOW_NETS", &raw.allow_nets)?,
            trusted_proxies: parse_nets("TASK_INBOX_TRUSTED_PROXIES", &raw.trusted_proxies)?,
            delivery_deadline: parse_duration("TASK_INBOX_DELIVERY_DEADLINE", &raw.delivery_deadline)?,
            lease_margin: parse_duration("TASK_INBOX_LEASE_MARGIN", &raw.lease_margin)?,
            log: raw.log,
            log_format: match raw.log_format.as_str() {
                "human" => LogFormat::Human,
                "json" => LogFormat::Json,
                other => bail!("TASK_INBOX_LOG_FORMAT={other}: give human or json"),
            },
            dev,
            master_key: raw.master_key.filter(|key| !key.trim().is_empty()),
        })
    }

    /// The master keys. In dev mode without one, they are made beside the database, where the
    /// command line finds them too.
    ///
    /// # Errors
    ///
    /// A key that can't be read; none, outside of dev mode.
    pub fn vault(&self, db: &Db) -> anyhow::Result<Vault> {
        if let Some(text) = &self.master_key {
            return Vault::parse(text).map_err(|e| anyhow::anyhow!("TASK_INBOX_MASTER_KEY: {e}"));
        }
        let path = dev_key_path(db);
        match std::fs::read_to_string(&path) {
            Ok(text) => Vault::parse(text.trim()).map_err(|e| anyhow::anyhow!("{}: {e}", path.display())),
            Err(_) if self.dev => make_dev_key(&path),
            Err(_) => bail!(
                "TASK_INBOX_MASTER_KEY is not set: `task-inbox generate-keys` makes one (`serve --dev` makes its own)"
            ),
        }
    }
}

fn dev_key_path(db: &Db) -> PathBuf {
    match db.sqlite_file() {
        Some(file) => PathBuf::from(format!("{file}.master-key")),
        None => PathBuf::from("data/master-key"),
    }
}

fn make_dev_key(path: &std::path::Path) -> anyhow::Result<Vault> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let key = vault::generate();
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(mut file) => {
            file.write_all(key.as_bytes()).with_context(|| format!("can't write {}", path.display()))?;
            Vault::parse(&key).context("a generated key can't be read")
        }
        // Another process was faster.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
            Vault::parse(text.trim()).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("can't make {}", path.display())),
    }
}

/// The name of a variable in `task-inbox.toml`.
fn key(name: &str) -> String {
    name.strip_prefix("TASK_INBOX_").unwrap_or(name).to_ascii_lowercase()
}

/// Reads `NAME=value` lines; `#` begins a comment, quotes around a value are taken off.
fn parse_dotenv(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {}: expected NAME=value", number + 1);
        };
        let value = value.trim();
        let bare = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        variables.push((name.trim().to_owned(), bare.unwrap_or(value).to_owned()));
    }
    Ok(variables)
}

fn parse_roles(text: &str) -> anyhow::Result<Vec<Role>> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let known = Role::ALL.iter().find(|(n, _)| *n == name);
            known.map(|(_, role)| *role).with_context(|| {
                let names: Vec<_> = Role::ALL.iter().map(|(n, _)| *n).collect();
                format!("TASK_INBOX_ROLES: {name} is no role; there are {}", names.join(", "))
            })
        })
        .collect()
}

fn parse_nets(name: &str, text: &str) -> anyhow::Result<Vec<IpNet>> {
    text.split(',')
        .map(str::trim)
        .filter(|net| !net.is_empty())
        .map(|net| {
            net.parse::<IpNet>()
                .or_else(|_| net.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| anyhow::anyhow!("{name}: {net} is no network; write it as 10.1.0.0/16"))
        })
        .collect()
}

fn parse_duration(name: &str, text: &str) -> anyhow::Result<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => 0,
    };
    match number.parse::<u64>() {
        Ok(number) if number > 0 && unit > 0 => Ok(Duration::from_millis(number.saturating_mul(unit))),
        _ => bail!("{name}={text}: write a time above zero as 500ms, 15s or 2m"),
    }
}

/// `docs/CONFIG.md`.
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\nGenerated from the code by `make generate`.\n\nFlags override the environment, \
         which overrides `.env`, which overrides `task-inbox.toml`. In\n`task-inbox.toml` a name is in lower case \
         and without `TASK_INBOX_`: `listen = \"127.0.0.1:8080\"`.\n\n| variable | default | |\n|---|---|---|\n",
    );
    for Variable { name, default, doc } in VARIABLES {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        text += &format!("| `{name}` | {default} | {} |\n", doc.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    text
}

/// `.env.example`.
pub fn example() -> String {
    let mut text = String::from("# Generated from the code by `make generate`. Copy to .env and change what you need.\n");
    for Variable { name, default, doc } in VARIABLES {
        let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ");
        text += &format!("\n# {doc}\n# {name}={default}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_is_read_like_a_shell_would() {
        let read = parse_dotenv("# c\nA=1\nexport B='two words'\n\nC=\"x=y\"\n").expect("valid");
        let expected = [("A", "1"), ("B", "two words"), ("C", "x=y")];
        assert_eq!(read, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert!(parse_dotenv("nonsense").is_err());
    }

    #[test]
    fn durations_name_their_unit() {
        assert_eq!(parse_duration("X", "500ms").expect("valid"), Duration::from_millis(500));
        assert_eq!(parse_duration("X", "2m").expect("valid"), Duration::from_secs(120));
        for bad in ["15", "0s", "-1s", "1h30", "", "s"] {
            assert!(parse_duration("X", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_files_are_current() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, expected) in [("docs/CONFIG.md", reference()), (".env.example", example())] {
            let found = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(found == expected, "{path} is not what the code says: run `make generate`");
        }
    }
}
