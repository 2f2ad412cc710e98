//! Where a command works: on a database, or on a server.
//!
//! What is nearer wins: what the command line names, then what the settings name (a server before a
//! database), then the profile that `login` kept. So a profile never takes the place of a database
//! that somebody set for this folder or this shell.

use std::time::Duration;

use anyhow::Context;
use task_inbox::config::{self as settings, Config, Flags};
use task_inbox::telemetry;
use url::{Host, Url};

use crate::api::{Address, Api, Refusal};
use crate::output::{Usage, warn};
use crate::profiles::{DEFAULT, Profile, Profiles};

/// What commands write to the log if nothing else is said: what the answer says is not said twice.
const QUIET: &str = "warn,task_inbox::access=off";

/// What the command line says about it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Where {
    /// Work on this server by HTTP, over TASK_INBOX_SERVER
    #[arg(long, global = true, value_name = "URL", value_parser = server, help_heading = "Where to work")]
    pub(crate) server: Option<Url>,
    /// The key for it, over TASK_INBOX_API_KEY, where nobody can read along in the list of processes
    #[arg(long, global = true, value_name = "KEY", alias = "api_key", help_heading = "Where to work")]
    pub(crate) api_key: Option<String>,
    /// Work on a server that `login` kept under this name
    #[arg(long, global = true, value_name = "NAME", help_heading = "Where to work")]
    pub(crate) profile: Option<String>,
    /// How long one answer of a server may take
    #[arg(long, global = true, value_name = "SPAN", default_value = "60s", value_parser = span, help_heading = "Where to work")]
    pub(crate) timeout: Duration,
    /// Work on this database, over DATABASE_URL
    #[arg(long, global = true, value_name = "URL", alias = "database_url", help_heading = "Where to work")]
    pub(crate) database_url: Option<String>,
    /// For development, on a database: a master key is made if there is none, webhooks reach
    /// loopback, and serve migrates first
    #[arg(long, global = true, help_heading = "Where to work")]
    pub(crate) dev: bool,
}

fn server(text: &str) -> Result<Url, String> {
    settings::server_url(text)
}

fn span(text: &str) -> Result<Duration, String> {
    match settings::duration::parse(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        span => Ok(span),
    }
}

/// A database or a server.
pub(crate) enum Target {
    Database,
    Server(Address),
}

impl Where {
    /// What is said here of the service's variables.
    pub(crate) fn flags(&self) -> Flags {
        let url = self.database_url.clone().map(|url| ("DATABASE_URL", url));
        Flags { variables: url.into_iter().collect(), dev: self.dev }
    }

    /// Refuses to name a server to a command that works beside the database.
    pub(crate) fn must_be_local(&self, command: &str) -> Result<(), Usage> {
        if self.server.is_none() && self.profile.is_none() {
            return Ok(());
        }
        Err(Usage(format!(
            "`task-inbox {command}` works on this machine's own files and database, not over HTTP: run it where the \
             server runs, without --server and --profile"
        )))
    }

    /// Decides.
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        let names_database = self.database_url.is_some() || self.dev;
        if names_database && (self.server.is_some() || self.profile.is_some()) {
            let what = if self.dev { "--dev" } else { "--database-url" };
            return Err(Usage(format!(
                "{what} is about a database and --server or --profile about a server: give one of them"
            ))
            .into());
        }
        if self.server.is_some() && self.profile.is_some() {
            return Err(Usage("a profile names its server: give --server or --profile".to_owned()).into());
        }
        if names_database {
            return Ok(Target::Database);
        }
        if let Some(name) = &self.profile {
            let profiles = Profiles::read()?;
            let profile = profiles.by_name.get(name).ok_or_else(|| {
                Refusal::new(format!(
                    "there is no profile {name}; {}; `task-inbox login` keeps one",
                    profiles.names()
                ))
            })?;
            return self.kept(profile);
        }
        if let Some((server, api_key)) = self.named_server()? {
            return Self::named(server, api_key);
        }
        if self.names_database()? {
            return Ok(Target::Database);
        }
        // Without a home there are no profiles.
        match Profiles::read().ok().and_then(|profiles| profiles.by_name.get(DEFAULT).cloned()) {
            Some(profile) => self.kept(&profile),
            None => Ok(Target::Database),
        }
    }

    fn settings(&self) -> anyhow::Result<settings::Remote> {
        Ok(settings::Remote::read(&self.flags(), &std::env::current_dir()?))
    }

    /// Whether the settings name a database.
    pub(crate) fn names_database(&self) -> anyhow::Result<bool> {
        Ok(self.settings()?.names_database)
    }

    /// The server that is named here or in the settings, and the key that is named for it.
    pub(crate) fn named_server(&self) -> anyhow::Result<Option<(Url, Option<String>)>> {
        let said = self.settings()?;
        let set = said.server.map(|text| settings::server_url(&text)).transpose();
        let set = set.map_err(|what| Usage(format!("TASK_INBOX_SERVER {what}")))?;
        let Some(server) = self.server.clone().or_else(|| set.clone()) else { return Ok(None) };
        // A key that is set beside another server is not for this one.
        let set_key = said.api_key.filter(|_| set.is_none_or(|set| set == server));
        Ok(Some((server, self.api_key.clone().or(set_key))))
    }

    fn named(server: Url, api_key: Option<String>) -> anyhow::Result<Target> {
        // A kept key goes to no server but its own.
        let kept = || {
            let profiles = Profiles::read().ok()?;
            let own = |p: &&Profile| settings::server_url(&p.server).is_ok_and(|url| url == server);
            profiles.by_name.values().find(own).map(|p| p.api_key.clone())
        };
        let api_key = api_key.or_else(kept).ok_or_else(|| {
            Refusal::new(format!(
                "there is no API key for {server}: set TASK_INBOX_API_KEY, or keep one with `task-inbox login --server \
                 {server}`"
            ))
        })?;
        warn_of_clear_text(&server);
        Ok(Target::Server(Address { server, api_key }))
    }

    fn kept(&self, profile: &Profile) -> anyhow::Result<Target> {
        let server = settings::server_url(&profile.server).map_err(|what| {
            Refusal::new(format!("the server of the profile {what}; `task-inbox login` keeps another"))
        })?;
        warn_of_clear_text(&server);
        let api_key = self.api_key.clone().unwrap_or_else(|| profile.api_key.clone());
        Ok(Target::Server(Address { server, api_key }))
    }

    /// Opens the way there.
    pub(crate) async fn open(&self) -> anyhow::Result<Api> {
        match self.target()? {
            Target::Database => Api::local(&self.quiet_config()?).await,
            Target::Server(address) => Api::remote(address, self.timeout),
        }
    }

    /// The service's settings, and the log begun as they say.
    pub(crate) fn quiet_config(&self) -> anyhow::Result<Config> {
        let config = config(&self.flags())?;
        telemetry::start(config.log.as_deref().unwrap_or(QUIET), config.log_format)?;
        Ok(config)
    }
}

/// The service's settings, under these flags.
pub(crate) fn config(flags: &Flags) -> anyhow::Result<Config> {
    let folder = std::env::current_dir().context("there is no working directory")?;
    Ok(Config::load(flags, &folder)?)
}

/// Says so when the key can be read on the way.
pub(crate) fn warn_of_clear_text(server: &Url) {
    let is_loopback = match server.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    if server.scheme() == "http" && !is_loopback {
        warn(&format!(
            "the key travels to {} in clear text; use https://",
            server.host_str().unwrap_or_default()
        ));
    }
}
