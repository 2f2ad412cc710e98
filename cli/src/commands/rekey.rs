//! `rekey`: to a new master key, while servers serve.
//!
//! Moving the webhook keys is the server's work, a bounded part at a time. The ring itself is a
//! setting, but where it stands in a file, which servers read again: there, `--new` begins it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde_json::json;
use task_inbox::app::vault::{self, Ring};
use task_inbox::startup;

use crate::api::{Api, Call, Refusal};
use crate::output::{Answer, Progress, Usage, text};
use crate::private_file;
use crate::target::{self, Target, Where};

/// How many keys one request moves.
const STEP: u64 = 500;

/// Arguments of `rekey`.
#[derive(clap::Args)]
pub(crate) struct Rekey {
    /// First make a new master key, and put it in front of the others in the file that holds them
    #[arg(long)]
    new: bool,
}

pub(crate) async fn run(args: &Rekey, place: &Where) -> anyhow::Result<Answer> {
    if args.new && matches!(place.target()?, Target::Server(_)) {
        return Err(Usage(
            "--new changes the master key's file, which is on the server's machine: run `task-inbox rekey --new` \
             there"
                .to_owned(),
        )
        .into());
    }
    // Held until every key is moved: of two that begin a ring at once, one would lose its new key.
    let _alone = if args.new { Some(begin_ring(place)?) } else { None };
    let api = place.open().await?;
    let done = match move_all(&api).await {
        Ok((moved, id)) => former_keys(place).map(|former| answer(moved, &id, &former)),
        Err(error) => Err(error),
    };
    api.close().await?;
    done
}

/// Puts a new key in front of the ring, while nobody else does. The old ones stay: they open what was not
/// moved yet.
fn begin_ring(place: &Where) -> anyhow::Result<File> {
    let config = target::config(&place.flags())?;
    if config.master_key.is_some() {
        return Err(Refusal::new(
            "TASK_INBOX_MASTER_KEY is set, and this can't change where: put a key of `task-inbox generate-keys` in front \
             of it there, as {id}:{base64}, restart the servers, and run `task-inbox rekey`; a ring in a file, \
             TASK_INBOX_MASTER_KEY_FILE, needs no restart",
        )
        .into());
    }
    let path = startup::master_key_file(&config);
    let shown = path.display();
    let lock = lock(&path)?;
    let ring =
        private_file::read(&path).with_context(|| format!("{shown} can't be read"))?.ok_or_else(|| {
            Refusal::new(format!(
                "there is no master key in {shown}; set TASK_INBOX_MASTER_KEY, or start `serve --dev`"
            ))
        })?;
    // A ring that doesn't read is not to be made longer.
    Ring::parse(ring.trim()).with_context(|| format!("{shown} does not hold a master key"))?;
    replace(&path, &with_new(ring.trim(), &vault::generate()))?;
    Ok(lock)
}

/// The lock lies beside the ring, which is replaced.
fn lock(path: &Path) -> anyhow::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let path = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.with_context(|| format!("{} can't be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Refusal::new("another `rekey --new` is under way: wait for its end").into())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} can't be locked", path.display()))
        }
    }
}

fn replace(path: &Path, ring: &str) -> anyhow::Result<()> {
    // A link stays one.
    let path = &path.canonicalize()?;
    private_file::replace_content(path, &format!("{ring}\n"))
        .with_context(|| format!("{} can't be written", path.display()))
}

/// The ring with a key before it. A key without an id has the id 1.
fn with_new(ring: &str, key: &str) -> String {
    let named: Vec<_> = ring
        .split(',')
        .map(str::trim)
        .map(|part| if part.contains(':') { part.to_owned() } else { format!("1:{part}") })
        .collect();
    let numbers = named.iter().filter_map(|part| part.split(':').next()?.parse::<u64>().ok());
    let next = numbers.max().unwrap_or(0).saturating_add(1);
    format!("{next}:{key},{}", named.join(","))
}

/// Moves every webhook key; returns how many were moved, and the master key that they are under.
async fn move_all(api: &Api) -> anyhow::Result<(u64, String)> {
    let mut progress = Progress::new("encrypting anew");
    let mut moved = 0;
    loop {
        let call = Call::post(&["webhook-keys", "rekey"], &json!({"limit": STEP})).repeatable();
        let step = api.send(call).await?;
        let (now, remaining) = (step["moved"].as_u64().unwrap_or(0), step["remaining"].as_u64().unwrap_or(0));
        moved += now;
        if remaining == 0 {
            return Ok((moved, text(&step, "master_key_id").to_owned()));
        }
        if now == 0 {
            let what = format!("{remaining} webhook keys can't be moved; the server's log tells why");
            return Err(Refusal::new(what).into());
        }
        progress.at(moved, moved + remaining);
    }
}

/// The keys of the ring that nothing needs any more, where the ring is at hand.
fn former_keys(place: &Where) -> anyhow::Result<Vec<String>> {
    if matches!(place.target()?, Target::Server(_)) {
        return Ok(Vec::new());
    }
    let config = target::config(&place.flags())?;
    let ring = match config.master_key.clone() {
        Some(ring) => Some(ring),
        None => private_file::read(&startup::master_key_file(&config))?,
    };
    Ok(ring.map(|ring| Ring::parse(ring.trim())).transpose()?.map_or_else(Vec::new, |ring| ring.other_ids()))
}

fn answer(moved: u64, id: &str, former: &[String]) -> Answer {
    let said = format!("every webhook key is encrypted under the master key {id}, {moved} of them since now");
    let removable = match former {
        [] => "Other keys of the ring may".to_owned(),
        [one] => format!("The master key {one} may"),
        many => format!("The master keys {} may", many.join(", ")),
    };
    let said = format!(
        "{said}. {removable} be removed once every server has {id} in front; but a checkpoint that was signed with one is \
         proved by that one alone: make a new checkpoint with `task-inbox audit checkpoint` first, or keep the key"
    );
    Answer::new(json!({"moved": moved, "remaining": 0, "master_key_id": id, "removable": former}), said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_comes_first() {
        assert_eq!(with_new("old", "new"), "2:new,1:old");
        assert_eq!(with_new("7:b, x:a", "new"), "8:new,7:b,x:a");
        let ring = with_new(&with_new(&vault::generate(), &vault::generate()), &vault::generate());
        assert!(ring.starts_with("3:") && Ring::parse(&ring).is_ok());
    }
}
