//! `verify`: what is wrong with the signature of a webhook that somebody holds.
//!
//! What can be wrong, and how it is found, is `domain::webhook::diagnosis`; here are the ways to give it
//! the parts, none of which puts the secret into a shell's history unless it is asked to.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use task_inbox::app::App;
use task_inbox::config::duration;
use task_inbox_domain::Timestamp;
use task_inbox_domain::webhook::diagnosis::{self, Diagnosis, Fault, Held, Part};

use super::{read_bytes, read_text};
use crate::output::{Answer, Screen, Tone, Usage, plain};

/// Arguments of `verify`.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The body, byte for byte: a file, or - for stdin
    #[arg(value_name = "BODY")]
    body: PathBuf,
    /// A secret that may have signed it, whsec_...; may be repeated. In WEBHOOK_SECRET or in a file, nobody
    /// can read along
    #[arg(long = "secret", value_name = "SECRET", env = "WEBHOOK_SECRET", hide_env = true)]
    secrets: Vec<String>,
    /// A file that holds secrets, each on a line
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The header webhook-id
    #[arg(long)]
    id: Option<String>,
    /// The header webhook-timestamp
    #[arg(long, allow_hyphen_values = true)]
    timestamp: Option<String>,
    /// The header webhook-signature
    #[arg(long)]
    signature: Option<String>,
    /// A file that holds the headers instead, as `name: value` lines; others may be among them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "timestamp", "signature"])]
    headers: Option<PathBuf>,
    /// How far from the clock the timestamp may be
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = duration::parse)]
    tolerance: Duration,
    /// Judge as if it were this time: 2026-11-25T10:00:00Z, or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let seconds = || text.parse::<i64>().ok().map(|s| Timestamp::from_micros(s.saturating_mul(1_000_000)));
    Timestamp::parse(text)
        .ok()
        .or_else(seconds)
        .ok_or_else(|| "is no time such as 2026-11-25T10:00:00Z".to_owned())
}

/// Whatever is read first from stdin leaves nothing for the others.
fn check_stdin(args: &Verify) -> Result<(), Usage> {
    let files = [Some(&args.body), args.headers.as_ref(), args.secret_file.as_ref()];
    match files.into_iter().flatten().filter(|path| *path == Path::new("-")).count() {
        0 | 1 => Ok(()),
        _ => Err(Usage("only one of body, --headers and --secret-file can be - for stdin".to_owned())),
    }
}

pub(crate) fn run(args: &Verify) -> anyhow::Result<Answer> {
    check_stdin(args)?;
    let secrets = secrets(args)?;
    let headers = args.headers.as_deref().map(headers).transpose()?.unwrap_or_default();
    let body = read(&args.body, |file| read_bytes(file))?;
    let held = Held {
        id: args.id.as_deref().or(headers.id.as_deref()),
        timestamp: args.timestamp.as_deref().or(headers.timestamp.as_deref()),
        signature: args.signature.as_deref().or(headers.signature.as_deref()),
        body: &body,
    };
    let texts: Vec<_> = secrets.iter().map(String::as_str).collect();
    let found = diagnosis::diagnose(&texts, &held, args.at.unwrap_or_else(App::now), args.tolerance);
    Ok(answer(&found, secrets.len()))
}

fn secrets(args: &Verify) -> anyhow::Result<Vec<String>> {
    let mut secrets = args.secrets.clone();
    if let Some(path) = &args.secret_file {
        secrets.extend(read(path, |file| read_text(file))?.lines().map(str::to_owned));
    }
    secrets.retain(|text| !text.trim().is_empty());
    if secrets.is_empty() {
        return Err(Usage(
            "say with which secret: set WEBHOOK_SECRET, or name a file with --secret-file, or give --secret"
                .to_owned(),
        )
        .into());
    }
    Ok(secrets)
}

fn read<T>(path: &Path, take: impl Fn(&mut dyn Read) -> std::io::Result<T>) -> anyhow::Result<T> {
    let read = if path == Path::new("-") {
        take(&mut stdin().lock())
    } else {
        File::open(path).and_then(|mut file| take(&mut file))
    };
    read.with_context(|| format!("{} can't be read", path.display()))
}

/// The three headers, as far as they are there.
#[derive(Default)]
struct Headers {
    id: Option<String>,
    timestamp: Option<String>,
    signature: Option<String>,
}

/// Reads `name: value` lines, up to an empty one. A header that comes twice is one list (RFC 9110, section
/// 5.3).
fn headers(path: &Path) -> anyhow::Result<Headers> {
    let text = read(path, |file| read_text(file))?;
    let mut found = Headers::default();
    for line in text.lines().skip_while(|line| line.trim().is_empty()).take_while(|l| !l.trim().is_empty()) {
        // As `curl -v` prints them, too.
        let line = line.trim_start_matches(['<', '>', ' ']);
        let Some((name, value)) = line.split_once(':') else { continue };
        let place = match name.trim().to_ascii_lowercase().as_str() {
            name if name == Part::Id.as_str() => &mut found.id,
            name if name == Part::Timestamp.as_str() => &mut found.timestamp,
            name if name == Part::Signature.as_str() => &mut found.signature,
            _ => continue,
        };
        match place {
            Some(before) => *before = format!("{before} {}", value.trim()),
            None => *place = Some(value.trim().to_owned()),
        }
    }
    Ok(found)
}

fn answer(found: &Diagnosis, secrets: usize) -> Answer {
    let problem = |fault: &Fault| {
        let part = fault.part().map(Part::as_str);
        json!({"part": part, "code": fault.code(), "detail": fault.to_string()})
    };
    let problems: Vec<Value> = found.faults.iter().map(problem).collect();
    // Counted from one, as they were given.
    let secret = found.signed_with.map(|index| index + 1);
    let json = json!({
        "ok": found.is_ok(), "signature": found.signed_with.is_some(), "secret": secret, "age_seconds": found.age,
        "problems": problems,
    });
    let screen = Screen::stdout();
    let mut lines = Vec::new();
    if let Some(number) = secret {
        let which =
            if secrets > 1 { format!(", made with secret {number} of {secrets}") } else { String::new() };
        let age = match found.age {
            Some(age @ 0..) => format!("; it was sent {age} s ago"),
            Some(age) => format!("; it says that it was sent {} s from now", age.unsigned_abs()),
            None => String::new(),
        };
        lines.push(format!("{} the signature is right{which}{age}", screen.paint(Tone::Good, "ok:")));
    }
    let wrong = |fault: &Fault| {
        format!("{} {}", screen.paint(Tone::Bad, "wrong:"), plain(&fault.to_string().replace('\n', " ")))
    };
    lines.extend(found.faults.iter().map(wrong));
    Answer::painted(json, lines.join("\n")).ok(found.is_ok())
}
