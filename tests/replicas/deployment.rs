//! Servers, with their administrator's key.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::{Installation, Server};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What every process must have noticed by then.
pub(crate) const NOTICED: Duration = Duration::from_secs(1);

/// Far more than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) const PERMISSIONS: [&str; 10] = [
    "tasks:write",
    "tasks:read",
    "tasks:resolve",
    "schemas:write",
    "schemas:read",
    "keys:write",
    "endpoints:read",
    "audit:read",
    "audit:write",
    "maintenance:write",
];

/// One server and a client of it.
pub(crate) struct Replica {
    pub(crate) server: Server,
    client: Client,
    key: String,
}

impl Replica {
    pub(crate) async fn start(installation: &Installation, name: &str, key: &str) -> Self {
        let server = installation.serve(name).await.expect("it serves");
        let client = Client::new(server.address()).with_timeout(Duration::from_secs(20));
        Self { server, client, key: key.to_owned() }
    }

    /// Sends a request with a key.
    pub(crate) async fn ask_as(&mut self, key: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let headers = [("api-key", key)];
        let request = if body.is_empty() {
            Request::new(method, path, &headers)
        } else {
            Request::json(method, path, &headers, body)
        };
        let answer = self.client.send(&request).await.expect("an answer");
        (answer.status, answer.json())
    }

    /// Sends a request with the administrator's key; it must succeed.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> Value {
        let key = self.key.clone();
        let (status, answer) = self.ask_as(&key, method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Listens to a topic with a key.
    pub(crate) async fn listen(&mut self, key: &str, topic: &str) -> Listener {
        let (status, answer) = self.ask_as(key, "POST", "/auth/ws", "").await;
        assert_eq!(status, 200, "{answer}");
        let url = format!("ws://{}/realtime", self.server.address());
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("connects");
        let mut listener = Listener(socket);
        let data = json!({"topics": [topic], "auth_token": answer["token"]});
        let listen = json!({"type": "LISTEN", "nonce": "n", "data": data}).to_string();
        listener.0.send(Message::text(listen)).await.expect("sent");
        assert_eq!(listener.frame().await["error"], "");
        listener
    }

    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(self.server.log()).expect("a log")
    }
}

/// A realtime connection.
pub(crate) struct Listener(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Listener {
    /// What comes next.
    pub(crate) async fn frame(&mut self) -> Value {
        let message = tokio::time::timeout(SOON, self.0.next()).await.expect("something comes");
        let text = message.expect("it stays open").expect("a frame").into_text().expect("text");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Makes a key that may do everything.
pub(crate) async fn administrator(installation: &Installation) -> String {
    let mut arguments = vec!["api_key", "--name", "admin"];
    arguments.extend(PERMISSIONS.iter().flat_map(|permission| ["--permission", permission]));
    let made = installation.cli(&arguments).await.expect("made");
    made["key"].as_str().expect("a key").to_owned()
}

/// Writes a file as one is replaced on a running system: whole.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("written");
    std::fs::rename(&beside, path).expect("renamed");
}

/// Asks until the answer is right; returns how long that took.
pub(crate) async fn until(what: &str, mut right: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !right().await {
        assert!(begun.elapsed() < SOON, "never: {what}");
    }
    begun.elapsed()
}
