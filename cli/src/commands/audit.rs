//! `audit verify`, `audit checkpoint`, `audit checkpoints`.

use anyhow::Context;
use serde_json::{Value, json};
use task_inbox_domain::log::Checkpoint;

use super::read_text;
use crate::api::{Api, Call, Refusal};
use crate::output::{Answer, Progress, Table, list, shown};

/// How many events one request verifies: well under a second.
const STEP: u64 = 20_000;

/// What to do with the log.
#[derive(clap::Subcommand)]
pub(crate) enum Audit {
    /// Recompute the chain over the whole log
    Verify {
        /// A checkpoint that was kept outside: a file, or its JSON
        #[arg(long, value_name = "CHECKPOINT")]
        from: Option<String>,
    },
    /// Sign the end of the log; keep what it prints outside of the database
    Checkpoint,
    /// List the checkpoints that the database keeps
    Checkpoints,
}

pub(crate) async fn run(args: &Audit, api: &Api) -> anyhow::Result<Answer> {
    match args {
        Audit::Verify { from } => {
            let from = from.as_deref().map(read).transpose()?;
            verify(api, from.as_ref()).await
        }
        Audit::Checkpoint => {
            let made = api.send(Call::post(&["checkpoints"], &json!({}))).await?;
            let text = made.to_string();
            Ok(Answer::new(made, text))
        }
        Audit::Checkpoints => {
            let answer = api.send(Call::get(&["checkpoints"])).await?;
            let row =
                |c: &Value| vec![shown(c, "seq").into(), shown(c, "created").into(), shown(c, "hash").into()];
            let table = Table::new(&["seq", "created", "hash"])
                .none("there are no checkpoints; make one with `task-inbox audit checkpoint`")
                .rows(list(&answer, "checkpoints").iter().map(row))
                .to_text();
            Ok(Answer::painted(answer, table))
        }
    }
}

fn read(from: &str) -> anyhow::Result<Value> {
    let text = if from.trim_start().starts_with('{') {
        from.to_owned()
    } else {
        std::fs::File::open(from).and_then(read_text).with_context(|| format!("{from} can't be read"))?
    };
    let checkpoint: Checkpoint = serde_json::from_str(&text)
        .context("this is not a checkpoint as `task-inbox audit checkpoint` prints it")?;
    Ok(serde_json::to_value(checkpoint)?)
}

/// What the steps of a verification found, together.
struct Found {
    ok: bool,
    events: u64,
    erased: u64,
    proved_from: Value,
    first_bad: Value,
    detail: Value,
}

/// A proof is the whole run: where each step ended is kept here and handed to the next.
async fn verify(api: &Api, from: Option<&Value>) -> anyhow::Result<Answer> {
    let mut found = Found {
        ok: true,
        events: 0,
        erased: 0,
        proved_from: Value::Null,
        first_bad: Value::Null,
        detail: Value::Null,
    };
    let mut progress = Progress::new("verifying");
    let mut after = Value::Null;
    loop {
        let mut body = json!({"limit": STEP});
        for (name, value) in [("from", from), ("after", Some(&after))] {
            if let Some(value) = value.filter(|v| !v.is_null()) {
                body[name] = value.clone();
            }
        }
        let step = api.send(Call::post(&["log", "verify"], &body).repeatable()).await?;
        found.add(&step);
        let next = &step["next"];
        if !found.ok || next.is_null() {
            break;
        }
        if next["seq"].as_i64() <= after["seq"].as_i64() {
            return Err(Refusal::new(
                "the verification does not get on: the server gave the same step twice",
            )
            .into());
        }
        progress.at(next["seq"].as_u64().unwrap_or_default(), step["head"].as_u64().unwrap_or_default());
        after = next.clone();
    }
    drop(progress);
    let json = json!({
        "ok": found.ok, "events": found.events, "first_bad": found.first_bad, "proved_from": found.proved_from,
        "erased": found.erased, "detail": found.detail,
    });
    Ok(Answer::new(json, found.sentence()).ok(found.ok))
}

impl Found {
    fn add(&mut self, step: &Value) {
        self.ok = step["ok"] == true;
        self.events += step["events"].as_u64().unwrap_or_default();
        self.erased += step["erased"].as_u64().unwrap_or_default();
        if !step["proved_from"].is_null() {
            self.proved_from = step["proved_from"].clone();
        }
        self.first_bad = step["first_bad"].clone();
        self.detail = step["detail"].clone();
    }

    fn sentence(&self) -> String {
        let events = self.events;
        let text = match (self.ok, self.proved_from.as_i64()) {
            (false, _) => {
                format!("the log is NOT what was written: {}", self.detail.as_str().unwrap_or("unknown"))
            }
            (true, Some(seq)) => {
                format!("the log is whole: {events} events; the checkpoint proves it up to event {seq}")
            }
            (true, None) => format!(
                "the log is whole: {events} events; only a checkpoint that was kept outside proves that it was not \
                 rebuilt"
            ),
        };
        match self.erased {
            0 => text,
            erased => format!("{text}; the text of {erased} was erased"),
        }
    }
}
