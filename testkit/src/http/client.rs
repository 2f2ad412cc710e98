//! The client: one connection, one request at a time.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;

use super::{Message, Stream};

/// A request, ready to be written; it may be sent any number of times.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// A request without a body.
    pub fn new(method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        Self((head(method, path, headers) + "\r\n").into_bytes())
    }

    /// A request with a JSON body.
    pub fn json(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let head = head(method, path, headers);
        let length = body.len();
        Self(
            format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
                .into_bytes(),
        )
    }
}

fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    for (name, value) in headers {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text
}

/// An answer, with any status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    message: Message,
}

impl Answer {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.message.header(name)
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.message.body
    }

    /// The body as JSON; null if it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body()).unwrap_or_default()
    }

    /// Whether the status is 2xx.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// There was no connection to send it on: it certainly had no effect.
    NotSent(Error),
    /// It was sent, in part or whole, and no answer came: it may have had its effect.
    NoAnswer(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(e) => write!(f, "not sent: {e}"),
            Self::NoAnswer(e) => write!(f, "no answer: {e}"),
        }
    }
}

impl std::error::Error for Failure {}

/// A keep-alive connection that is opened when needed.
pub struct Client {
    address: SocketAddr,
    timeout: Duration,
    stream: Option<Stream>,
}

impl Client {
    /// A client of one server. Nothing is connected yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, timeout: Duration::from_secs(30), stream: None }
    }

    /// How long to wait for an answer; 30 s unless set.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Goes to another server from the next request on.
    pub fn redirect(&mut self, address: SocketAddr) {
        if self.address != address {
            self.address = address;
            self.stream = None;
        }
    }

    /// Where it sends to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and reads its answer.
    pub async fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) if !stream.is_stale() => stream,
            _ => {
                let stream = TcpStream::connect(self.address).await.map_err(Failure::NotSent)?;
                Stream::new(stream).map_err(Failure::NotSent)?
            }
        };
        let exchange = async {
            stream.write_all(&request.0).await?;
            stream.read_message().await?.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))
        };
        let message = tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            .map_err(Failure::NoAnswer)?;
        let status = message
            .start_line()
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| Failure::NoAnswer(Error::new(ErrorKind::InvalidData, "no status line")))?;
        if !message.is_last() {
            self.stream = Some(stream);
        }
        Ok(Answer { status, message })
    }
}
