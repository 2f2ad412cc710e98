//! The configuration as a person looks at it: each variable, its value, where it came from, and
//! everything that is wrong. Secrets are masked.

use std::collections::BTreeSet;
use std::path::Path;

use super::sources::Settings;
use super::variables::{VARIABLES, Variable};
use super::{Config, ConfigErrors, Flags, default_of};

/// One variable as it stands.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The variable.
    pub variable: &'static Variable,
    /// Its value, without what is secret; `None`: nothing.
    pub value: Option<String>,
    /// Where it was set.
    pub source: String,
}

/// All that can be said about the configuration without trying it.
pub struct Inspection {
    /// Every variable, in the order of the table.
    pub shown: Vec<Shown>,
    /// What it means, or what is wrong with it.
    pub config: Result<Config, ConfigErrors>,
    /// Names in the environment and in `.env` that look like variables and are none.
    pub unknown: Vec<String>,
}

/// Where the command line is to work, as far as the settings say.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// The server, as written.
    pub server: Option<String>,
    /// The key for it.
    pub api_key: Option<String>,
    /// Whether a database was named, and not left at its default.
    pub names_database: bool,
}

impl Inspection {
    /// Looks at everything; files are looked for in `directory`.
    pub fn of(flags: &Flags, directory: &Path) -> Self {
        Self::of_settings(&Settings::read(flags, std::env::vars(), directory), flags.dev)
    }

    fn of_settings(settings: &Settings, dev: bool) -> Self {
        let shown = VARIABLES.iter().map(|variable| {
            let name = variable.name;
            let value = settings.text(name).unwrap_or(default_of(name));
            let value = (!value.is_empty()).then(|| masked(name, value));
            Shown { variable, value, source: settings.source(name) }
        });
        let known = |name: &str| VARIABLES.iter().any(|v| v.name == name);
        let unknown: BTreeSet<_> =
            std::env::vars().map(|(name, _)| name).chain(settings.dotenv.iter().cloned()).collect();
        Self {
            shown: shown.collect(),
            config: Config::from_settings(settings, dev),
            unknown: unknown
                .into_iter()
                .filter(|name| name.starts_with("TASK_INBOX_") && !known(name))
                .collect(),
        }
    }
}

impl Remote {
    /// Reads what concerns it, and nothing else: a wrong setting of the service is no matter here.
    pub fn read(flags: &Flags, directory: &Path) -> Self {
        let settings = Settings::read(flags, std::env::vars(), directory);
        let text = |name| settings.text(name).map(str::to_owned);
        Self {
            server: text("TASK_INBOX_SERVER"),
            api_key: text("TASK_INBOX_API_KEY"),
            names_database: settings.is_set("DATABASE_URL"),
        }
    }
}

/// A value without what is secret in it.
fn masked(name: &str, value: &str) -> String {
    match name {
        "TASK_INBOX_MASTER_KEY" => {
            let keys = value.split(',').map(|key| match key.split_once(':') {
                Some((id, _)) => format!("{}:***", id.trim()),
                None => "***".to_owned(),
            });
            keys.collect::<Vec<_>>().join(",")
        }
        "TASK_INBOX_API_KEY" => {
            let shown: String = value.chars().take(6.min(value.len() / 3)).collect();
            format!("{shown}***")
        }
        // What stands for a user there may be a token.
        "TASK_INBOX_BUS" | "TASK_INBOX_EXPORT_URL" => match (value.split_once("://"), value.rsplit_once('@'))
        {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
            _ => value.to_owned(),
        },
        _ => without_password(value),
    }
}

/// An address without its password: neither in front of the host nor among the parameters.
fn without_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (address, query) = rest.split_once('?').map_or((rest, None), |(a, q)| (a, Some(q)));
    // A password may hold what elsewhere ends the host: everything up to the last @ is the user's.
    let address = match address.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user.to_owned(), |(user, _)| format!("{user}:***"));
            format!("{user}@{host}")
        }
        None => address.to_owned(),
    };
    let query = query.map(|query| {
        let parts = query.split('&').map(|part| match part.split_once('=') {
            Some((name, _)) if name.contains("password") => format!("{name}=***"),
            _ => part.to_owned(),
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{address}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_is_secret() {
        for (name, value, shown) in [
            ("DATABASE_URL", "postgres://u:p@h/d", "postgres://u:***@h/d"),
            ("DATABASE_URL", "postgres://u:p/@x@h/d", "postgres://u:***@h/d"),
            ("DATABASE_URL", "postgres://h/d?user=u&password=p", "postgres://h/d?user=u&password=***"),
            ("DATABASE_URL", "sqlite://data/a.db", "sqlite://data/a.db"),
            ("TASK_INBOX_MASTER_KEY", "secret", "***"),
            ("TASK_INBOX_MASTER_KEY", "b:secret, a:secret", "b:***,a:***"),
            ("TASK_INBOX_API_KEY", "ti_secret-secret-secret", "ti_sec***"),
            ("TASK_INBOX_BUS", "redis://:secret@cache/1", "redis://***@cache/1"),
            ("TASK_INBOX_BUS", "nats://secret@queue", "nats://***@queue"),
            ("TASK_INBOX_BUS", "redis://cache", "redis://cache"),
            ("TASK_INBOX_EXPORT_URL", "nats://secret@queue", "nats://***@queue"),
            ("TASK_INBOX_API_KEY", "ab", "***"),
            ("TASK_INBOX_LISTEN", "127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(masked(name, value), shown);
        }
    }

    #[test]
    fn shows_every_variable_with_its_source() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = [("TASK_INBOX_LISTEN".to_owned(), "nowhere".to_owned())];
        let settings = Settings::read(&Flags::default(), environment, folder.path());
        let inspection = Inspection::of_settings(&settings, false);
        assert_eq!(inspection.shown.len(), VARIABLES.len());
        let listen = &inspection.shown[1];
        assert_eq!((listen.value.as_deref(), &*listen.source), (Some("nowhere"), "the environment"));
        assert_eq!(inspection.shown[0].source, "its default");
        assert!(inspection.config.expect_err("wrong").to_string().contains("TASK_INBOX_LISTEN"));
    }
}
