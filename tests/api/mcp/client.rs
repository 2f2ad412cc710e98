//! An agent's side of the protocol, as bytes.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Request, Server};

pub(super) const PATH: &str = "/mcp";

/// What clients must accept.
pub(super) const ACCEPT: &str = "application/json, text/event-stream";

/// The latest version with a handshake.
pub(super) const VERSION: &str = "2025-11-25";

const PATIENCE: Duration = Duration::from_secs(30);

/// A message on its way, without a key.
pub(super) fn bare(server: &Server, message: &Value) -> Request {
    server
        .bare(Method::POST, PATH)
        .header("accept", ACCEPT)
        .header("mcp-protocol-version", VERSION)
        .json(message)
}

/// A call of a tool.
pub(super) fn call_of(name: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

/// The stream of one answer.
pub(super) struct Stream {
    response: reqwest::Response,
    buffer: String,
}

impl Stream {
    pub(super) async fn open(request: Request) -> Self {
        let response = request.open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("mcp-session-id"), "there are no sessions");
        Self { response, buffer: String::new() }
    }

    /// The next message; none at the end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let data: String = block.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                let rest = rest.to_owned();
                self.buffer = rest;
                if !data.trim().is_empty() {
                    return Some(serde_json::from_str(&data).unwrap_or_else(|e| panic!("{e}: {data}")));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something comes");
            self.buffer.push_str(std::str::from_utf8(&chunk.ok()??).expect("UTF-8"));
        }
    }

    /// The answer, and what was told before it.
    pub(super) async fn finish(mut self) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        while let Some(message) = self.next().await {
            if message.get("id").is_some() {
                assert_eq!(self.next().await, None, "nothing comes after the answer");
                return (message, before);
            }
            before.push(message);
        }
        panic!("no answer after {before:?}");
    }
}

/// An agent with a key.
pub(super) struct Agent<'a> {
    pub(super) server: &'a Server,
    key: String,
    outputs: HashMap<String, Value>,
}

impl<'a> Agent<'a> {
    pub(super) async fn new(server: &'a Server, key: String) -> Self {
        let mut agent = Self { server, key, outputs: HashMap::new() };
        let listed = agent.ask("tools/list", &json!({})).await;
        for tool in listed["result"]["tools"].as_array().expect("tools") {
            let name = tool["name"].as_str().expect("a name").to_owned();
            agent.outputs.insert(name, tool["outputSchema"].clone());
        }
        agent
    }

    pub(super) fn request(&self, message: &Value) -> Request {
        bare(self.server, message).header("api-key", &self.key)
    }

    /// The whole answer to a request.
    pub(super) async fn ask(&self, method: &str, params: &Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        Stream::open(self.request(&message)).await.finish().await.0
    }

    /// Opens a call of a tool.
    pub(super) async fn open(&self, name: &str, arguments: &Value) -> Stream {
        Stream::open(self.request(&call_of(name, arguments))).await
    }

    /// What a tool gives back; what it says is by its schema.
    pub(super) async fn call(&self, name: &str, arguments: &Value) -> Value {
        let (answer, _) = self.open(name, arguments).await.finish().await;
        self.outcome(name, &answer)
    }

    /// The outcome that an answer holds.
    pub(super) fn outcome(&self, name: &str, answer: &Value) -> Value {
        let result = &answer["result"];
        assert_eq!(result["isError"], false, "{answer}");
        let structured = &result["structuredContent"];
        let schema = jsonschema::draft202012::new(&self.outputs[name]).expect("a schema");
        let wrong: Vec<_> = schema.iter_errors(structured).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{structured}: {wrong:?}");
        let [words, same] = result["content"].as_array().expect("content").as_slice() else {
            panic!("two texts: {answer}")
        };
        assert!(!words["text"].as_str().expect("a text").is_empty());
        let same: Value = serde_json::from_str(same["text"].as_str().expect("a text")).expect("JSON");
        assert_eq!(&same, structured);
        structured.clone()
    }

    /// What a tool says is wrong: its words, and the document beside them.
    pub(super) async fn refused(&self, name: &str, arguments: &Value) -> (String, Value) {
        let (answer, _) = self.open(name, arguments).await.finish().await;
        refusal(&answer)
    }
}

/// The refusal that an answer holds.
pub(super) fn refusal(answer: &Value) -> (String, Value) {
    let result = &answer["result"];
    assert_eq!(result["isError"], true, "{answer}");
    assert!(result.get("structuredContent").is_none(), "it is not by the schema");
    let text = |at: usize| result["content"][at]["text"].as_str().expect("a text").to_owned();
    (text(0), serde_json::from_str(&text(1)).expect("JSON"))
}

/// The pointers of a refusal.
pub(super) fn pointers(document: &Value) -> Vec<&str> {
    let errors = document["errors"].as_array().unwrap_or_else(|| panic!("no errors: {document}"));
    errors.iter().map(|e| e["pointer"].as_str().expect("a pointer")).collect()
}
