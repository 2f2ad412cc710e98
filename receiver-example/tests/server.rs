//! The real program on a port of its own: every status, what it prints and what it writes down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const KEY: &str = "s3cret";

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_receiver-example"))
            .env_clear()
            .env("RCV_LISTEN", "127.0.0.1:0")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        Self { child, stdout, address: address.to_owned() }
    }

    fn both() -> Self {
        Self::start(&[("RCV_HOOK_KEY", KEY), ("RCV_HOOK_SECRET", SECRET)])
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        let mut request = format!(
            "POST /api/v1/tihook HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(b"\r\n").unwrap();
        // A body that is refused for its length is answered before all of it was taken.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn post_signed(&self, secrets: &[&str], id: &str, timestamp: i64, body: &[u8]) -> (u16, Value) {
        let signature = sign(secrets, id, timestamp, body);
        self.post(&signed(id, &timestamp.to_string(), &signature), body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now() -> i64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    age.as_secs().try_into().unwrap()
}

/// Written apart from the program's own code, to check it rather than to repeat it.
fn sign(secrets: &[&str], id: &str, timestamp: i64, body: &[u8]) -> String {
    let content = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let signature = |secret: &&str| {
        let key = STANDARD.decode(secret.trim_start_matches("whsec_"));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key.unwrap()).unwrap();
        mac.update(&content);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    secrets.iter().map(signature).collect::<Vec<_>>().join(" ")
}

fn signed<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> [(&'a str, &'a str); 3] {
    [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
}

fn event() -> Vec<u8> {
    let body = json!({"type": "task.state_changed", "timestamp": "2026-11-21T03:00:00Z", "data": {
        "event_id": "1", "ttype": "flag-content", "previous_state": "level1",
        "task": {"id": "0198", "state": "block"}}});
    body.to_string().into_bytes()
}

fn error(answer: &(u16, Value)) -> &str {
    answer.1["error"].as_str().unwrap()
}

#[test]
fn a_signed_webhook_is_verified_and_repeated_ones_are_told() {
    let mut server = Server::both();
    let answer = server.post_signed(&[SECRET], "evt_1", now(), &event());
    assert_eq!(answer, (200, json!({"ok": true})));
    let line = "(hmac) evt_1 task.state_changed 0198 level1 -> block";
    assert_eq!(server.line(), format!("verified {line}"));
    // Another attempt: the same id, its own timestamp and signature.
    let answer = server.post_signed(&[SECRET], "evt_1", now() - 5, &event());
    assert_eq!(answer.0, 200);
    assert_eq!(server.line(), format!("duplicate {line}"));
    server.post_signed(&[SECRET], "evt_2", now(), &event());
    assert!(server.line().starts_with("verified (hmac) evt_2 "));
}

#[test]
fn a_question_is_answered_and_not_kept() {
    let mut server = Server::both();
    let question = |given: Value| {
        let body = json!({"type": "task.guard", "timestamp": "2026-11-21T03:00:00Z", "data": {
            "task": {"id": "0198", "state": null, "meta": {"cents": 500}}, "ttype": "refund",
            "transition": {"from": null, "to": "granted"}, "reason": null, "output": given}});
        body.to_string().into_bytes()
    };
    let refusal = json!({"allow": false, "reason": "only 500 cents were paid"});
    for (given, answer, verdict) in [
        (json!({"cents": 501}), refusal, "refused"),
        (json!({"cents": 500}), json!({"allow": true}), "allowed"),
        (Value::Null, json!({"allow": true}), "allowed"),
    ] {
        // The same id again is another question all the same.
        assert_eq!(server.post_signed(&[SECRET], "grd_1", now(), &question(given)), (200, answer));
        assert_eq!(server.line(), format!("{verdict} (hmac) grd_1 task.guard 0198 unset -> granted"));
    }
    // Whoever can't sign is told nothing of what would be allowed.
    let answer = server.post_signed(&[OTHER], "grd_2", now(), &question(json!({"cents": 501})));
    assert_eq!((answer.0, answer.1.get("allow")), (403, None));
}

#[test]
fn a_head_webhook_is_verified() {
    let mut server = Server::both();
    let body = br#"{"task": {"id": "0198", "state": "block"}, "ttype": "flag-content"}"#;
    assert_eq!(server.post(&[("ti-key", KEY)], body).0, 200);
    assert_eq!(server.line(), "verified (head) flag-content 0198 block");
    for verdict in ["verified", "duplicate"] {
        let headers = [("Ti-Key", KEY), ("webhook-id", "evt_1")];
        assert_eq!(server.post(&headers, body).0, 200);
        let expected = format!("{verdict} (head) flag-content 0198 block");
        assert_eq!(server.line(), expected);
    }
}

#[test]
fn the_header_of_head_webhooks_is_configurable() {
    let server = Server::start(&[("RCV_HOOK_HEADER", "X-Hook"), ("RCV_HOOK_KEY", KEY)]);
    assert_eq!(server.post(&[("x-hook", KEY)], b"{}").0, 200);
    assert_eq!(server.post(&[("ti-key", KEY)], b"{}").0, 401);
}

#[test]
fn without_any_key_nothing_is_implemented() {
    let server = Server::start(&[("RCV_HOOK_KEY", ""), ("RCV_HOOK_SECRET", " ")]);
    assert_eq!(server.post(&[("ti-key", "")], b"{}").0, 501);
    assert_eq!(server.post(&[], b"{}").0, 501);
    let answer = server.post_signed(&[SECRET], "evt_1", now(), b"{}");
    assert_eq!(answer.0, 501);
    assert!(error(&answer).contains("RCV_HOOK_KEY"));
}

#[test]
fn without_a_credential_401() {
    let server = Server::both();
    let answer = server.post(&[], b"{}");
    assert_eq!(answer.0, 401);
    assert!(error(&answer).contains("ti-key"));
    // Each of the three headers is needed; without webhook-signature it is a `head` webhook.
    let timestamp = now().to_string();
    let signature = sign(&[SECRET], "evt_1", now(), b"{}");
    let all = signed("evt_1", &timestamp, &signature);
    for missing in 0..3 {
        let mut headers = all.to_vec();
        let (name, _) = headers.remove(missing);
        let answer = server.post(&headers, b"{}");
        assert_eq!(answer.0, 401, "{name}");
        assert!(error(&answer).contains(name), "{name}");
    }
}

#[test]
fn a_wrong_credential_is_forbidden() {
    let server = Server::both();
    for wrong in ["", "s3cre", "s3cret2"] {
        assert_eq!(server.post(&[("ti-key", wrong)], b"{}").0, 403);
    }
    let answer = server.post_signed(&[OTHER], "evt_1", now(), b"{}");
    assert_eq!(answer.0, 403);
    assert!(error(&answer).contains("signature"));
    // A right key does not excuse a wrong signature.
    let timestamp = now().to_string();
    let mut headers = signed("evt_1", &timestamp, "v1,AAAA").to_vec();
    headers.push(("ti-key", KEY));
    assert_eq!(server.post(&headers, b"{}").0, 403);
}

#[test]
fn a_kind_that_is_not_configured_is_forbidden() {
    let server = Server::start(&[("RCV_HOOK_KEY", KEY)]);
    let answer = server.post_signed(&[SECRET], "evt_1", now(), b"{}");
    assert_eq!(answer.0, 403);
    assert!(error(&answer).contains("RCV_HOOK_SECRET"));
    let server = Server::start(&[("RCV_HOOK_SECRET", SECRET)]);
    let answer = server.post(&[("ti-key", KEY)], b"{}");
    assert_eq!(answer.0, 403);
    assert!(error(&answer).contains("RCV_HOOK_KEY"));
}

#[test]
fn a_tampered_body_is_forbidden() {
    let server = Server::both();
    let timestamp = now().to_string();
    let signature = sign(&[SECRET], "evt_1", now(), &event());
    let headers = signed("evt_1", &timestamp, &signature);
    let tampered = [event(), b" ".to_vec()].concat();
    let answer = server.post(&headers, &tampered);
    assert_eq!(answer.0, 403);
    assert!(error(&answer).contains("signature"));
}

#[test]
fn a_stale_timestamp_is_forbidden_both_ways() {
    let server = Server::both();
    for timestamp in [now() - 310, now() + 310] {
        let answer = server.post_signed(&[SECRET], "evt_1", timestamp, &event());
        assert_eq!(answer.0, 403);
        assert!(error(&answer).contains("stale"));
    }
    for timestamp in [now() - 290, now() + 290] {
        let answer = server.post_signed(&[SECRET], "evt_1", timestamp, &event());
        assert_eq!(answer.0, 200);
    }
}

#[test]
fn the_published_vector_is_genuine_but_old() {
    let server = Server::both();
    let headers = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    );
    let answer = server.post(&headers, br#"{"test": 2432232314}"#);
    assert_eq!(answer.0, 403);
    assert!(error(&answer).contains("stale"));
    let answer = server.post(&headers, br#"{"test": 2432232315}"#);
    assert!(error(&answer).contains("signature"));
}

#[test]
fn secrets_rotate_on_either_side() {
    // The sender signs with both, we know one: the old or the new.
    for known in [SECRET, OTHER] {
        let server = Server::start(&[("RCV_HOOK_SECRET", known)]);
        let answer = server.post_signed(&[OTHER, SECRET], "evt_1", now(), b"{}");
        assert_eq!(answer.0, 200);
    }
    // We know both, the sender signs with one.
    let both = format!("{OTHER} {SECRET}");
    let server = Server::start(&[("RCV_HOOK_SECRET", &both)]);
    for used in [SECRET, OTHER] {
        assert_eq!(server.post_signed(&[used], "evt_1", now(), b"{}").0, 200);
    }
}

#[test]
fn bodies_are_bounded_and_must_be_json() {
    let server = Server::both();
    let mut body = vec![b' '; 1024 * 1024 - 2];
    body.extend(b"{}");
    assert_eq!(server.post(&[("ti-key", KEY)], &body).0, 200);
    body.push(b' ');
    assert_eq!(server.post(&[("ti-key", KEY)], &body).0, 413);
    for not_json in [&b"{"[..], b"", b"\"\xff\""] {
        assert_eq!(server.post(&[("ti-key", KEY)], not_json).0, 400);
    }
    let deep = [b"[".repeat(1000), b"]".repeat(1000)].concat();
    assert_eq!(server.post(&[("ti-key", KEY)], &deep).0, 200);
}

#[test]
fn the_journal_has_a_line_for_each_accepted_delivery() {
    let path = std::env::temp_dir().join(format!("receiver-example-{}.ndjson", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let server = Server::start(&[
        ("RCV_HOOK_KEY", KEY),
        ("RCV_HOOK_SECRET", SECRET),
        ("RCV_JOURNAL", path.to_str().unwrap()),
    ]);
    server.post_signed(&[SECRET], "evt_1", now(), &event());
    server.post_signed(&[SECRET], "evt_1", now(), &event());
    server.post_signed(&[OTHER], "evt_2", now(), &event());
    server.post(&[("ti-key", KEY)], b"{\n\"ttype\": \"a\"\n}");
    // The lines are there as soon as the answers are.
    let journal = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| json!([line["webhook_id"], line["kind"], line["duplicate"]])).collect();
    assert_eq!(
        json!(told),
        json!([["evt_1", "hmac", false], ["evt_1", "hmac", true], [null, "head", false]])
    );
    assert_eq!(lines[0]["body"]["data"]["task"]["state"], "block");
    assert_eq!(lines[2]["body"], json!({"ttype": "a"}));
}

#[test]
fn it_stops_on_sigterm() {
    let mut server = Server::both();
    let status = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_malformed_secret_stops_the_start_and_is_not_shown() {
    let output = Command::new(env!("CARGO_BIN_EXE_receiver-example"))
        .env_clear()
        .env("RCV_LISTEN", "127.0.0.1:0")
        .env("RCV_HOOK_SECRET", "hunter2")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("RCV_HOOK_SECRET"));
    assert!(!told.contains("hunter2"));
}
