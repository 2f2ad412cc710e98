//! `mcp`: an agent at stdin and stdout, and a server that may go away.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver as Lines, channel};
use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::{Installation, Server};

use crate::inbox::{Inbox, Place, schema_to};
use crate::peer::{Peer, Reaction, problem};

const PATIENCE: Duration = Duration::from_mins(1);
const VERSION: &str = "2025-11-25";

/// A running `mcp`; dropping it kills it.
struct Pipe {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<Value>,
}

impl Pipe {
    fn start(inbox: &Inbox, url: &str, key: &str, arguments: &[&str]) -> Self {
        let mut command = inbox.bare(&[&["mcp"], arguments].concat());
        command.env("TASK_INBOX_SERVER", url).env("TASK_INBOX_API_KEY", key);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let (told, stdout) = channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                assert_eq!(message["jsonrpc"], "2.0", "{line}");
                if told.send(message).is_err() {
                    return;
                }
            }
        });
        Self { stdin: child.stdin.take(), child, stdout }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_ref().expect("open"), "{line}").expect("it reads");
    }

    fn request(&mut self, id: &Value, method: &str, params: &Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
    }

    fn next(&self) -> Value {
        self.stdout.recv_timeout(PATIENCE).expect("a message")
    }

    fn hello(&mut self) -> Value {
        let who = json!({"name": "t", "version": "1"});
        self.request(
            &json!(0),
            "initialize",
            &json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": who}),
        );
        let answer = self.next();
        self.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        answer
    }

    fn call(&mut self, name: &str, arguments: &Value) -> Value {
        self.request(&json!("call"), "tools/call", &json!({"name": name, "arguments": arguments}));
        let answer = self.next();
        assert_eq!(answer["id"], "call");
        answer["result"].clone()
    }

    /// Asks for a decision and waits for it; returns once the server waits, too.
    fn wait(&mut self, arguments: &Value) {
        let meta = json!({"progressToken": "p"});
        let params = json!({"name": "request_decision", "arguments": arguments, "_meta": meta});
        self.request(&json!("wait"), "tools/call", &params);
        assert_eq!(self.next()["method"], "notifications/progress");
    }

    /// The answer to what was waited for.
    fn waited(&self) -> Value {
        let mut last = 0.0;
        loop {
            let message = self.next();
            if message["method"] == "notifications/progress" {
                let progress = message["params"]["progress"].as_f64().expect("a number");
                assert!(progress >= last, "{message}");
                last = progress;
                continue;
            }
            assert_eq!(message["id"], "wait", "{message}");
            return message["result"]["structuredContent"].clone();
        }
    }

    /// Closes stdin, and waits for the end.
    fn close(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn question() -> Value {
    json!({"schema": "s", "type": "t", "meta": {"why": "because"}, "wait_seconds": 3600})
}

/// A server with a schema that can be started again where it was, and a key for it.
struct Site {
    inbox: Inbox,
    there: Installation,
    url: String,
    key: String,
}

impl Site {
    async fn start() -> (Self, Server) {
        let inbox = Inbox::empty();
        let there = inbox.installation();
        let server = there.serve("server").await.expect("it serves");
        let address = server.address().to_string();
        let there = there.with("TASK_INBOX_LISTEN", &address);
        let file = inbox.write("s.yml", &schema_to("http://127.0.0.1:9/hook"));
        there.cli(&["taskschema", &file]).await.expect("installed");
        let made = there.cli(&["api_key", "--name", "agent"]).await.expect("made");
        let key = made["key"].as_str().expect("a key").to_owned();
        (Self { inbox, there, url: format!("http://{address}"), key }, server)
    }

    fn pipe(&self) -> Pipe {
        Pipe::start(&self.inbox, &self.url, &self.key, &[])
    }

    async fn tasks(&self) -> Vec<Value> {
        let listed = self.there.cli(&["tasks", "s", "t", "--resolved", "all"]).await.expect("listed");
        listed["tasks"].as_array().expect("a list").clone()
    }

    /// Decides the one task that there is.
    async fn decide(&self) -> Value {
        let tasks = self.tasks().await;
        let [task] = tasks.as_slice() else { panic!("one task: {tasks:?}") };
        self.there
            .cli(&["decide", task["id"].as_str().expect("an id"), "done", "--reason", "fine"])
            .await
            .expect("decided");
        task["id"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_asks_and_is_answered() {
    let (site, _server) = Site::start().await;
    let mut pipe = site.pipe();
    let hello = pipe.hello();
    assert_eq!((&hello["id"], &hello["result"]["protocolVersion"]), (&json!(0), &json!(VERSION)));
    pipe.request(&json!("list"), "tools/list", &json!({}));
    let listed = pipe.next();
    assert_eq!(listed["result"]["tools"].as_array().map(Vec::len), Some(5), "{listed}");
    let types = pipe.call("list_task_types", &json!({}));
    assert_eq!(types["structuredContent"]["types"][0]["type"], "t");
    let mut asked = question();
    asked["wait_seconds"] = 0.into();
    let asked = pipe.call("request_decision", &asked)["structuredContent"].clone();
    assert_eq!(asked["status"], "pending");
    let id = site.decide().await;
    assert_eq!(asked["task_id"], id);
    let told = pipe.call("wait_for_decision", &json!({"task_id": id}))["structuredContent"].clone();
    assert_eq!((&told["state"], &told["reason"]), (&json!("done"), &json!("fine")));
    // What is wrong comes through as it is, too.
    assert_eq!(pipe.call("get_task", &json!({"task_id": 1}))["isError"], true);
    for (line, code) in [("no JSON", -32700), ("[]", -32600)] {
        pipe.say(line);
        assert_eq!(pipe.next()["error"]["code"], code);
    }
    pipe.say(&"x".repeat(9 << 20));
    let long = pipe.next();
    assert!(long["error"]["message"].as_str().is_some_and(|said| said.contains("longer")), "{long}");
    // A version without a handshake is that of each request.
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    pipe.request(&json!(8), "server/discover", &json!({"_meta": meta}));
    assert!(pipe.next()["result"]["supportedVersions"].is_array());
    pipe.request(&json!(9), "no/such", &json!({}));
    assert_eq!(pipe.next()["error"]["code"], -32601);
    assert_eq!(pipe.close(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_outlives_a_server_that_is_killed_or_stopped() {
    for is_killed in [true, false] {
        let (site, server) = Site::start().await;
        let mut pipe = site.pipe();
        pipe.hello();
        pipe.wait(&question());
        if is_killed {
            server.kill9().await.expect("killed");
        } else {
            server.terminate(PATIENCE).await.expect("it ends");
        }
        // Nobody is there, and a person decides all the same.
        let id = site.decide().await;
        let _server = site.there.serve("again").await.expect("it serves");
        let told = pipe.waited();
        assert_eq!(
            (&told["task_id"], &told["status"], &told["reason"]),
            (&id, &json!("decided"), &json!("fine"))
        );
        assert_eq!(site.tasks().await.len(), 1, "asked once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_does_not_want_any_more_is_not_answered_and_stays() {
    let (site, _server) = Site::start().await;
    let mut pipe = site.pipe();
    pipe.hello();
    pipe.wait(&question());
    pipe.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"wait"}}"#);
    pipe.request(&json!("after"), "ping", &json!({}));
    assert_eq!(pipe.next(), json!({"jsonrpc": "2.0", "id": "after", "result": {}}));
    let id = site.decide().await;
    let told = pipe.call("get_task", &json!({"task_id": id}));
    assert_eq!(told["structuredContent"]["status"], "decided");
    pipe.wait(&question());
    assert_eq!(pipe.close(), Some(0), "a wait holds up nobody who goes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_asks_nobody_twice() {
    let (site, server) = Site::start().await;
    let busy = || problem(503, "busy", "retry-after: 0\r\n");
    let to = server.address();
    let peer = Peer::new([busy(), Reaction::LoseAnswerOf(to), Reaction::Hang, Reaction::Pass(to)]);
    let mut pipe = Pipe::start(&site.inbox, &peer.url(), &site.key, &[]);
    let mut asked = question();
    asked["wait_seconds"] = 0.into();
    let told = pipe.call("request_decision", &asked);
    let tasks = site.tasks().await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(told["structuredContent"]["task_id"], tasks[0]["id"], "{told}");
}

#[test]
fn who_can_not_get_there_is_told_why() {
    let inbox = Inbox::new();
    let said = inbox.run(&["mcp"]).refused(2);
    assert!(said.contains("--server") && said.contains("TASK_INBOX_API_KEY"), "{said}");
    let mut pipe = Pipe::start(&inbox, "http://127.0.0.1:1", "ti_swordfish", &["--timeout", "300ms"]);
    let hello = pipe.hello();
    assert!(
        hello["error"]["message"].as_str().is_some_and(|said| said.contains("nothing listens at")),
        "{hello}"
    );
    let called = pipe.call("list_task_types", &json!({}));
    assert_eq!(called["isError"], true);
    assert!(
        called["content"][0]["text"].as_str().is_some_and(|said| said.contains("call again later")),
        "{called}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_none_is_refused() {
    let inbox = Inbox::at(Place::Remote).await;
    let url = inbox.url();
    assert_eq!(inbox.json(&["whoami"])["name"], "ops");
    let mut pipe = Pipe::start(&inbox, &url, "ti_no_such_key_at_all", &[]);
    let hello = pipe.hello();
    let said = hello["error"]["message"].as_str().expect("a message");
    assert!(!said.contains("ti_no_such_key_at_all") && said.contains("key"), "{hello}");
    let called = pipe.call("list_task_types", &json!({}));
    assert_eq!(called["isError"], true, "{called}");
}
