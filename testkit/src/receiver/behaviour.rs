//! How a receiver answers: well, late, and in each way that a service must survive.

use std::io::Result;
use std::time::{Duration, SystemTime};

use crate::http::Stream;

/// A piece of an answer that has no end.
const PIECE: usize = 64 * 1024;

/// How the receiver treats what arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers at once with this status.
    Answer(u16),
    /// Answers 200 at once with this JSON.
    Say(&'static str),
    /// Answers at once with this status and this header line.
    AnswerWith(u16, String),
    /// Answers with this status, and `Retry-After` as a date this far ahead.
    RetryAt(u16, Duration),
    /// Answers with the status after a while.
    Slow(u16, Duration),
    /// Never answers; keeps the connection.
    Hang,
    /// Lets a byte of an answer's head go each time, without end.
    DripHead(Duration),
    /// Answers 200 at once, and then lets a byte of a body go each time, without end.
    Drip(Duration),
    /// Answers 200 with a body of this length, as fast as it is taken.
    Long(u64),
    /// Answers 200 with a body that has no end, as fast as it is taken.
    Endless,
    /// Sends header lines that have no end, as fast as they are taken.
    EndlessHead,
    /// Announces its answer (103) without end, as fast as that is taken.
    EndlessHints,
    /// Answers what is not HTTP.
    Garbage,
    /// Answers 200, announces a body and closes in the middle of it.
    BreakOff,
}

impl Behaviour {
    /// The status that it gives in an answer that counts as one: none where the answer never comes or
    /// breaks off.
    pub(super) const fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(status)
            | Self::AnswerWith(status, _)
            | Self::RetryAt(status, _)
            | Self::Slow(status, _) => Some(*status),
            // Its beginning is an answer, and nobody is obliged to read more.
            Self::Say(_) | Self::Long(_) | Self::Endless => Some(200),
            Self::Hang
            | Self::DripHead(_)
            | Self::Drip(_)
            | Self::EndlessHead
            | Self::EndlessHints
            | Self::Garbage
            | Self::BreakOff => None,
        }
    }

    /// Does it on a connection; tells how many bytes of it went out if it is long, and whether another message may follow.
    pub(super) async fn answer(&self, stream: &mut Stream) -> Result<(u64, bool)> {
        match self {
            Self::Answer(status) => short(stream, *status, "").await,
            Self::Say(text) => {
                let length = text.len();
                let answer = format!("HTTP/1.1 200 Told\r\ncontent-length: {length}\r\n\r\n{text}");
                stream.write_all(answer.as_bytes()).await?;
                Ok((0, true))
            }
            Self::AnswerWith(status, header) => short(stream, *status, &format!("{header}\r\n")).await,
            Self::RetryAt(status, ahead) => {
                let date = httpdate::fmt_http_date(SystemTime::now() + *ahead);
                short(stream, *status, &format!("retry-after: {date}\r\n")).await
            }
            Self::Slow(status, delay) => {
                tokio::time::sleep(*delay).await;
                short(stream, *status, "").await
            }
            Self::Hang => std::future::pending().await,
            Self::DripHead(pause) => {
                stream.write_all(b"HTTP/1.1 200 Told\r\nx-drip: ").await?;
                drip(stream, *pause).await
            }
            Self::Drip(pause) => {
                stream.write_all(b"HTTP/1.1 200 Told\r\ncontent-length: 1000000\r\n\r\n").await?;
                drip(stream, *pause).await
            }
            Self::Long(length) => {
                let head = format!("HTTP/1.1 200 Told\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                Ok((pour(stream, b"x", *length).await, true))
            }
            Self::Endless => {
                // Without a length, the body ends with the connection.
                stream.write_all(b"HTTP/1.1 200 Told\r\nconnection: close\r\n\r\n").await?;
                Ok((pour(stream, b"x", u64::MAX).await, false))
            }
            Self::EndlessHead => {
                stream.write_all(b"HTTP/1.1 200 Told\r\n").await?;
                Ok((pour(stream, b"x-more: and more\r\n", u64::MAX).await, false))
            }
            Self::EndlessHints => {
                Ok((pour(stream, b"HTTP/1.1 103 Early Hints\r\n\r\n", u64::MAX).await, false))
            }
            Self::Garbage => {
                stream.write_all(b"\x16\x03\x01\0not a webhook receiver\r\n\0\r\n\r\n").await?;
                Ok((0, false))
            }
            Self::BreakOff => {
                stream.write_all(b"HTTP/1.1 200 Told\r\ncontent-length: 1000\r\n\r\nhalf of").await?;
                Ok((0, false))
            }
        }
    }
}

async fn short(stream: &mut Stream, status: u16, headers: &str) -> Result<(u64, bool)> {
    let answer = format!("HTTP/1.1 {status} Told\r\n{headers}content-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    Ok((0, !headers.to_ascii_lowercase().contains("connection: close")))
}

async fn drip(stream: &mut Stream, pause: Duration) -> Result<(u64, bool)> {
    loop {
        tokio::time::sleep(pause).await;
        stream.write_all(b"x").await?;
    }
}

/// Sends this again and again, up to so many bytes, until the peer takes no more; tells how many it took.
async fn pour(stream: &mut Stream, what: &[u8], length: u64) -> u64 {
    let piece = what.repeat(PIECE / what.len());
    let mut sent = 0;
    while sent < length {
        let next = (length - sent).min(piece.len() as u64) as usize;
        if stream.write_all(&piece[..next]).await.is_err() {
            break;
        }
        sent += next as u64;
    }
    sent
}
