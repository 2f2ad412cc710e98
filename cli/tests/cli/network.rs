//! What can come between a command and its server, each said in one sentence.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::inbox::{Done, Inbox, Place, SAMPLE};
use crate::peer::{Peer, Reaction, header, problem, say};

const KEY: &str = "ti_swordfish_swordfish";

fn ask(url: &str, arguments: &[&str]) -> Done {
    let inbox = Inbox::empty();
    let mut command = inbox.bare(arguments);
    command.env("TASK_INBOX_SERVER", url).env("TASK_INBOX_API_KEY", KEY).output().expect("it runs").into()
}

fn list(task: &str) -> Reaction {
    say(
        200,
        "application/json",
        "",
        &json!({"tasks": [{"id": task}], "types": {}, "next_cursor": null}).to_string(),
    )
}

fn posted() -> Reaction {
    say(201, "application/json", "", &json!({"task": {"id": "1"}, "ttype": "t"}).to_string())
}

#[test]
fn nobody_there() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    ask(&format!("http://127.0.0.1:{port}"), &["tasks"]).says(&["nothing listens at", "check the address"]);
    let unknown = ask("http://nobody.invalid", &["tasks"]).refused(1);
    assert!(unknown.contains("the host of http://nobody.invalid can't be found"), "{unknown}");
    assert!(unknown.starts_with("warning: the key travels to nobody.invalid in clear text"), "{unknown}");
    ask("https://nobody.invalid", &["tasks"]).says(&["can't be found"]);
}

#[test]
fn no_tls_where_it_should_be() {
    let peer = Peer::new([]);
    ask(&peer.url().replace("http:", "https:"), &["tasks"]).says(&["does not speak TLS", "http://"]);
}

/// A server whose certificate nobody signed.
struct SelfSigned(Child);

impl Drop for SelfSigned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_certificate_that_nobody_trusts() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &str| {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split(' '))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let mut made =
        run("req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost \
                    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE");
    let made = made.status().expect("openssl runs: apt-get install openssl");
    assert!(made.success());
    let mut serve = run("s_server -www -key key -cert cert -accept 127.0.0.1:0");
    let mut server = SelfSigned(serve.stdout(Stdio::piped()).spawn().expect("it runs"));
    // It says where it listens, as `ACCEPT 127.0.0.1:{port}`, once it does.
    let lines = BufReader::new(server.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut announced = lines
        .filter(|line| line.starts_with("ACCEPT "))
        .map(|line| line.rsplit(':').next().map(str::to_owned));
    let port = announced.next().flatten().expect("openssl s_server listens");
    let url = format!("https://localhost:{port}");
    ask(&url, &["tasks"]).says(&["certificate", "is not trusted", "SSL_CERT_FILE"]);
    // Trusted, it is asked: it is a server of web pages.
    let inbox = Inbox::empty();
    let mut trusting = inbox.bare(&["tasks", "--server", &url, "--api-key", KEY]);
    let done: Done =
        trusting.env("SSL_CERT_FILE", folder.path().join("cert")).output().expect("it runs").into();
    done.says(&["answered 200 with text/html"]);
}

#[test]
fn without_certificates_there_is_still_http() {
    let inbox = Inbox::empty();
    let run = |url: &str| -> Done {
        let mut command = inbox.bare(&["tasks", "--server", url, "--api-key", KEY]);
        command.envs([("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")]);
        command.output().expect("it runs").into()
    };
    assert!(run(&Peer::new([list("a")]).url()).ok().contains('a'));
    run("https://localhost:1").says(&["install ca-certificates"]);
}

#[test]
fn no_answer_in_time() {
    let peer = Peer::new([Reaction::Wait, Reaction::Wait]);
    ask(&peer.url(), &["api_keys", "--timeout", "200ms"]).says(&["did not answer within 0.2 s", "--timeout"]);
    let peer = Peer::new([Reaction::Wait, Reaction::Wait]);
    ask(&peer.url(), &["api_key", "--name", "x", "--timeout", "200ms"])
        .says(&["whether it was done is not known"]);
    assert_eq!(peer.seen().len(), 1, "it would make two keys");
}

#[test]
fn somebody_else_answers() {
    for (reaction, words) in [
        (say(502, "text/html", "", "<h1>Bad Gateway</h1>"), &["502", "text/html", "proxy"][..]),
        (say(200, "text/html; charset=utf-8", "", "<h1>Hello</h1>"), &["no answer of task-inbox"]),
        (say(200, "application/json", "", "{"), &["no answer of task-inbox"]),
        (say(500, "application/json", "", r#"{"error": 1}"#), &["no answer of task-inbox"]),
        (
            say(301, "text/html", "location: https://a.example/\r\n", ""),
            &["sends on to https://a.example/", "--server"],
        ),
        (problem(500, "This is a fault of the service.", ""), &["a fault of the service"]),
    ] {
        ask(&Peer::new([reaction]).url(), &["tasks"]).says(words);
    }
}

#[test]
fn another_version_answers() {
    let health = |version: &str| say(200, "application/json", "", &json!({ "version": version }).to_string());
    let peer = Peer::new([problem(404, "there is no /api/v1/me here", ""), health("0.0.7")]);
    ask(&peer.url(), &["whoami"]).says(&[
        "no /api/v1/me here",
        "the server is task-inbox 0.0.7",
        "the same version",
    ]);
    let peer = Peer::new([problem(404, "there is no such key", ""), health(env!("CARGO_PKG_VERSION"))]);
    let said = ask(&peer.url(), &["whoami"]).refused(1);
    assert!(!said.contains("version"), "{said}");
}

#[test]
fn not_now() {
    let peer = Peer::new([problem(429, "this key's rate is used up for now", "retry-after: 7\r\n")]);
    ask(&peer.url(), &["tasks"]).says(&["rate is used up", "try again in 7 s"]);
    // A read is tried again, as is a post that carries its key; anything else is not.
    let busy = || problem(503, "the database can't be reached right now", "retry-after: 0\r\n");
    let peer = Peer::new([busy(), busy(), list("a")]);
    assert!(ask(&peer.url(), &["tasks"]).ok().contains('a'));
    assert!(ask(&Peer::new([busy(), posted()]).url(), &["mktask", "s", "t"]).ok().contains("posted 1"));
    let peer = Peer::new([busy(), busy()]);
    ask(&peer.url(), &["api_key", "--name", "x"]).says(&["can't be reached right now"]);
    assert_eq!(peer.seen().len(), 1);
    let peer = Peer::new([busy(), busy(), busy(), busy(), busy()]);
    ask(&peer.url(), &["tasks"]).says(&["can't be reached right now", "wait 0 s"]);
    assert_eq!(peer.seen().len(), 4);
    let peer = Peer::new([problem(503, "maintenance", "retry-after: 3600\r\n")]);
    ask(&peer.url(), &["tasks"]).says(&["maintenance", "wait 3600 s"]);
}

#[test]
fn a_lost_answer() {
    let peer = Peer::new([Reaction::Hang, list("a")]);
    assert!(ask(&peer.url(), &["tasks"]).ok().contains('a'));
    let peer = Peer::new([Reaction::Hang, Reaction::Hang, posted()]);
    ask(&peer.url(), &["mktask", "s", "t"]).ok();
    let keys: Vec<_> = peer.seen().iter().map(|r| header(r, "idempotency-key").map(str::to_owned)).collect();
    assert!(keys.len() == 3 && keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let peer = Peer::new([Reaction::Hang, posted()]);
    ask(&peer.url(), &["webhook_key", "s"]).says(&["was lost", "whether it was done is not known"]);
    assert_eq!(peer.seen().len(), 1);
    assert_eq!(header(&peer.seen()[0], "idempotency-key"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_whose_answer_was_lost_is_posted_once() {
    let inbox = Inbox::at(Place::Remote).await;
    inbox.install(SAMPLE).ok();
    let server = inbox.url().trim_start_matches("http://").parse().expect("an address");
    let peer = Peer::new([Reaction::LoseAnswerOf(server), Reaction::Pass(server)]);
    let posted = inbox.json(&[
        "mktask",
        "ti:sample",
        "flag-content",
        "--server",
        &peer.url(),
        "--api-key",
        inbox.key(),
    ]);
    let tasks = inbox.json(&["tasks"]);
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1));
    assert_eq!(tasks["tasks"][0]["id"], posted["task"]["id"]);
    let id = posted["task"]["id"].as_str().expect("an id");
    let peer = Peer::new([Reaction::LoseAnswerOf(server), Reaction::Pass(server)]);
    inbox.json(&["decide", id, "block", "--server", &peer.url(), "--api-key", inbox.key()]);
    assert_eq!(inbox.json(&["tasks"])["tasks"][0]["version"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_does_what_it_may_and_no_more() {
    let inbox = Inbox::at(Place::Remote).await;
    inbox.install(SAMPLE).ok();
    let made = inbox.json(&["api_key", "--name", "poster", "--permission", "tasks:write", "--rate", "2/m"]);
    let key = made["key"].as_str().expect("a key");
    let post = ["mktask", "ti:sample", "flag-content", "--api-key", key];
    inbox.run(&["tasks", "--api-key", key]).says(&["tasks:read", "poster"]);
    inbox.run(&post).ok();
    inbox.run(&post).says(&["rate is used up", "try again in "]);
    // Whoever may read tasks alone is not told of schemas, and gets an empty list all the same.
    let made = inbox.json(&["api_key", "--name", "reader", "--permission", "tasks:read"]);
    let key = made["key"].as_str().expect("a key");
    assert!(inbox.run(&["tasks", "other", "--api-key", key]).ok().contains("no tasks"));
}

#[test]
fn no_answer_brings_the_key_or_an_escape_to_the_terminal() {
    let detail = format!("your key is {KEY} \u{1b}[31mred");
    let said = ask(&Peer::new([problem(403, &detail, "")]).url(), &["tasks"]).refused(1);
    assert!(said.contains("your key is ***") && !said.contains(KEY) && !said.contains('\u{1b}'), "{said:?}");
    let said = ask(&Peer::new([problem(409, &detail, "")]).url(), &["tasks", "--json"]).refused(1);
    assert!(!said.contains(KEY), "{said}");
    let inbox = Inbox::empty();
    let bad = inbox.bare(&["tasks", "--server", "http://127.0.0.1:1", "--api-key", "two words"]).output();
    let said = Done::from(bad.expect("it runs")).refused(1);
    assert!(said.contains("characters that no key has") && !said.contains("two words"), "{said}");
    let said = ask("https://me:swordfish@inbox.example", &["tasks"]).refused(2);
    assert!(said.contains("API keys alone") && !said.contains("swordfish"), "{said}");
    assert!(
        ask(&Peer::new([list("a\u{1b}[2J\u{9b}b")]).url(), &["tasks"]).ok().contains("a\\u{1b}[2J\\u{9b}b")
    );
}
