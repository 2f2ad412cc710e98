//! `listen`: what a developer's machine gets, beside what an endpoint gets.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver as Lines, channel};
use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::Receiver;
use task_inbox_testkit::process::{Signal, signal};
use task_inbox_testkit::receiver::Behaviour;
use task_inbox_testkit::signature::Secret;

use crate::at_every_place;
use crate::inbox::{Inbox, Place, schema_to};
use crate::peer::{Peer, header, say};

at_every_place!(prints_what_the_filter_lets_through, begins_at_the_end_or_at_the_start);

const PATIENCE: Duration = Duration::from_secs(30);

/// A running `listen`; dropping it kills it.
struct Listening {
    child: Child,
    stdout: Lines<String>,
    stderr: Lines<String>,
}

impl Listening {
    fn start(inbox: &Inbox, arguments: &[&str]) -> Self {
        let mut command = inbox.command(&[&["listen"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let stdout = lines(child.stdout.take().expect("piped"));
        let stderr = lines(child.stderr.take().expect("piped"));
        let mut listening = Self { child, stdout, stderr };
        listening.until("listening to");
        listening
    }

    /// The next line of an event.
    fn line(&mut self) -> String {
        self.stdout.recv_timeout(PATIENCE).expect("a line")
    }

    /// Waits for something that it says besides.
    fn until(&mut self, words: &str) -> String {
        loop {
            let line = self.stderr.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{words}: {e}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Control-C; its exit code and the cursor to go on from.
    fn interrupt(mut self) -> (Option<i32>, String) {
        signal(self.child.id(), Signal::INT).expect("sent");
        let status = self.child.wait().expect("it ends");
        let last = self.stdout.iter().last().expect("it says where it ended");
        (status.code(), last.rsplit_once("--after ").expect("a cursor").1.to_owned())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> Lines<String> {
    let (told, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| told.send(line))
    });
    lines
}

fn post(inbox: &Inbox) -> String {
    inbox.json(&["mktask", "s", "t"])["task"]["id"].as_str().expect("an id").to_owned()
}

async fn prints_what_the_filter_lets_through(inbox: Inbox) {
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    let (first, second) = (post(&inbox), post(&inbox));
    inbox.json(&["decide", &second, "done", "--reason", "why\u{1b}not"]);
    let listen = |filter: &[&str], count: &str| {
        let all = [&["listen", "--print", "--from-start", "--until", count], filter].concat();
        inbox.run(&all).ok().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = listen(&["--schema", "s"], "4");
    assert!(all[0].contains("schema.version_created s 1"), "{all:?}");
    assert!(all[1].ends_with(&format!("task.created s t {first} unset")), "{all:?}");
    assert!(all[3].ends_with(&format!("task.state_changed s t {second} unset -> done")), "{all:?}");
    assert!(all[4].starts_with("events: 4; go on with --after ") && all.len() == 5, "{all:?}");
    assert_eq!(listen(&["--type", "task.state_changed"], "1")[0], all[3]);
    let both = listen(&["--type", "task.state_changed", "--type", "schema.version_created"], "2");
    assert_eq!(both[..2], [all[0].clone(), all[3].clone()]);
    assert_eq!(listen(&["--ttype", "t", "--task", &second], "2")[..2], [all[2].clone(), all[3].clone()]);
    let cursor = all[4].rsplit_once(' ').expect("a cursor").1;
    assert_eq!(inbox.json(&["listen", "--print", "--from-start", "--until", "4"])["cursor"], cursor);
    inbox.run(&["listen", "--from-start"]).refused(2);
    inbox.run(&["listen", "--print", "--type", "task.gone"]).refused(2);
}

async fn begins_at_the_end_or_at_the_start(inbox: Inbox) {
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    post(&inbox);
    let mut listening = Listening::start(&inbox, &["--print"]);
    let second = post(&inbox);
    assert!(listening.line().contains(&second), "what was there already is left out");
    let (code, cursor) = listening.interrupt();
    assert_eq!(code, Some(0));
    let third = post(&inbox);
    let mut on = Listening::start(&inbox, &["--print", "--after", &cursor]);
    assert!(on.line().contains(&third), "it goes on where it ended");
    let mut start = Listening::start(&inbox, &["--print", "--from-start"]);
    assert!(start.line().contains("schema.version_created"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwards_what_an_endpoint_gets() {
    let inbox = Inbox::at(Place::Remote).await;
    let receiver = Receiver::start().await.expect("a receiver");
    inbox.install(&schema_to(&receiver.url("/real"))).ok();
    inbox.json(&["webhook_key", "s"]);
    let filter = ["--type", "task.state_changed"];
    let url = receiver.url("/local");
    let mut signed = Listening::start(&inbox, &[&["--forward", &url], &filter[..]].concat());
    let said = signed.until("signed with");
    let secret = said.split([' ', ':']).find(|word| word.starts_with("whsec_")).expect("it shows the secret");
    receiver.expect_secret("/local", Secret::parse(secret).expect("a secret"));
    for _ in 0..3 {
        inbox.json(&["decide", &post(&inbox), "done"]);
    }
    assert!(receiver.wait_for_count(6, PATIENCE).await);
    let of = |path: &str| -> Vec<_> {
        receiver.journal().into_iter().filter(|arrival| arrival.path == path).collect()
    };
    let (mut real, local) = (of("/real"), of("/local"));
    assert!(local.iter().all(|arrival| arrival.is_authentic == Some(true)));
    let seq = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("JSON")["data"]["seq"].as_i64();
    assert!(local.is_sorted_by_key(|arrival| seq(&arrival.body)), "in order");
    // Three tasks: between them there is no order for an endpoint.
    real.sort_by_key(|arrival| seq(&arrival.body));
    let names = |head: &str| {
        let mut names: Vec<_> =
            head.lines().filter_map(|l| Some(l.split_once(':')?.0.to_ascii_lowercase())).collect();
        names.sort();
        names
    };
    for (real, local) in real.iter().zip(&local) {
        assert_eq!((&real.body, &real.webhook_id), (&local.body, &local.webhook_id), "the same bytes");
        assert_eq!(names(&real.head), names(&local.head));
        assert!(signed.line().contains("  200 in "), "says what was answered");
    }
    assert_eq!((real.len(), local.len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwards_the_originals_form_too() {
    let inbox = Inbox::at(Place::Remote).await;
    let receiver = Receiver::start().await.expect("a receiver");
    let schema = schema_to(&receiver.url("/real"));
    inbox.install(&format!("{schema}hook_auth: {{kind: head, val: ti-key}}\n")).ok();
    inbox.json(&["webhook_key", "s", "--key", "local-key"]);
    inbox.json(&["decide", &post(&inbox), "done"]);
    let url = receiver.url("/local");
    let form = ["--header", "ti-key", "--key", "local-key"];
    let events = ["--from-start", "--type", "task.state_changed", "--until", "1"];
    let done = inbox.json(&[&["listen", "--forward", &url], &form[..], &events[..]].concat());
    assert_eq!((&done["events"], &done["secret"]), (&json!(1), &Value::Null));
    assert!(receiver.wait_for_count(2, PATIENCE).await);
    let [one, other] = &receiver.journal()[..] else { panic!("two arrive") };
    assert_eq!(one.body, other.body);
    for arrival in [one, other] {
        assert_eq!(header(&arrival.head, "ti-key"), Some("local-key"));
        assert_eq!(header(&arrival.head, "webhook-signature"), None);
    }
    inbox.run(&["listen", "--forward", &url, "--header", "Host", "--key", "x"]).refused(2);
    for secret in [&["--secret", "hush-hush"][..], &["--header", "x-key", "--key", "hush hush"]] {
        let said = inbox.run(&[&["listen", "--forward", &url], secret].concat()).refused(2);
        assert!(said.contains(secret[secret.len() - 2]) && !said.contains("hush"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_is_sent_until_it_is() {
    let inbox = Inbox::at(Place::Remote).await;
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    let receiver = Receiver::start().await.expect("a receiver");
    receiver.behave(Behaviour::Answer(500));
    let mut listening = Listening::start(&inbox, &["--forward", &receiver.url("/hook")]);
    let posted: Vec<_> = (0..3).map(|_| post(&inbox)).collect();
    listening.until("answered 500");
    assert!(receiver.wait_for_count(2, PATIENCE).await, "it is sent again");
    receiver.behave(Behaviour::Answer(200));
    listening.until("was taken after");
    for task in &posted {
        assert!(listening.line().contains(task), "none is skipped");
    }
    let mut ids: Vec<_> = receiver.journal().into_iter().map(|arrival| arrival.webhook_id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "nothing passes what was not taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_good_holds_up_no_other() {
    let inbox = Inbox::at(Place::Remote).await;
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    let receiver = Receiver::start().await.expect("a receiver");
    receiver.behave(Behaviour::Answer(422));
    let url = receiver.url("/hook");
    let mut listening = Listening::start(&inbox, &["--forward", &url, "--until", "2"]);
    let (first, second) = (post(&inbox), post(&inbox));
    listening.until("is passed over: ");
    let line = listening.line();
    assert!(line.contains(&first) && line.contains("  passed: ") && line.contains("answered 422"), "{line}");
    receiver.behave(Behaviour::Answer(200));
    let line = listening.line();
    assert!(line.contains(&second), "{line}");
    let end = listening.line();
    assert!(
        end.starts_with("events: 2, passed over because they were refused: 1; go on with --after "),
        "{end}"
    );
    let mut ids: Vec<_> = receiver.journal().into_iter().map(|arrival| arrival.webhook_id).collect();
    assert_eq!(ids.iter().filter(|id| **id == ids[0]).count(), 3);
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_down_is_waited_for() {
    let inbox = Inbox::at(Place::Remote).await;
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let mut listening = Listening::start(&inbox, &["--forward", &format!("http://{address}/hook")]);
    let task = post(&inbox);
    listening.until("nothing listens at");
    let listener = TcpListener::bind(address).expect("free again");
    let peer = Peer::on(listener, [say(204, "text/plain", "", "")]);
    assert!(listening.line().contains(&task));
    assert!(peer.seen()[0].contains(&task));
    // Ended while one waits, it goes on with that one.
    let second = post(&inbox);
    listening.until("the connection to");
    let (code, cursor) = listening.interrupt();
    assert_eq!(code, Some(0));
    let on = inbox.run(&["listen", "--print", "--after", &cursor, "--until", "1"]).ok();
    assert!(on.contains(&second), "{on}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_waited_for() {
    let inbox = Inbox::empty();
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let there = inbox.installation().with("TASK_INBOX_LISTEN", &format!("127.0.0.1:{port}"));
    let server = there.serve("first").await.expect("it serves");
    let file = inbox.write("schema.yml", &schema_to("http://127.0.0.1:9/hook"));
    there.cli(&["taskschema", &file]).await.expect("installed");
    let made = there.cli(&["api_key", "--name", "dev", "--permission", "tasks:read"]).await.expect("made");
    let url = format!("http://127.0.0.1:{port}");
    let key = made["key"].as_str().expect("a key");
    let mut listening = Listening::start(&inbox, &["--print", "--server", &url, "--api-key", key]);
    server.terminate(Duration::from_secs(20)).await.expect("it ends");
    listening.until("trying again until it is back");
    // Posted while it was away.
    let posted = there.cli(&["mktask", "s", "t"]).await.expect("posted");
    let _server = there.serve("second").await.expect("it serves again");
    listening.until("it is back");
    assert!(listening.line().contains(posted["task"]["id"].as_str().expect("an id")), "nothing was missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_been_trimmed_is_passed_over_or_told() {
    let inbox = Inbox::new();
    inbox.install(&schema_to("http://127.0.0.1:9/hook")).ok();
    let task = post(&inbox);
    inbox.installation().database().execute("UPDATE log_head SET floor_seq = 1").await.expect("runs");
    let kept = inbox.run(&["listen", "--print", "--from-start", "--until", "1"]).ok();
    assert!(kept.contains(&task), "{kept}");
    inbox.run(&["listen", "--print", "--after", "AQAAAAAAAAAA"]).says(&["have been trimmed", "cursor"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_read_is_refused_clearly() {
    let inbox = Inbox::at(Place::Remote).await;
    let made = inbox.json(&["api_key", "--name", "posts", "--permission", "tasks:write"]);
    let key = made["key"].as_str().expect("a key");
    inbox.run(&["listen", "--print", "--api-key", key]).says(&["refused the key", "tasks:read"]);
    inbox.run(&["listen", "--print", "--after", "AQAAAAAAD0JA"]).says(&["ahead of the log"]);
}
