//! `login`, `logout`: servers that are kept with a key.

use std::io::{IsTerminal, Read, Write};

use anyhow::Context;
use rustix::termios::{self, LocalModes, OptionalActions};
use serde_json::json;
use task_inbox::config;
use url::Url;

use super::whoami;
use crate::api::{Address, Api, Call, Refusal};
use crate::output::{Answer, Usage};
use crate::profiles::{DEFAULT, Profile, Profiles};
use crate::target::{Where, warn_of_clear_text};

/// The server, the key and the profile's name are everybody's arguments.
pub(crate) async fn login(place: &Where) -> anyhow::Result<Answer> {
    let Some((server, api_key)) = place.named_server()? else {
        return Err(Usage("say which server: task-inbox login --server URL".to_owned()).into());
    };
    warn_of_clear_text(&server);
    let api_key = match api_key {
        Some(key) => key,
        None => ask(&server)?,
    };
    let name = place.profile.clone().unwrap_or_else(|| DEFAULT.to_owned());
    // A key that is kept is one that works.
    let api = Api::remote(Address { server: server.clone(), api_key: api_key.clone() }, place.timeout)?;
    let me = api.send(Call::get(&["me"])).await?;
    let mut profiles = Profiles::read()?;
    profiles.by_name.insert(name.clone(), Profile { server: server.to_string(), api_key });
    profiles.write()?;
    let use_of_it = if name == DEFAULT { String::new() } else { format!(" with --profile {name}") };
    let text = format!("{}; commands go to {server} from now on{use_of_it}", whoami::sentence(&me));
    let json = json!({"profile": name, "server": server.as_str(), "file": profiles.path(), "me": me});
    let answer = Answer::new(json, text);
    Ok(if place.names_database()? && name == DEFAULT {
        let what = "DATABASE_URL is set here, so commands work on that database all the same; --profile default, or \
                    --server, takes them to the server";
        answer.warn([what.to_owned()])
    } else {
        answer
    })
}

pub(crate) fn logout(place: &Where) -> anyhow::Result<Answer> {
    let mut profiles = Profiles::read()?;
    let name = match (&place.profile, &place.server) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(server)) => {
            let is_it = |p: &Profile| config::server_url(&p.server).is_ok_and(|url| url == *server);
            profiles.by_name.iter().find(|(_, profile)| is_it(profile)).map(|(name, _)| name.clone())
        }
        (None, None) => Some(DEFAULT.to_owned()),
    };
    let removed = name.and_then(|name| profiles.by_name.remove_entry(&name));
    let Some((name, profile)) = removed else {
        return Err(Refusal::new(format!("there is no such profile; {}", profiles.names())).into());
    };
    profiles.write()?;
    let text = format!(
        "forgot {} and its key; the key itself works until `task-inbox revoke_key` ends it",
        profile.server
    );
    Ok(Answer::new(json!({"profile": name, "server": profile.server}), text))
}

/// Reads a key from stdin: its first line, or what is typed at a terminal, where nobody reads along.
fn ask(server: &Url) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let line = if stdin.is_terminal() {
        typed(&stdin, &format!("API key for {server}: "))?
    } else {
        let mut line = String::new();
        stdin.read_line(&mut line).context("stdin can't be read")?;
        line
    };
    let key = line.trim();
    if key.is_empty() {
        return Err(Refusal::new(
            "no key was given: use --api-key, set TASK_INBOX_API_KEY, or write it to stdin; `task-inbox api_key` on the \
             server makes one",
        )
        .into());
    }
    Ok(key.to_owned())
}

/// Reads a line without showing it. Control-C must end it here, where the terminal is put right
/// again.
fn typed(stdin: &std::io::Stdin, question: &str) -> anyhow::Result<String> {
    let before = termios::tcgetattr(stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    termios::tcsetattr(stdin, OptionalActions::Flush, &silent)?;
    let _ = write!(std::io::stderr(), "{question}");
    let line = read_keys(stdin);
    let _ = writeln!(std::io::stderr());
    termios::tcsetattr(stdin, OptionalActions::Flush, &before)?;
    line
}

fn read_keys(stdin: &std::io::Stdin) -> anyhow::Result<String> {
    let mut line = Vec::new();
    for byte in stdin.lock().bytes() {
        match byte? {
            b'\r' | b'\n' | 4 => break,
            3 => return Err(Refusal::new("given up").into()),
            8 | 127 => drop(line.pop()),
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).context("that was not text")
}
