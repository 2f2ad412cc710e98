//! Where settings come from: flags over the environment over `.env` over `task-inbox.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};

use super::variables::VARIABLES;
use super::{ConfigError, default_of};

/// The name of the TOML file.
const TOML_FILE: &str = "task-inbox.toml";

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Variables that were set by a flag.
    pub variables: Vec<(&'static str, String)>,
    /// `serve --dev`.
    pub dev: bool,
}

/// Texts under the variables' names.
struct Source {
    name: &'static str,
    texts: BTreeMap<String, String>,
}

impl Source {
    /// Keeps what is ours. What is set to nothing is not set: a compose file or a chart passes on
    /// empty variables.
    fn new(name: &'static str, texts: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = |name: &str| VARIABLES.iter().find(|v| v.name == name);
        let texts = texts
            .into_iter()
            .filter_map(|(name, text)| Some((key_of(known(&name)?.name), text)))
            .filter(|(_, text)| !text.trim().is_empty())
            .collect();
        Self { name, texts }
    }
}

impl Provider for Source {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let dict = self.texts.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str()))).collect();
        Ok(Profile::Default.collect(dict))
    }
}

/// What was set, as texts.
pub(super) struct Settings {
    figment: Figment,
    texts: BTreeMap<String, String>,
    /// The names that `.env` sets.
    pub(super) dotenv: Vec<String>,
    /// What is wrong with the files. What could be read of them counts all the same, so that
    /// everything else that is wrong is found, too.
    pub(super) wrong: Vec<ConfigError>,
}

impl Settings {
    pub(super) fn read(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
        directory: &Path,
    ) -> Self {
        let mut wrong = Vec::new();
        let dotenv = match std::fs::read_to_string(directory.join(".env")) {
            Ok(text) => parse_dotenv(&text, &mut wrong),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => {
                wrong.push(ConfigError::File(format!(".env can't be read: {e}")));
                Vec::new()
            }
        };
        let toml = directory.join(TOML_FILE);
        // A file that is not there sets nothing; one that can't be read is an error.
        let file = if toml.exists() { Figment::from(Toml::file_exact(toml)) } else { Figment::new() };
        let file = match file.extract::<BTreeMap<String, Value>>() {
            Ok(_) => file,
            Err(e) => {
                let what = e.to_string().replace('\n', " ");
                wrong.push(ConfigError::File(format!("{TOML_FILE} can't be read: {what}")));
                Figment::new()
            }
        };
        let flags = flags.variables.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
        let names = dotenv.iter().map(|(name, _)| name.clone()).collect();
        let figment = file
            .merge(Source::new(".env", dotenv))
            .merge(Source::new("the environment", environment))
            .merge(Source::new("the command line", flags));
        let values: BTreeMap<String, Value> = figment.extract().unwrap_or_default();
        let mut texts = BTreeMap::new();
        for (key, value) in values {
            let known = VARIABLES.iter().any(|v| key_of(v.name) == key);
            match to_text(&value).filter(|_| known) {
                Some(text) => drop(texts.insert(key, text)),
                None => wrong.push(ConfigError::File(wrong_key(&key, known))),
            }
        }
        Self { figment, texts, dotenv: names, wrong }
    }

    /// A variable's text, if it is set.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(&key_of(name)).map(String::as_str)
    }

    /// Reads a variable, if it is set.
    pub(super) fn parse<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.text(name).map(|text| read(text).map_err(|what| self.wrong(name, what))).transpose()
    }

    /// Whether a variable is set.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Reads a variable, or its default.
    pub(super) fn required<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        match self.parse(name, &read)? {
            Some(value) => Ok(value),
            None => read(default_of(name)).map_err(|what| self.wrong(name, what)),
        }
    }

    /// Where a variable was set.
    pub(super) fn source(&self, name: &str) -> String {
        match self.figment.find_metadata(&key_of(name)) {
            Some(metadata) if metadata.source.is_some() => TOML_FILE.to_owned(),
            Some(metadata) => metadata.name.to_string(),
            None => "its default".to_owned(),
        }
    }

    pub(super) fn wrong(&self, name: &'static str, what: String) -> ConfigError {
        ConfigError::Value { name, source_name: self.source(name), what }
    }
}

/// One variable of `.env`.
pub(super) fn dotenv_variable(name: &str, directory: &Path) -> Option<String> {
    let text = std::fs::read_to_string(directory.join(".env")).ok()?;
    parse_dotenv(&text, &mut Vec::new()).into_iter().rev().find(|(n, _)| n == name).map(|(_, value)| value)
}

/// Only the TOML file brings keys that are not known and values that are no text.
fn wrong_key(key: &str, known: bool) -> String {
    if known {
        return format!("{TOML_FILE} sets {key} to neither a text, a number, a switch nor a list");
    }
    let known: Vec<_> = VARIABLES.iter().map(|v| key_of(v.name)).collect();
    format!("{TOML_FILE} sets {key}; it may set {}", known.join(", "))
}

fn key_of(name: &str) -> String {
    name.trim_start_matches("TASK_INBOX_").to_ascii_lowercase()
}

fn to_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, on) => Some(on.to_string()),
        Value::Num(_, number) => number.to_i128().map(|n| n.to_string()),
        Value::Array(_, parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(to_text).collect();
            parts.map(|parts| parts.join(","))
        }
        _ => None,
    }
}

/// `NAME=value` lines; `export` before the name, quotes around the value, `#` comments.
fn parse_dotenv(text: &str, wrong: &mut Vec<ConfigError>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            wrong.push(ConfigError::File(format!(".env: line {} is not NAME=value", i + 1)));
            continue;
        };
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|q| value.strip_prefix(q)?.split_once(q));
        let value = match quoted {
            Some((inside, _)) => inside,
            None => value.split(" #").next().unwrap_or_default().trim_end(),
        };
        found.push((name.trim().to_owned(), value.to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn flags_override_environment_overrides_dotenv_overrides_toml() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write(
            "task-inbox.toml",
            "listen = \"toml\"\nlog = \"toml\"\nbus = \"toml\"\nroles = [\"a\", \"b\"]\nmigrate = true\n",
        );
        write(".env", "export TASK_INBOX_LISTEN=dot\nTASK_INBOX_LOG='dot' # why\nTASK_INBOX_BUS=\nOTHER=1\n");
        let flags = Flags { variables: vec![("TASK_INBOX_LISTEN", "flag".to_owned())], dev: false };
        let environment =
            owned(&[("TASK_INBOX_LISTEN", "env"), ("TASK_INBOX_UNKNOWN", "x"), ("TASK_INBOX_BUS", "")]);
        let settings = Settings::read(&flags, environment, folder.path());
        assert_eq!(settings.wrong, []);
        let get = |name| settings.parse(name, |t| Ok(t.to_owned())).expect("right");
        assert_eq!(get("TASK_INBOX_LISTEN").as_deref(), Some("flag"));
        assert_eq!(get("TASK_INBOX_LOG").as_deref(), Some("dot"));
        assert_eq!(get("TASK_INBOX_BUS").as_deref(), Some("toml"));
        assert_eq!(get("TASK_INBOX_ROLES").as_deref(), Some("a,b"));
        assert_eq!(get("TASK_INBOX_MIGRATE").as_deref(), Some("true"));
        let from = |name| settings.wrong(name, String::new()).to_string();
        assert!(from("TASK_INBOX_LISTEN").contains("the command line"));
        assert!(from("TASK_INBOX_LOG").contains(".env"));
        assert!(from("TASK_INBOX_BUS").contains("task-inbox.toml"));
    }

    #[test]
    fn all_that_is_wrong_with_the_files_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        let wrong = || -> Vec<_> {
            let settings = Settings::read(&Flags::default(), Vec::new(), folder.path());
            settings.wrong.iter().map(ToString::to_string).collect()
        };
        write("task-inbox.toml", "listne = 1\nlog = {a = 1}\n");
        write(".env", "nonsense\nTASK_INBOX_LOG=x\nmore\n");
        let found = wrong().join("\n");
        // What is set above the file hides what the file sets.
        assert!(["listne", "line 1", "line 3"].iter().all(|w| found.contains(w)), "{found}");
        write(".env", "");
        assert!(wrong().iter().any(|w| w.contains("sets log to neither")), "{:?}", wrong());
        write("task-inbox.toml", "listen =");
        assert!(wrong()[0].contains("task-inbox.toml can't be read"));
    }

    #[test]
    fn reads_dotenv() {
        let text = "# c\n\nA=1\nexport B = \"two words\" # c\nC='#3'\nD=a#b\nE=x # y\n";
        let expected = owned(&[("A", "1"), ("B", "two words"), ("C", "#3"), ("D", "a#b"), ("E", "x")]);
        assert_eq!(parse_dotenv(text, &mut Vec::new()), expected);
    }
}
