//! JSON-RPC 2.0 as the pipe needs it: what kind of message it is, and what must stand in the request that carries it.
//! A message's own text goes on untouched, with all the digits of its numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// JSON-RPC's code for what is no JSON.
const PARSE_ERROR: i64 = -32_700;
/// For what is no message.
const INVALID_REQUEST: i64 = -32_600;
/// For a server that can't be reached, or refuses the caller: free for each server to give a meaning to.
const SERVER_ERROR: i64 = -32_000;

/// In `_meta` of an answer: the server stops.
const STOPPING: &str = "task-inbox/stopping";

/// What an agent says.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// It wants an answer.
    Request(Request),
    /// It doesn't want the answer to this request any more.
    Cancelled(String),
    /// What a server without sessions need not hear: other notifications, and answers to what it never asked.
    Nothing,
    /// No message. The text is the answer to it.
    Nonsense(String),
}

/// A request.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    /// Its id, as JSON.
    pub(super) id: String,
    pub(super) method: String,
    /// What of that kind is meant: the name of a tool.
    pub(super) name: Option<String>,
    /// The protocol's version, if the request names it for itself.
    pub(super) version: Option<String>,
    text: String,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    name: Option<String>,
    uri: Option<String>,
    request_id: Option<Box<RawValue>>,
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<String>,
}

fn nonsense(code: i64, what: &str) -> Heard {
    Heard::Nonsense(error(&Value::Null, code, what))
}

/// In place of a line that is longer than any message.
pub(super) fn too_long() -> Heard {
    nonsense(INVALID_REQUEST, "the line is longer than any message may be")
}

/// Reads one line.
pub(super) fn read(line: &[u8]) -> Heard {
    let Ok(text) = std::str::from_utf8(line.trim_ascii()) else {
        return nonsense(PARSE_ERROR, "the line is not UTF-8");
    };
    let head: Head<'_> = match serde_json::from_str(text) {
        Ok(head) => head,
        Err(e) if e.is_data() => {
            return nonsense(INVALID_REQUEST, "the line is not one JSON-RPC message; batches are not taken");
        }
        Err(e) => return nonsense(PARSE_ERROR, &format!("the line is not JSON: {e}")),
    };
    let params: Params = head.params.and_then(|p| serde_json::from_str(p.get()).ok()).unwrap_or_default();
    match (head.method, head.id) {
        (Some(method), Some(id)) => Heard::Request(Request {
            id: id.get().to_owned(),
            method,
            name: params.name.or(params.uri),
            version: params.meta.and_then(|meta| meta.version),
            text: text.to_owned(),
        }),
        (Some(method), None) if method == "notifications/cancelled" => {
            params.request_id.map_or(Heard::Nothing, |id| Heard::Cancelled(id.get().to_owned()))
        }
        (Some(_), None) | (None, Some(_)) => Heard::Nothing,
        (None, None) => nonsense(INVALID_REQUEST, "the line is neither a request nor an answer"),
    }
}

fn error(id: &Value, code: i64, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string()
}

impl Request {
    /// Its text once some time of its wait is over.
    pub(super) fn after(&self, elapsed: Duration) -> String {
        self.with_wait(elapsed).unwrap_or_else(|| self.text.clone())
    }

    fn with_wait(&self, elapsed: Duration) -> Option<String> {
        type Members = BTreeMap<String, Box<RawValue>>;
        if elapsed.as_secs() == 0 {
            return None;
        }
        let mut message: Members = serde_json::from_str(&self.text).ok()?;
        let mut params: Members = serde_json::from_str(message.get("params")?.get()).ok()?;
        let mut arguments: Members = serde_json::from_str(params.get("arguments")?.get()).ok()?;
        let wanted: u64 = serde_json::from_str(arguments.get("wait_seconds")?.get()).ok()?;
        let left = serde_json::value::to_raw_value(&wanted.saturating_sub(elapsed.as_secs())).ok()?;
        arguments.insert("wait_seconds".to_owned(), left);
        params.insert("arguments".to_owned(), serde_json::value::to_raw_value(&arguments).ok()?);
        message.insert("params".to_owned(), serde_json::value::to_raw_value(&params).ok()?);
        serde_json::to_string(&message).ok()
    }

    /// The answer to a request that came to nothing. What a tool came to is read by the model; an error of the protocol
    /// is not.
    pub(super) fn failed(&self, why: &str) -> String {
        let id = serde_json::from_str(&self.id).unwrap_or_default();
        if self.method != "tools/call" {
            return error(&id, SERVER_ERROR, why);
        }
        let content = json!([{"type": "text", "text": format!("Not done: {why}.")}]);
        json!({"jsonrpc": "2.0", "id": id, "result": {"content": content, "isError": true}}).to_string()
    }
}

/// What a server says.
pub(super) enum Told {
    /// The answer, and the protocol's version, if it is that to `initialize`.
    Answer { line: String, version: Option<String> },
    /// An answer that says that the server stops before there is one.
    Stopping(String),
    /// What comes before the answer.
    Before(String),
}

/// Reads a server's message; none, if it is none. `elapsed` is how long was waited before this connection, which its
/// progress doesn't know.
pub(super) fn told(text: &str, elapsed: Duration) -> Option<Told> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    let members = message.as_object()?;
    if members.contains_key("result") || members.contains_key("error") {
        let line = text.to_owned();
        if message["result"]["_meta"][STOPPING] == true {
            return Some(Told::Stopping(line));
        }
        let version = message["result"]["protocolVersion"].as_str().map(str::to_owned);
        return Some(Told::Answer { line, version });
    }
    if message["method"] != "notifications/progress" || elapsed.is_zero() {
        return Some(Told::Before(text.to_owned()));
    }
    for name in ["progress", "total"] {
        if let Some(number) = message["params"][name].as_f64() {
            message["params"][name] = (number + elapsed.as_secs_f64().floor()).into();
        }
    }
    Some(Told::Before(message.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        match read(text.as_bytes()) {
            Heard::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tells_messages_apart() {
        let call = request(
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"get_task","_meta":{"io.modelcontextprotocol/protocolVersion":"v"}}}"#,
        );
        assert_eq!(
            (call.id.as_str(), call.name.as_deref(), call.version.as_deref()),
            ("\"a\"", Some("get_task"), Some("v"))
        );
        assert_eq!(request(r#"{"id":0,"method":"ping"}"#).id, "0");
        let cancelled = br#"{"method":"notifications/cancelled","params":{"requestId":7}}"#;
        assert_eq!(read(cancelled), Heard::Cancelled("7".to_owned()));
        for nothing in [&br#"{"method":"notifications/initialized"}"#[..], br#"{"id":1,"result":{}}"#] {
            assert_eq!(read(nothing), Heard::Nothing);
        }
        for (nonsense, code) in [
            (&b"{"[..], PARSE_ERROR),
            (b"\xff", PARSE_ERROR),
            (b"[]", INVALID_REQUEST),
            (b"{}", INVALID_REQUEST),
        ] {
            let Heard::Nonsense(said) = read(nonsense) else { panic!("{nonsense:?}") };
            let said: Value = serde_json::from_str(&said).expect("JSON");
            assert_eq!((&said["error"]["code"], &said["id"]), (&json!(code), &Value::Null));
        }
    }

    #[test]
    fn a_wait_is_shortened_and_nothing_else_changes() {
        let text = r#"{"id":1,"method":"tools/call","params":{"name":"x","arguments":{"meta":{"n":12345678901234567890123},"wait_seconds":60}}}"#;
        let call = request(text);
        assert_eq!(call.after(Duration::from_millis(999)), text);
        let after = call.after(Duration::from_secs(21));
        assert!(
            after.contains("\"wait_seconds\":39") && after.contains("12345678901234567890123"),
            "{after}"
        );
        assert!(call.after(Duration::from_secs(99)).contains("\"wait_seconds\":0"));
        let other = r#"{"id":1,"method":"tools/call","params":{"name":"x","arguments":{}}}"#;
        assert_eq!(request(other).after(Duration::from_secs(9)), other);
    }

    #[test]
    fn progress_goes_on_where_it_was() {
        let text =
            r#"{"method":"notifications/progress","params":{"progressToken":1,"progress":5.0,"total":30.0}}"#;
        let Some(Told::Before(line)) = told(text, Duration::from_secs(7)) else { panic!("progress") };
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            (line["params"]["progress"].as_f64(), line["params"]["total"].as_f64()),
            (Some(12.0), Some(37.0))
        );
    }
}
