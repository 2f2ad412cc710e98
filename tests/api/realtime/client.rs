//! A client of the realtime connection, at the level of its protocol.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::server::Server;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What comes.
#[derive(Debug, PartialEq)]
pub(super) enum Came {
    Frame(Value),
    Closed(Option<(u16, String)>),
}

/// A connection.
pub(super) struct Client {
    pub(super) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    nonce: usize,
}

impl Client {
    pub(super) async fn connect(server: &Server) -> Self {
        let address = server.address().replacen("http", "ws", 1);
        let (socket, _) =
            tokio_tungstenite::connect_async(format!("{address}/realtime")).await.expect("connects");
        Self { socket, nonce: 0 }
    }

    /// A connection that listens to these with the key that may do everything.
    pub(super) async fn listening(server: &Server, topics: &[&str]) -> Self {
        let mut client = Self::connect(server).await;
        let token = token(server, None).await;
        assert_eq!(client.listen(topics, &token).await, "");
        client
    }

    pub(super) async fn text(&mut self, text: &str) {
        self.socket.send(Message::text(text.to_owned())).await.expect("sent");
    }

    pub(super) async fn say(&mut self, frame: &Value) {
        self.text(&frame.to_string()).await;
    }

    /// What comes next.
    pub(super) async fn came(&mut self) -> Came {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("something comes");
            return match message {
                Some(Ok(Message::Text(text))) => Came::Frame(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => {
                    Came::Closed(frame.map(|CloseFrame { code, reason }| (code.into(), reason.to_string())))
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => Came::Closed(None),
            };
        }
    }

    /// The next frame.
    pub(super) async fn frame(&mut self) -> Value {
        match self.came().await {
            Came::Frame(frame) => frame,
            Came::Closed(why) => panic!("closed: {why:?}"),
        }
    }

    /// The next message: its topic and what it says.
    pub(super) async fn message(&mut self) -> (String, Value) {
        let frame = self.frame().await;
        assert_eq!(frame["type"], "MESSAGE", "{frame}");
        let data = frame["data"].as_object().expect("data");
        assert_eq!(data.keys().collect::<Vec<_>>(), ["message", "topic"]);
        let said = data["message"].as_str().expect("JSON in a string");
        (data["topic"].as_str().expect("a topic").to_owned(), serde_json::from_str(said).expect("JSON"))
    }

    /// The code that it is closed with.
    pub(super) async fn closed(&mut self) -> u16 {
        match self.came().await {
            Came::Closed(Some((code, _))) => code,
            other => panic!("{other:?}"),
        }
    }

    async fn ask(&mut self, kind: &str, mut data: Value, topics: &[&str]) -> String {
        self.nonce += 1;
        let nonce = format!("n{}", self.nonce);
        data["topics"] = json!(topics);
        self.say(&json!({"type": kind, "nonce": nonce, "data": data})).await;
        let answer = self.frame().await;
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert_eq!(answer, json!({"type": "RESPONSE", "nonce": nonce, "error": error}));
        error
    }

    /// Listens; what went wrong.
    pub(super) async fn listen(&mut self, topics: &[&str], token: &str) -> String {
        self.ask("LISTEN", json!({"auth_token": token}), topics).await
    }

    pub(super) async fn listen_without_token(&mut self, topics: &[&str]) -> String {
        self.ask("LISTEN", json!({}), topics).await
    }

    pub(super) async fn unlisten(&mut self, topics: &[&str]) -> String {
        self.ask("UNLISTEN", json!({}), topics).await
    }

    /// Nothing else has come: an answer is next.
    pub(super) async fn is_silent(&mut self) {
        self.say(&json!({"type": "PING"})).await;
        assert_eq!(self.frame().await, json!({"type": "PONG"}));
    }
}

/// A token for a key; `None`: the one that may do everything.
pub(super) async fn token(server: &Server, key: Option<&str>) -> String {
    let request = match key {
        Some(key) => server.bare(Method::POST, "/auth/ws").header("api-key", key),
        None => server.request(Method::POST, "/auth/ws"),
    };
    request.send().await.ok(200)["token"].as_str().expect("a token").to_owned()
}
