//! `rekey`: to a new master key, while servers serve.
//!
//! Moving the webhook keys is the server's work, a bounded part at a time. The ring itself is a
//! setting, but where it stands in a file, which servers read again: there, `--new` begins it.

use std::path::Path;

use anyhow::Context;
use serde_json::json;
use task_inbox::app::vault::{self, Vault};
use task_inbox::startup;

use crate::api::{Api, Call, Refusal};
use crate::output::{Answer, Progress, Usage, text};
use crate::private_file;
use crate::target::{Target, Where};

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
    if args.new {
        if matches!(place.target()?, Target::Server(_)) {
            return Err(Usage(
                "--new changes the master key's file, which is on the server's machine: run `task-inbox rekey --new` \
                 there"
                    .to_owned(),
            )
            .into());
        }
        begin_ring(place)?;
    }
    let api = place.open().await?;
    let done = move_all(&api).await;
    api.close().await?;
    done
}

/// Puts a new key in front of the ring. The old ones stay: they open what was not moved yet.
fn begin_ring(place: &Where) -> anyhow::Result<()> {
    let config = place.config(&place.flags())?;
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
    let ring =
        private_file::read(&path).with_context(|| format!("{shown} can't be read"))?.ok_or_else(|| {
            Refusal::new(format!(
                "there is no master key in {shown}; set TASK_INBOX_MASTER_KEY, or start `serve --dev`"
            ))
        })?;
    // A ring that doesn't read is not to be made longer.
    Vault::parse(ring.trim()).with_context(|| format!("{shown} does not hold a master key"))?;
    replace(&path, &with_new(ring.trim(), &vault::generate()))
}

fn replace(path: &Path, ring: &str) -> anyhow::Result<()> {
    // A link stays one.
    let path = &path.canonicalize()?;
    private_file::replace(path, &format!("{ring}\n"))
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

async fn move_all(api: &Api) -> anyhow::Result<Answer> {
    let mut progress = Progress::new("encrypting anew");
    let mut moved = 0;
    let last = loop {
        let call = Call::post(&["webhook-keys", "rekey"], &json!({"limit": STEP})).repeatable();
        let step = api.send(call).await?;
        let (now, remaining) = (step["moved"].as_u64().unwrap_or(0), step["remaining"].as_u64().unwrap_or(0));
        moved += now;
        if remaining == 0 {
            break step;
        }
        if now == 0 {
            return Err(Refusal::new(format!(
                "{remaining} webhook keys can't be moved; the server's log tells why"
            ))
            .into());
        }
        progress.at(moved, moved + remaining);
    };
    drop(progress);
    let id = text(&last, "master_key_id");
    let said = format!(
        "every webhook key is encrypted under the master key {id}, {moved} of them since now. The other keys of the ring \
         may be removed once every server has {id} in front; but checkpoints that were signed with them are proved by \
         them alone: make a new one with `task-inbox audit checkpoint` first, or keep them"
    );
    Ok(Answer::new(json!({"moved": moved, "remaining": 0, "master_key_id": id}), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_comes_first() {
        assert_eq!(with_new("old", "new"), "2:new,1:old");
        assert_eq!(with_new("7:b, x:a", "new"), "8:new,7:b,x:a");
        let ring = with_new(&with_new(&vault::generate(), &vault::generate()), &vault::generate());
        assert!(ring.starts_with("3:") && Vault::parse(&ring).is_ok());
    }
}
