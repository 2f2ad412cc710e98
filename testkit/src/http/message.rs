//! Reading one HTTP/1.1 message after another from a connection.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing that the tests exchange is near this.
const MAX_HEAD: usize = 64 * 1024;

/// A request or an answer, as received.
#[derive(Clone, Debug)]
pub struct Message {
    /// Start line and header lines, without the empty line.
    pub head: String,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Message {
    /// The first line.
    pub fn start_line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Whether the sender ends the connection after this message.
    pub fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A connection and what was read of it but not used yet.
pub(crate) struct Stream {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Whether the peer has closed, or talks out of turn, while nothing was asked of it.
    pub(crate) fn is_stale(&self) -> bool {
        let mut byte = [0];
        !matches!(self.stream.try_read(&mut byte), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }

    /// Reads the next message; `None` when the peer closed before its first byte.
    pub(crate) async fn read_message(&mut self) -> Result<Option<Message>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Error::new(ErrorKind::InvalidData, "head too long"));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec())
            .map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        self.buffer.drain(..end + 4);
        let body = if header(&head, "transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            self.read_chunks().await?
        } else {
            match header(&head, "content-length") {
                Some(length) => {
                    let length = length.parse().map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
                    self.take(length).await?
                }
                None => Vec::new(),
            }
        };
        Ok(Some(Message { head, body }))
    }

    async fn read_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await?;
            let size = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size)
                .ok()
                .and_then(|text| usize::from_str_radix(text.trim(), 16).ok())
                .ok_or_else(|| Error::new(ErrorKind::InvalidData, "bad chunk size"))?;
            if size == 0 {
                while !self.take_line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size).await?);
            self.take_line().await?;
        }
    }

    async fn take_line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer[..end].to_vec();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> Result<usize> {
        self.buffer.reserve(4096);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn read(pieces: &'static [&'static [u8]]) -> Vec<Message> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let writer = tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.expect("accepted");
            peer.set_nodelay(true).expect("set");
            for piece in pieces {
                peer.write_all(piece).await.expect("written");
                tokio::task::yield_now().await;
            }
        });
        let mut stream = Stream::new(TcpStream::connect(address).await.expect("connected")).expect("stream");
        let mut messages = Vec::new();
        while let Some(message) = stream.read_message().await.expect("valid messages") {
            messages.push(message);
        }
        writer.await.expect("written");
        messages
    }

    #[tokio::test]
    async fn reads_messages_however_they_are_cut() {
        let messages = read(&[
            b"HTTP/1.1 201 Created\r\nContent-Le",
            b"ngth: 4\r\n\r\nab",
            b"cdHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"1;x=y\r\nd\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        ])
        .await;
        let bodies: Vec<_> = messages.iter().map(|m| m.body.as_slice()).collect();
        assert_eq!(bodies, [&b"abcd"[..], b"abcd", b""]);
        assert_eq!(messages[0].start_line(), "HTTP/1.1 201 Created");
        assert_eq!(messages[0].header("content-length"), Some("4"));
        assert!(!messages[1].is_last());
        assert!(messages[2].is_last());
    }
}
