//! What can be set, where it is looked for, and what it means.
//!
//! Flags override the environment, which overrides `.env`, which overrides `task-inbox.toml`.
//! `variables` is the one table of names; `sources` reads texts under those names; here they
//! become a [`Config`], past which nothing asks again. `docs/CONFIG.md` and `.env.example` are
//! made from the table by [`docs`].

pub mod docs;
mod inspect;
mod sources;
mod values;
mod variables;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use crate::app::duration;
use crate::bus;
pub use inspect::{Inspection, Remote, Shown};
pub use sources::Flags;
pub use values::server_url;
use values::{address, database_url, log_format, margin, nats, nets, positive_duration, roles, switch, url};
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
    /// Adds every event to a stream in NATS.
    Exporter,
}

impl Role {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Api, "api"),
        (Self::Realtime, "realtime"),
        (Self::Dispatcher, "dispatcher"),
        (Self::Timers, "timers"),
        (Self::Ui, "ui"),
        (Self::Exporter, "exporter"),
    ];
}

/// Variables of the final product that this version knows and does not act on.
const NO_EFFECT_YET: [&str; 4] =
    ["TASK_INBOX_API_URL", "TASK_INBOX_REALTIME_URL", "TASK_INBOX_PUBLIC_URL", "TASK_INBOX_CORS_ORIGINS"];

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
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that people set by itself")]
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
    /// How long deliveries that ended are kept.
    pub keep_deliveries: Duration,
    /// How processes wake each other. May hold a password.
    pub bus: bus::Kind,
    /// Where events are exported to, with the role for it. May hold a password.
    pub export_url: Option<String>,
    /// Whether `/metrics` is there.
    pub metrics: bool,
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

/// Everything that is wrong, of which there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            many => write!(f, "the configuration is wrong in {} places", many.len()),
        }
    }
}

impl Config {
    /// Reads everything; files are looked for in `directory`.
    pub fn load(flags: &Flags, directory: &Path) -> Result<Self, ConfigErrors> {
        let settings = sources::Settings::read(flags, std::env::vars(), directory);
        Self::from_settings(&settings, flags.dev)
    }

    fn from_settings(settings: &sources::Settings, dev: bool) -> Result<Self, ConfigErrors> {
        let wrong = std::cell::RefCell::new(settings.wrong.clone());
        let config = Self::read(settings, dev, &|error| wrong.borrow_mut().push(error));
        match (config, wrong.into_inner()) {
            (Some(config), wrong) if wrong.is_empty() => Ok(config),
            (_, wrong) => Err(ConfigErrors(wrong)),
        }
    }

    /// Reads one variable after another, also after one that is wrong.
    fn read(settings: &sources::Settings, dev: bool, refuse: &dyn Fn(ConfigError)) -> Option<Self> {
        /// What was read, or nothing and a complaint.
        fn keep<T>(result: Result<T, ConfigError>, refuse: &dyn Fn(ConfigError)) -> Option<T> {
            result.map_err(refuse).ok()
        }
        let some = |name: &str| settings.text(name).map(str::to_owned);
        for name in ["TASK_INBOX_API_URL", "TASK_INBOX_REALTIME_URL", "TASK_INBOX_PUBLIC_URL"] {
            keep(settings.parse(name, url), refuse);
        }
        keep(settings.parse("TASK_INBOX_SERVER", server_url), refuse);
        let database_url = keep(settings.required("DATABASE_URL", database_url), refuse);
        let listen = keep(settings.required("TASK_INBOX_LISTEN", address), refuse);
        let roles = keep(settings.required("TASK_INBOX_ROLES", roles), refuse);
        let trusted_proxies = keep(settings.required("TASK_INBOX_TRUSTED_PROXIES", nets), refuse);
        let allow_nets = keep(settings.required("TASK_INBOX_ALLOW_NETS", nets), refuse);
        let bus = keep(settings.parse("TASK_INBOX_BUS", bus::Kind::parse), refuse);
        let is_sqlite = database_url.as_ref().is_some_and(|url| url.starts_with("sqlite:"));
        if is_sqlite && settings.text("TASK_INBOX_BUS") == Some("postgres") {
            let what = "is postgres, and the database is SQLite: leave it unset".to_owned();
            refuse(settings.wrong("TASK_INBOX_BUS", what));
        }
        let export_url = keep(settings.parse("TASK_INBOX_EXPORT_URL", nats), refuse);
        let export_url = match (export_url, &bus) {
            (Some(None), Some(Some(bus::Kind::Nats(url)))) => Some(Some(url.clone())),
            (url, _) => url,
        };
        let exports = roles.as_ref().is_some_and(|roles| roles.contains(&Role::Exporter));
        if exports && bus.is_some() && export_url.as_ref().is_some_and(Option::is_none) {
            let what =
                "names exporter, which needs a NATS server: set TASK_INBOX_EXPORT_URL=nats://{host}:4222";
            refuse(settings.wrong("TASK_INBOX_ROLES", what.to_owned()));
        }
        let migrate = keep(settings.required("TASK_INBOX_MIGRATE", switch), refuse);
        let genesis = keep(settings.required("TASK_INBOX_GENESIS", switch), refuse);
        let log_format = keep(settings.required("TASK_INBOX_LOG_FORMAT", log_format), refuse);
        let deadline = keep(settings.required("TASK_INBOX_DELIVERY_DEADLINE", positive_duration), refuse);
        let docs = keep(settings.required("TASK_INBOX_DOCS", switch), refuse);
        let metrics = keep(settings.required("TASK_INBOX_METRICS", switch), refuse);
        let (master_key, master_key_file) =
            (some("TASK_INBOX_MASTER_KEY"), some("TASK_INBOX_MASTER_KEY_FILE"));
        if master_key.is_some() && master_key_file.is_some() {
            let what = "is set beside TASK_INBOX_MASTER_KEY; set one of them".to_owned();
            refuse(settings.wrong("TASK_INBOX_MASTER_KEY_FILE", what));
        }
        let keep_deliveries =
            keep(settings.required("TASK_INBOX_KEEP_DELIVERIES", positive_duration), refuse);
        let lease_margin = keep(settings.required("TASK_INBOX_LEASE_MARGIN", margin), refuse);
        Some(Self {
            database_url: database_url?,
            listen: listen?,
            master_key,
            master_key_file: master_key_file.map(PathBuf::from),
            docs: docs?,
            roles: roles?,
            trusted_proxies: trusted_proxies?,
            allow_nets: allow_nets?,
            migrate: migrate?,
            genesis: genesis?,
            log: some("TASK_INBOX_LOG"),
            log_format: log_format?,
            delivery_deadline: deadline?,
            lease_margin: lease_margin?,
            keep_deliveries: keep_deliveries?,
            bus: bus?.unwrap_or_default(),
            export_url: export_url?.filter(|_| exports),
            metrics: metrics?,
            dev,
            unused: NO_EFFECT_YET.iter().filter(|name| settings.is_set(name)).copied().collect(),
        })
    }

    /// Whether this process has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// One variable that is not in the table, of the environment or of `.env`.
pub fn variable(name: &str, directory: &Path) -> Option<String> {
    let set = std::env::var(name).ok().or_else(|| sources::dotenv_variable(name, directory));
    set.filter(|value| !value.trim().is_empty())
}

fn default_of(name: &str) -> &'static str {
    VARIABLES.iter().find(|v| v.name == name).map_or("", |v| v.default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(vars: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let folder = tempfile::tempdir().expect("a folder");
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = sources::Settings::read(&Flags::default(), vars, folder.path());
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
            ("TASK_INBOX_BUS", "kafka://cache", "redis://"),
            ("TASK_INBOX_BUS", "redis://", "Redis"),
            ("TASK_INBOX_BUS", "postgres", "SQLite"),
            ("TASK_INBOX_ROLES", "api,exporter", "TASK_INBOX_EXPORT_URL"),
            ("TASK_INBOX_EXPORT_URL", "redis://cache", "NATS"),
            ("TASK_INBOX_SERVER", "ftp://inbox", "https://"),
            ("TASK_INBOX_SERVER", "https://inbox/?a", "address alone"),
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
        let secret =
            load(&[("TASK_INBOX_SERVER", "https://a:swordfish@b")]).expect_err("a password").to_string();
        assert!(!secret.contains("swordfish"), "{secret}");
    }

    #[test]
    fn says_everything_that_is_wrong() {
        let wrong = load(&[("TASK_INBOX_LISTEN", "x"), ("TASK_INBOX_MIGRATE", "x"), ("DATABASE_URL", "x")]);
        let wrong = wrong.expect_err("wrong");
        assert_eq!((wrong.0.len(), wrong.to_string().contains("3 places")), (3, true));
    }

    #[test]
    fn reads_lists() {
        let config =
            load(&[("TASK_INBOX_ALLOW_NETS", "127.0.0.1, 10.0.0.0/8,"), ("TASK_INBOX_ROLES", "api")]);
        let config = config.expect("right");
        assert_eq!(config.allow_nets.len(), 2);
        assert_eq!(config.roles, [Role::Api]);
        assert!(config.unused.is_empty());
        let exports =
            |name, url| load(&[("TASK_INBOX_ROLES", "exporter"), (name, url)]).expect("right").export_url;
        assert_eq!(exports("TASK_INBOX_BUS", "nats://queue").as_deref(), Some("nats://queue"));
        assert_eq!(exports("TASK_INBOX_EXPORT_URL", "tls://queue").as_deref(), Some("tls://queue"));
        assert_eq!(load(&[("TASK_INBOX_EXPORT_URL", "nats://queue")]).expect("right").export_url, None);
        let bus = |text| load(&[("TASK_INBOX_BUS", text)]).expect("known").bus;
        assert!(matches!(bus("memory"), bus::Kind::Memory));
        assert!(matches!(bus("redis://:swordfish@cache/1"), bus::Kind::Redis(_)));
        assert!(matches!(bus("nats://a:b@queue:4222"), bus::Kind::Nats(_)));
    }
}
