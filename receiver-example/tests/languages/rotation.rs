//! A rotation under load: tasks are posted and decided without a pause while the key is replaced, each
//! receiver changes over in the middle of the overlap, and the overlap ends. Nothing is refused, and what went
//! over the wire is verified once more by the official libraries of the standard and by svix's.

use std::collections::VecDeque;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::program::{Program, here};
use crate::relay::Captured;
use crate::shop::Shop;

/// Long enough for a receiver to start in, short enough to be waited for.
const OVERLAP: &str = "8s";
/// How long the whole may take at most.
const PATIENCE: Duration = Duration::from_mins(2);
/// How many webhooks may be on their way.
const AHEAD: usize = 8;
/// How many of each phase are verified again.
const SAMPLE: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rust_survives_a_rotation() {
    survives(Program::rust).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_survives_a_rotation() {
    survives(Program::python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_survives_a_rotation() {
    survives(Program::node).await;
}

/// A shop that never stops, and every webhook that was answered.
struct Load {
    shop: Shop,
    granted: VecDeque<String>,
    answered: Vec<Captured>,
    /// The latest event of them, and how many signatures it had: answers may overtake each other.
    newest: (i64, usize),
    begun: Instant,
}

impl Load {
    /// Grants one more task, and takes what was answered meanwhile; returns how many signatures the newest
    /// webhook had.
    async fn step(&mut self) -> usize {
        assert!(self.begun.elapsed() < PATIENCE, "{} webhooks and no end", self.answered.len());
        let task = self.shop.grant().await;
        self.granted.push_back(task);
        while self.granted.len() > self.answered.len() + AHEAD {
            self.take();
        }
        self.newest.1
    }

    fn take(&mut self) {
        let captured = self.shop.relay.next();
        assert_eq!(captured.answered(), 200, "refused: {}", captured.head());
        let event: Value = serde_json::from_slice(&captured.body).unwrap();
        let seq = event["data"]["seq"].as_i64().unwrap();
        self.newest = self.newest.max((seq, signatures(&captured)));
        self.answered.push(captured);
    }

    /// Takes the rest of what is on its way; returns how many were answered by now.
    fn drain(&mut self) -> usize {
        while self.answered.len() < self.granted.len() {
            self.take();
        }
        self.answered.len()
    }
}

fn signatures(request: &Captured) -> usize {
    request.header("webhook-signature").split(' ').filter(|entry| entry.starts_with("v1,")).count()
}

async fn survives(start: fn(&str, &Path) -> Program) {
    let shop = Shop::open().await;
    let (old, folder) = (shop.secret.clone(), shop.folder().to_owned());
    let former = start(&old, &folder);
    shop.relay.forward_to(former.address());
    let mut load =
        Load { shop, granted: VecDeque::new(), answered: Vec::new(), newest: (0, 0), begun: Instant::now() };
    for _ in 0..SAMPLE {
        assert!(load.step().await <= 1);
    }
    let begin = load.drain();

    // The key is replaced; the receiver knows the old one alone.
    let rotate = ["webhook_key", "shop", "--rotate", "--overlap", OVERLAP];
    let installation = load.shop.installation.clone();
    let rotation = tokio::spawn(async move { installation.cli(&rotate).await.unwrap() });
    while load.step().await < 2 {}
    let new = rotation.await.unwrap()["key"].as_str().unwrap().to_owned();
    let before_switch = load.answered.len();
    for _ in 0..SAMPLE {
        load.step().await;
    }

    // In the middle of the overlap another takes its place, which knows the new one alone.
    let (secret, place) = (new.clone(), folder.clone());
    let starting = tokio::task::spawn_blocking(move || start(&secret, &place));
    while !starting.is_finished() {
        load.step().await;
    }
    let latter = starting.await.unwrap();
    load.shop.relay.forward_to(latter.address());
    let switched = load.answered.len();
    while latter.waiting_line().is_none() {
        assert_eq!(load.step().await, 2, "the overlap was over before the receiver had changed over");
    }

    // The overlap ends, and nothing else changes.
    while load.step().await == 2 {}
    let end = load.drain();
    for _ in 0..SAMPLE {
        assert_eq!(load.step().await, 1);
    }
    load.drain();
    assert!(before_switch < switched, "webhooks came to the old receiver in the overlap");
    nothing_was_sent_twice(&load).await;
    the_libraries_agree(&load.answered, begin..end, &old, &new);
}

/// Each was taken at its first attempt.
async fn nothing_was_sent_twice(load: &Load) {
    let granted = load.granted.len();
    let delivered =
        "SELECT count(*) AS n FROM finished_deliveries WHERE outcome = 'delivered' AND attempts = 1";
    let waiting = "SELECT count(*) AS n FROM deliveries";
    // What was answered is settled a moment later.
    let settled = async {
        loop {
            let count =
                async |select| load.shop.installation.database().query(select).await.unwrap()[0]["n"].clone();
            if count(waiting).await == 0 {
                return count(delivered).await;
            }
        }
    };
    let settled = tokio::time::timeout(PATIENCE, settled).await.unwrap();
    assert_eq!(settled, json!(granted));
    let mut ids: Vec<_> = load.answered.iter().map(|request| request.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), granted);
}

/// Both keys of the overlap verify by themselves, each alone before and after, in two languages.
fn the_libraries_agree(answered: &[Captured], overlap: Range<usize>, old: &str, new: &str) {
    let (before, after) = (&answered[..overlap.start], &answered[overlap.end..]);
    let both: Vec<_> = answered[overlap].iter().filter(|request| signatures(request) == 2).collect();
    let mut asked = Vec::new();
    let mut ask = |request: &Captured, secret: &str, is_right: bool| {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: Value = names.map(|name| (name, request.header(name))).into_iter().collect();
        let body = STANDARD.encode(&request.body);
        asked.push((json!({"secret": secret, "headers": headers, "body": body}), is_right));
    };
    for request in before.iter().take(SAMPLE) {
        ask(request, old, true);
        ask(request, new, false);
    }
    // The first and the last of them: a webhook may be signed just as a key begins or ends.
    let last = both.len().saturating_sub(SAMPLE);
    for request in both[..both.len().min(SAMPLE)].iter().chain(&both[last..]) {
        ask(request, old, true);
        ask(request, new, true);
    }
    for request in after.iter().take(SAMPLE) {
        ask(request, old, false);
        ask(request, new, true);
    }
    assert!(before.len() >= SAMPLE && both.len() >= SAMPLE && after.len() >= SAMPLE);
    let webhooks: Vec<_> = asked.iter().map(|(webhook, _)| webhook.to_string()).collect();
    let webhooks = webhooks.join("\n");
    for verdicts in [verdicts(python(), &webhooks), verdicts(node(), &webhooks)] {
        assert_eq!(verdicts.len(), asked.len());
        for (verdict, (webhook, is_right)) in verdicts.iter().zip(&asked) {
            assert_eq!(*verdict, json!({"standardwebhooks": is_right, "svix": is_right}), "{webhook}");
        }
    }
}

fn verifiers() -> PathBuf {
    here("verifiers")
}

fn python() -> Command {
    let interpreter = verifiers().join(".venv/bin/python");
    assert!(interpreter.exists(), "no virtual environment: run scripts/packages receiver-example/verifiers");
    let mut command = Command::new(interpreter);
    command.arg(verifiers().join("verify.py"));
    command
}

fn node() -> Command {
    assert!(verifiers().join("node_modules").exists(), "run scripts/packages receiver-example/verifiers");
    let mut command = Command::new("node");
    command.arg(verifiers().join("verify.mjs"));
    command
}

/// What a program says of each webhook.
fn verdicts(mut program: Command, webhooks: &str) -> Vec<Value> {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = webhooks.to_owned();
    // Beside the reading: either pipe may be full.
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
