//! What can be set, where it is looked for, and what it means.
//!
//! Flags override the environment, which overrides `.env`, which overrides `task-inbox.toml`.
//! `variables` is the one table of names; `sources` reads texts under those names; here they
//! become a [`Config`], past which nothing asks again. `docs/CONFIG.md` and `.env.example` are
//! made from the table by [`docs`].

pub mod docs;
mod sources;
mod variables;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use crate::app::duration;
pub use sources::Flags;
pub use variables::{VARIABLES, Variable};

/// A part of the work that a process may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers the HTTP API.
    Api,
    /// Streams events.
    Realtime,
    /// Sends webhooks.
    Dispatcher,
    /// Makes time-outs happen.
    Timers,
    /// Serves the browser's app.
    Ui,
}

impl Role {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Api, "api"),
        (Self::Realtime, "realtime"),
        (Self::Dispatcher, "dispatcher"),
        (Self::Timers, "timers"),
        (Self::Ui, "ui"),
    ];
}

/// Variables of the final product that this version knows and does not act on.
const NO_EFFECT_YET: [&str; 5] = [
    "TASK_INBOX_API_URL",
    "TASK_INBOX_REALTIME_URL",
    "TASK_INBOX_BUS",
    "TASK_INBOX_PUBLIC_URL",
    "TASK_INBOX_CORS_ORIGINS",
];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For reading.
    Human,
    /// One JSON object a line.
    Json,
}

/// Everything that was set, read and checked.
#[derive(Clone)]
pub struct Config {
    /// Where the database is. May hold a password.
    pub database_url: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The master key ring, as written.
    pub master_key: Option<String>,
    /// A file that holds it instead, and may change.
    pub master_key_file: Option<PathBuf>,
    /// Whether `/docs` is served.
    pub docs: bool,
    /// What this process does.
    pub roles: Vec<Role>,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Special networks that webhooks may reach.
    pub allow_nets: Vec<IpNet>,
    /// Whether to migrate at start.
    pub migrate: bool,
    /// Whether an empty database may be filled at start.
    pub genesis: bool,
    /// Which log lines are written, if it was said.
    pub log: Option<String>,
    /// How they look.
    pub log_format: LogFormat,
    /// The hard end of one attempt at a webhook.
    pub delivery_deadline: Duration,
    /// How much longer than that a lease runs.
    pub lease_margin: Duration,
    /// `--dev`.
    pub dev: bool,
    /// What was set and has no effect in this version.
    pub unused: Vec<&'static str>,
}

impl std::fmt::Debug for Config {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("listen", &self.listen).field("dev", &self.dev).finish_non_exhaustive()
    }
}

/// Something is set to what it can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that doesn't read.
    #[error("{name} (from {source_name}) {what}")]
    Value {
        /// The variable.
        name: &'static str,
        /// Where it was set.
        source_name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file that doesn't read.
    #[error("{0}")]
    File(String),
}

impl Config {
    /// Reads everything; files are looked for in `directory`.
    pub fn load(flags: &Flags, directory: &Path) -> Result<Self, ConfigError> {
        Self::from_settings(&sources::Settings::read(flags, std::env::vars(), directory)?, flags.dev)
    }

    fn from_settings(settings: &sources::Settings, dev: bool) -> Result<Self, ConfigError> {
        let some = |name| settings.parse(name, |text| Ok(text.to_owned()));
        let unused = NO_EFFECT_YET.iter().filter(|name| settings.is_set(name)).copied().collect();
        let or_default = |name| some(name).map(|text| text.unwrap_or_else(|| default_of(name).to_owned()));
        for url in ["TASK_INBOX_API_URL", "TASK_INBOX_REALTIME_URL", "TASK_INBOX_PUBLIC_URL"] {
            settings.parse(url, |text| {
                url::Url::parse(text).map(drop).map_err(|e| format!("is not a URL: {e}"))
            })?;
        }
        let (master_key, master_key_file) =
            (some("TASK_INBOX_MASTER_KEY")?, some("TASK_INBOX_MASTER_KEY_FILE")?);
        if master_key.is_some() && master_key_file.is_some() {
            let what = "is set beside TASK_INBOX_MASTER_KEY; set one of them".to_owned();
            return Err(settings.wrong("TASK_INBOX_MASTER_KEY_FILE", what));
        }
        Ok(Self {
            database_url: settings
                .parse("DATABASE_URL", database_url)?
                .unwrap_or_else(|| default_of("DATABASE_URL").to_owned()),
            listen: settings.required("TASK_INBOX_LISTEN", |text| {
                text.parse()
                    .map_err(|_| format!("is {text:?}, not an address and port such as 127.0.0.1:8080"))
            })?,
            master_key,
            master_key_file: master_key_file.map(PathBuf::from),
            docs: settings.required("TASK_INBOX_DOCS", switch)?,
            roles: settings.required("TASK_INBOX_ROLES", roles)?,
            trusted_proxies: settings.required("TASK_INBOX_TRUSTED_PROXIES", nets)?,
            allow_nets: settings.required("TASK_INBOX_ALLOW_NETS", nets)?,
            migrate: settings.required("TASK_INBOX_MIGRATE", switch)?,
            genesis: settings.required("TASK_INBOX_GENESIS", switch)?,
            log: some("TASK_INBOX_LOG")?,
            log_format: match or_default("TASK_INBOX_LOG_FORMAT")?.as_str() {
                "json" => LogFormat::Json,
                "human" => LogFormat::Human,
                other => {
                    return Err(
                        settings.wrong("TASK_INBOX_LOG_FORMAT", format!("is {other:?}, not human or json"))
                    );
                }
            },
            delivery_deadline: settings.required("TASK_INBOX_DELIVERY_DEADLINE", positive_duration)?,
            lease_margin: settings.required("TASK_INBOX_LEASE_MARGIN", positive_duration)?,
            dev,
            unused,
        })
    }

    /// Whether this process has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

fn default_of(name: &str) -> &'static str {
    VARIABLES.iter().find(|v| v.name == name).map_or("", |v| v.default)
}

fn database_url(text: &str) -> Result<String, String> {
    let known = ["sqlite:", "postgres://", "postgresql://"];
    if known.iter().any(|scheme| text.starts_with(scheme)) {
        Ok(text.to_owned())
    } else {
        // It may hold a password, so it is not quoted.
        Err("must begin with sqlite:// or postgres://".to_owned())
    }
}

fn roles(text: &str) -> Result<Vec<Role>, String> {
    list(text, |name| {
        let known = Role::ALL.iter().find(|(_, known)| *known == name).map(|(role, _)| *role);
        known.ok_or_else(|| {
            let names: Vec<_> = Role::ALL.iter().map(|(_, name)| *name).collect();
            format!("names the role {name:?}; there are {}", names.join(", "))
        })
    })
}

fn nets(text: &str) -> Result<Vec<IpNet>, String> {
    list(text, |net| {
        let parsed = net.parse().ok().or_else(|| net.parse::<std::net::IpAddr>().ok().map(IpNet::from));
        parsed.ok_or_else(|| format!("holds {net:?}, which is not a network such as 10.0.0.0/8"))
    })
}

fn list<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(read).collect()
}

fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Ok(true),
        "0" | "false" | "off" | "no" => Ok(false),
        _ => Err(format!("is {text:?}, not on or off")),
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = sources::Settings::read(&Flags::default(), vars, folder.path())?;
        Config::from_settings(&settings, false)
    }

    #[test]
    fn every_default_reads() {
        let config = load(&[]).expect("defaults");
        assert_eq!(config.database_url, "sqlite://data/task-inbox.db");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.has(Role::Api) && config.has(Role::Dispatcher) && !config.migrate);
        assert_eq!(config.delivery_deadline + config.lease_margin, Duration::from_secs(30));
    }

    #[test]
    fn says_which_variable_is_wrong_and_where_it_was_set() {
        for (name, value, expected) in [
            ("TASK_INBOX_LISTEN", "8080", "127.0.0.1:8080"),
            ("TASK_INBOX_ROLES", "api,cook", "cook"),
            ("TASK_INBOX_ALLOW_NETS", "10.0.0.0/33", "10.0.0.0/8"),
            ("TASK_INBOX_MIGRATE", "perhaps", "on or off"),
            ("TASK_INBOX_DELIVERY_DEADLINE", "0s", "longer"),
            ("TASK_INBOX_LOG_FORMAT", "xml", "human or json"),
            ("TASK_INBOX_PUBLIC_URL", "inbox", "URL"),
        ] {
            let message = load(&[(name, value)]).expect_err(name).to_string();
            assert!(message.starts_with(name) && message.contains("the environment"), "{message}");
            assert!(message.contains(expected), "{message}");
        }
        let both = [("TASK_INBOX_MASTER_KEY", "swordfish"), ("TASK_INBOX_MASTER_KEY_FILE", "ring")];
        let both = load(&both).expect_err("one too many").to_string();
        assert!(both.contains("set one of them") && !both.contains("swordfish"), "{both}");
        let secret =
            load(&[("DATABASE_URL", "mysql://root:swordfish@db")]).expect_err("not ours").to_string();
        assert!(!secret.contains("swordfish"), "{secret}");
    }

    #[test]
    fn reads_lists() {
        let config =
            load(&[("TASK_INBOX_ALLOW_NETS", "127.0.0.1, 10.0.0.0/8,"), ("TASK_INBOX_ROLES", "api")]);
        let config = config.expect("right");
        assert_eq!(config.allow_nets.len(), 2);
        assert_eq!(config.roles, [Role::Api]);
        assert!(config.unused.is_empty());
        assert_eq!(load(&[("TASK_INBOX_BUS", "memory")]).expect("known").unused, ["TASK_INBOX_BUS"]);
    }
}
