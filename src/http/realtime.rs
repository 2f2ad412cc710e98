//! The realtime connection: topics over a WebSocket (RFC 6455), after Twitch PubSub.
//!
//! One task serves a connection and never holds more than what the hub keeps for it: it takes what there is, writes it
//! out, and takes again. Whoever doesn't keep up is told so by [`CLOSE_BEHIND`], and reads on in the log.

mod frames;

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::Instant;

use super::Http;
use super::answer;
use super::caller::Anytime;
use super::openapi::{examples, models, problems};
use super::problem::{Kind, Problem};
use super::v1::requests;
use crate::app::{App, listening};
use crate::realtime::hub::Member;
use crate::realtime::{Listener, Topic, Wanted};
use frames::{Error, Heard};

/// Where it is.
pub(super) const PATH: &str = "/realtime";

/// Where its tokens are.
pub(super) const TOKEN_PATH: &str = "/auth/ws";

/// The most topics of a connection.
const MAX_TOPICS: usize = 50;

/// The largest message of a client, in bytes: fifty topics and a token of many scopes.
const MAX_MESSAGE: usize = 64 * 1024;

/// Allocated for each connection for as long as it lasts.
const READ_BUFFER: usize = 1024;

/// The most connections of this process.
const MAX_CONNECTIONS: usize = 20_000;

/// How patient the server is with a connection.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A connection that listens to nothing by then is closed.
    pub first_topic: Duration,
    /// A connection that sent no PING for so long is closed.
    pub idle: Duration,
    /// How long a client has to go elsewhere after RECONNECT.
    pub farewell: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            first_topic: Duration::from_secs(15),
            // Five minutes, and some for the way: clients of Twitch send one each five minutes.
            idle: Duration::from_mins(5) + Duration::from_secs(15),
            farewell: Duration::from_secs(30),
        }
    }
}

/// How long a client may take nothing of what it is sent.
const WRITE: Duration = Duration::from_secs(30);

/// How long a client may take to answer that the connection is closed.
const CLOSE: Duration = Duration::from_secs(5);

/// The process ends (RFC 6455, section 7.4.1).
const CLOSE_AWAY: u16 = 1001;
/// A message was larger than it may be.
const CLOSE_TOO_BIG: u16 = 1009;
/// Nothing was listened to, or no PING came, for too long.
const CLOSE_IDLE: u16 = 4000;
/// The client fell behind: connect again, and read what is missing from the log, after the last cursor.
const CLOSE_BEHIND: u16 = 4001;

/// Get a token for the realtime connection
///
/// Needs no permission: it is worth what the key is. The JWT (HS256) says in `scopes` what its bearer may listen to: `{resource}:{action}[:{schema}]`. It is given with
/// `LISTEN` at `/realtime`, a WebSocket after Twitch PubSub (docs/REALTIME.md), and can be used for `expires_in` seconds; what
/// is listened to by then goes on until the key ends.
#[utoipa::path(
    post, path = "/auth/ws", tag = "events", operation_id = "createRealtimeToken",
    responses(
        (status = 200, body = models::RealtimeToken, description = "The token",
            example = json!(examples::realtime_token())),
        problems::Authenticated,
    )
)]
pub(super) async fn token(
    State(http): State<Http>,
    Anytime(who): Anytime,
    uri: Uri,
) -> Result<Response, Problem> {
    requests::no_parameters(&uri)?;
    let token = listening::token(&http.app, &who)?;
    answer::json(axum::http::StatusCode::OK, &frames::Token::from(&token))
}

/// The route. It is not in the API's description: OpenAPI has no WebSockets, and its tools refuse an operation without a
/// 2xx. docs/REALTIME.md describes it.
pub(super) fn router() -> Router<Http> {
    Router::new().route(PATH, get(connect)).route(&format!("{PATH}/"), get(connect))
}

async fn connect(
    State(http): State<Http>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            tracing::debug!(%rejection, "no WebSocket");
            let what = "this is a WebSocket: connect with `Upgrade: websocket` (RFC 6455), version 13";
            return Err(Problem::new(Kind::UpgradeRequired, what));
        }
    };
    if http.app.tail.hub().len() >= MAX_CONNECTIONS {
        return Err(Problem::unavailable("there are as many realtime connections as there may be"));
    }
    let (app, times) = (http.app.clone(), http.settings.realtime);
    let upgraded = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| Connection::new(app, times, socket).run());
    Ok(upgraded.into_response())
}

struct Connection {
    app: App,
    times: Times,
    socket: WebSocket,
    member: Member,
    /// Keeps the log being followed, from the first topic on.
    listener: Option<Listener>,
    /// When the connection was made, until it listens; then when that was, or the last PING came.
    heard: Instant,
    /// When the client was told to go.
    told_to_go: Option<Instant>,
}

/// Why a connection ends.
enum End {
    /// It is gone, or takes nothing.
    Gone,
    /// It is to be told why.
    Close(u16, &'static str),
}

impl From<axum::Error> for End {
    fn from(error: axum::Error) -> Self {
        tracing::debug!(%error, "a realtime connection broke");
        Self::Gone
    }
}

impl Connection {
    fn new(app: App, times: Times, socket: WebSocket) -> Self {
        let member = app.tail.hub().join();
        Self { app, times, socket, member, listener: None, heard: Instant::now(), told_to_go: None }
    }

    async fn run(mut self) {
        let Err(End::Close(code, reason)) = self.serve().await else { return };
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let closing = async {
            self.socket.send(Message::Close(Some(frame))).await?;
            // Until the client has read it: dropping what it still sends would take it away.
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<_, axum::Error>(())
        };
        let _ = tokio::time::timeout(CLOSE, closing).await;
    }

    async fn serve(&mut self) -> Result<(), End> {
        let mut timer = pin!(tokio::time::sleep_until(self.deadline().0));
        loop {
            tokio::select! {
                received = self.socket.recv() => match received {
                    Some(Ok(message)) => self.hear(message).await?,
                    Some(Err(error)) => return Err(broken(error)),
                    None => return Err(End::Gone),
                },
                () = self.member.changed() => self.tell().await?,
                () = &mut timer => {
                    let (at, code, reason) = self.deadline();
                    if at <= Instant::now() {
                        return Err(End::Close(code, reason));
                    }
                    timer.as_mut().reset(at);
                }
            }
            if self.deadline().0 < timer.deadline() {
                timer.as_mut().reset(self.deadline().0);
            }
        }
    }

    /// When the connection ends by itself, and why.
    fn deadline(&self) -> (Instant, u16, &'static str) {
        let idle = match self.listener {
            None => (self.heard + self.times.first_topic, CLOSE_IDLE, "listen to a topic within 15 s"),
            Some(_) => (self.heard + self.times.idle, CLOSE_IDLE, "send PING at least every 5 minutes"),
        };
        match self.told_to_go.map(|told| told + self.times.farewell) {
            Some(end) if end < idle.0 => (end, CLOSE_AWAY, "the server stops"),
            _ => idle,
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        match message {
            // In a box: the rest of a connection's life is small.
            Message::Text(text) => Box::pin(self.answer(text)).await,
            Message::Binary(_) => self.write(frames::response("", Some(Error::BadMessage))).await,
            // The library answers these.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        }
    }

    async fn answer(&mut self, text: Utf8Bytes) -> Result<(), End> {
        match frames::read(text.as_str()) {
            Heard::Ping => {
                if self.listener.is_some() {
                    self.heard = Instant::now();
                }
                self.write(frames::PONG.into()).await
            }
            Heard::Listen { nonce, topics, token } => {
                let error = self.listen(topics, token.as_deref()).await.err();
                self.write(frames::response(&nonce, error)).await
            }
            Heard::Unlisten { nonce, topics } => {
                let parsed: Option<Vec<Topic>> = topics.iter().map(|t| Topic::parse(t)).collect();
                let Some(topics) = parsed else {
                    return self.write(frames::response(&nonce, Some(Error::BadTopic))).await;
                };
                self.member.unlisten(&topics);
                // What was told of them before comes before the answer.
                self.tell().await?;
                self.write(frames::response(&nonce, None)).await
            }
            Heard::Nonsense { nonce } => self.write(frames::response(&nonce, Some(Error::BadMessage))).await,
        }
    }

    async fn listen(&mut self, topics: Vec<String>, token: Option<&str>) -> Result<(), Error> {
        let topics: Option<Vec<Topic>> = topics.iter().map(|t| Topic::parse(t)).collect();
        let topics = topics.ok_or(Error::BadTopic)?;
        if self.member.count_with(&topics) > MAX_TOPICS {
            return Err(Error::BadTopic);
        }
        let token = token.ok_or(Error::BadAuth)?;
        let failed = |error: &dyn std::fmt::Debug| {
            tracing::warn!(?error, "a topic can't be listened to");
            Error::Server
        };
        let grants = listening::authorize(&self.app, token, &topics).await.map_err(|e| match e {
            listening::Refused::Auth => Error::BadAuth,
            listening::Refused::Topic => Error::BadTopic,
            listening::Refused::Failed(error) => failed(&error),
        })?;
        if self.listener.is_none() {
            let listener = self.app.tail.listen(Wanted::Topics).await.map_err(|e| failed(&e))?;
            self.listener = Some(listener);
            self.heard = Instant::now();
        }
        self.member.listen(topics.into_iter().zip(grants));
        Ok(())
    }

    /// Writes what there is to tell.
    async fn tell(&mut self) -> Result<(), End> {
        let turn = self.member.take();
        if !turn.frames.is_empty() {
            for frame in turn.frames {
                let fed = tokio::time::timeout(WRITE, self.socket.feed(text(frame))).await;
                fed.map_err(|_| End::Gone)??;
            }
            tokio::time::timeout(WRITE, self.socket.flush()).await.map_err(|_| End::Gone)??;
        }
        if turn.behind {
            return Err(End::Close(
                CLOSE_BEHIND,
                "behind: connect again and read the log after the last cursor",
            ));
        }
        if turn.ending {
            self.told_to_go = Some(Instant::now());
            self.write(frames::RECONNECT.into()).await?;
        }
        Ok(())
    }

    async fn write(&mut self, frame: Bytes) -> Result<(), End> {
        let sent = tokio::time::timeout(WRITE, self.socket.send(text(frame))).await;
        Ok(sent.map_err(|_| End::Gone)??)
    }
}

/// All frames are made here, of JSON.
fn text(frame: Bytes) -> Message {
    Message::Text(Utf8Bytes::try_from(frame).unwrap_or_default())
}

/// What is too large is told; whoever breaks the protocol otherwise hears nothing more.
fn broken(error: axum::Error) -> End {
    // axum tells of the library's errors in words alone.
    if error.to_string().contains("too long") {
        return End::Close(CLOSE_TOO_BIG, "a message is at most 64 KiB");
    }
    End::from(error)
}
