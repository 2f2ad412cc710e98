//! The frames of the realtime connection, read and written.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::listening;

/// The answer to PING.
pub(super) const PONG: &[u8] = br#"{"type":"PONG"}"#;

/// Said before the process ends.
pub(super) const RECONNECT: &[u8] = br#"{"type":"RECONNECT"}"#;

/// The longest nonce that is sent back, in bytes.
const MAX_NONCE: usize = 256;

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// It is no frame of the protocol.
    BadMessage,
    /// The token is none, or over, or doesn't reach so far.
    BadAuth,
    /// There is no such topic, or there are too many.
    BadTopic,
    /// The service fails: try again.
    Server,
}

impl Error {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BadMessage => "ERR_BADMESSAGE",
            Self::BadAuth => "ERR_BADAUTH",
            Self::BadTopic => "ERR_BADTOPIC",
            Self::Server => "ERR_SERVER",
        }
    }
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Ping,
    Listen { nonce: String, topics: Vec<String>, token: Option<String> },
    Unlisten { nonce: String, topics: Vec<String> },
    Nonsense { nonce: String },
}

#[derive(Deserialize)]
struct Frame<'a> {
    r#type: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data {
    topics: Vec<String>,
    #[serde(default)]
    auth_token: Option<String>,
}

/// Reads a frame. Members that the protocol doesn't know are left to its clients.
pub(super) fn read(text: &str) -> Heard {
    let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
        return Heard::Nonsense { nonce: String::new() };
    };
    let nonce = frame.nonce.filter(|nonce| nonce.len() <= MAX_NONCE).unwrap_or_default();
    let data = frame.data.and_then(|data| serde_json::from_str::<Data>(data.get()).ok());
    match (frame.r#type.as_str(), data) {
        ("PING", _) => Heard::Ping,
        ("LISTEN", Some(data)) if !data.topics.is_empty() => {
            Heard::Listen { nonce, topics: data.topics, token: data.auth_token }
        }
        ("UNLISTEN", Some(data)) if !data.topics.is_empty() => Heard::Unlisten { nonce, topics: data.topics },
        _ => Heard::Nonsense { nonce },
    }
}

/// The answer to LISTEN and UNLISTEN.
pub(super) fn response(nonce: &str, error: Option<Error>) -> Bytes {
    #[derive(Serialize)]
    struct Response<'a> {
        r#type: &'static str,
        nonce: &'a str,
        error: &'static str,
    }
    let response = Response { r#type: "RESPONSE", nonce, error: error.map_or("", Error::as_str) };
    serde_json::to_vec(&response).expect("it has string keys").into()
}

/// The answer of `/auth/ws`.
#[derive(Serialize)]
pub(super) struct Token<'a> {
    token: &'a str,
    expires_in: u64,
}

impl<'a> From<&'a listening::Token> for Token<'a> {
    fn from(token: &'a listening::Token) -> Self {
        Self { token: &token.token, expires_in: token.expires_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_say() {
        assert_eq!(read(r#"{"type":"PING"}"#), Heard::Ping);
        assert_eq!(read(r#"{"type":"PING","nonce":null,"data":7}"#), Heard::Ping);
        let listen = r#"{"type":"LISTEN","nonce":"n","data":{"topics":["a","b"],"auth_token":"t"},"more":1}"#;
        let topics = vec!["a".to_owned(), "b".to_owned()];
        let expected =
            Heard::Listen { nonce: "n".to_owned(), topics: topics.clone(), token: Some("t".to_owned()) };
        assert_eq!(read(listen), expected);
        let unlisten = r#"{"type":"UNLISTEN","data":{"topics":["a","b"]}}"#;
        assert_eq!(read(unlisten), Heard::Unlisten { nonce: String::new(), topics });
    }

    #[test]
    fn the_rest_is_nonsense_with_its_nonce() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "PING",
            r#"{"type":"PING""#,
            r#"{"type":1}"#,
            r#"{"type":"ping"}"#,
            r#"{"nonce":"n"}"#,
            r#"{"type":"LISTEN","nonce":7,"data":{"topics":["a"]}}"#,
        ] {
            assert_eq!(read(text), Heard::Nonsense { nonce: String::new() }, "{text}");
        }
        for data in [
            "",
            r#","data":null"#,
            r#","data":{}"#,
            r#","data":{"topics":[]}"#,
            r#","data":{"topics":"a"}"#,
            r#","data":{"topics":[1]}"#,
            r#","data":{"topics":["a"],"auth_token":1}"#,
        ] {
            for kind in ["LISTEN", "UNLISTEN", "MESSAGE"] {
                let text = format!(r#"{{"type":"{kind}","nonce":"n"{data}}}"#);
                assert_eq!(read(&text), Heard::Nonsense { nonce: "n".to_owned() }, "{text}");
            }
        }
        let long = "n".repeat(MAX_NONCE + 1);
        assert_eq!(
            read(&format!(r#"{{"type":"X","nonce":"{long}"}}"#)),
            Heard::Nonsense { nonce: String::new() }
        );
    }
}
