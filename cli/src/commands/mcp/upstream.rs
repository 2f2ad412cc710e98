//! The way to the server's `/mcp`: one request for each message, and again until it is answered.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sse_stream::SseStream;
use tokio::time::Instant;
use uuid::Uuid;

use super::message::{self, Request, Told};
use crate::api::{Refusal, Remote};
use crate::output::{note, warn};

const PATH: &str = "/mcp";

/// A server that nobody has reached yet is given up after this time: its address is wrong, or it doesn't run.
const FIRST: Duration = Duration::from_secs(10);

/// The pause before a message is sent again; it doubles, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A stream that is silent for so long is broken: the server shows each 15 s that it is there.
const SILENCE: Duration = Duration::from_secs(45);

/// Nothing that the server answers without a stream is near this.
const MAX_BODY: usize = 16 * 1024 * 1024;

pub(super) struct Upstream {
    remote: Remote,
    /// How long a server may be away that was there before.
    patience: Duration,
    known: Mutex<Known>,
}

/// What is known of the server.
#[derive(Default)]
struct Known {
    /// The version that it agreed to speak.
    version: Option<String>,
    was_reached: bool,
    is_away: bool,
}

/// Why there is no answer yet.
enum Setback {
    /// It may go away: the server is being restarted, or is busy for a while.
    Passing {
        why: String,
        /// When the server wants to be asked again.
        pause: Option<Duration>,
        /// What to answer if it doesn't come back.
        instead: Option<String>,
        /// Whether it was there, and the answer had begun.
        had_begun: bool,
    },
    /// It stays so.
    Final(String),
}

impl Setback {
    fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), pause: None, instead: None, had_begun: false }
    }
}

impl Upstream {
    pub(super) fn new(remote: Remote, patience: Duration) -> Self {
        Self { remote, patience, known: Mutex::default() }
    }

    fn known<T>(&self, of: impl FnOnce(&mut Known) -> T) -> T {
        of(&mut self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Gets the answer to a request and passes on what comes before it.
    pub(super) async fn answer(&self, request: &Request, mut tell: impl FnMut(&str)) {
        let begun = Instant::now();
        // The same for each attempt, so that nothing is done twice whose answer was lost.
        let key = Uuid::now_v7().to_string();
        let mut pause = PAUSE;
        let mut away_since = None;
        loop {
            let asked = Instant::now();
            let setback = match self.attempt(request, &key, begun.elapsed(), &mut tell).await {
                Ok(()) => return,
                Err(setback) => setback,
            };
            let (why, wanted, instead, had_begun) = match setback {
                Setback::Final(why) => return tell(&request.failed(&why)),
                Setback::Passing { why, pause, instead, had_begun } => (why, pause, instead, had_begun),
            };
            let was_reached = self.known(|known| known.was_reached);
            let patience = if was_reached { self.patience } else { FIRST.min(self.patience) };
            // A server that was there for a while has not been away since.
            if had_begun && asked.elapsed() > LONGEST_PAUSE {
                (away_since, pause) = (None, PAUSE);
            }
            let since = *away_since.get_or_insert_with(Instant::now);
            let next = wanted.unwrap_or(pause);
            if since.elapsed() + next > patience {
                let why = format!("{why}; what was asked for already is kept, so call again later");
                return tell(&instead.unwrap_or_else(|| request.failed(&why)));
            }
            if self.known(|known| !std::mem::replace(&mut known.is_away, true)) {
                warn(&format!("{why}; trying again until it is back"));
            }
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        key: &str,
        elapsed: Duration,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Setback> {
        let body = request.after(elapsed);
        let headers = self.headers(request, key);
        let response = self.remote.stream(PATH, headers, body).await.map_err(Setback::passing)?;
        let status = response.status();
        let media_type = media_type(response.headers());
        if !status.is_success() || media_type != "text/event-stream" {
            return self.whole(response, &media_type, tell).await;
        }
        self.is_there();
        let mut events = pin!(SseStream::from_bytes_stream(response.bytes_stream()));
        let lost = || Setback::Passing {
            why: format!("the connection to {} was lost", self.remote.server()),
            pause: None,
            instead: None,
            had_begun: true,
        };
        loop {
            let event = tokio::time::timeout(SILENCE, events.next()).await.map_err(|_| lost())?;
            let event = event.ok_or_else(lost)?.map_err(|_| lost())?;
            let Some(told) = event.data.and_then(|data| message::told(&data, elapsed)) else { continue };
            match told {
                Told::Before(line) => tell(&line),
                told => return self.finish(told, tell),
            }
        }
    }

    fn finish(&self, told: Told, tell: &mut impl FnMut(&str)) -> Result<(), Setback> {
        match told {
            Told::Answer { line, version } => {
                if version.is_some() {
                    self.known(|known| known.version = version);
                }
                tell(&line);
                Ok(())
            }
            Told::Stopping(line) => {
                let why = format!("{} is being restarted", self.remote.server());
                Err(Setback::Passing { why, pause: None, instead: Some(line), had_begun: true })
            }
            Told::Before(line) => {
                tell(&line);
                Err(Setback::Final("the server told something and no answer".to_owned()))
            }
        }
    }

    /// An answer that is no stream: an error of the protocol, or of HTTP.
    async fn whole(
        &self,
        mut response: reqwest::Response,
        media_type: &str,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Setback> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| Setback::passing(e.to_string()))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return Err(Setback::Final(format!("{} answered without end", self.remote.server())));
            }
        }
        let body = Bytes::from(body);
        let text = std::str::from_utf8(&body).unwrap_or_default();
        if media_type == "application/json"
            && let Some(told) = message::told(text, Duration::ZERO)
        {
            self.is_there();
            return self.finish(told, tell);
        }
        let is_passing = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let problem: Option<Value> =
            serde_json::from_str(text).ok().filter(|_| media_type == "application/problem+json");
        let why = match problem {
            Some(problem) => self.remote.hide_key(Refusal::of_problem(status.as_u16(), &problem)).message,
            None => format!(
                "{} answered {status} with {media_type:?}, which is no answer of task-inbox; check the address, and \
                 the proxy in front of it",
                self.remote.server()
            ),
        };
        if !is_passing {
            return Err(Setback::Final(why.trim_end_matches('.').to_owned()));
        }
        let pause =
            headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        Err(Setback::Passing { why, pause, instead: None, had_begun: false })
    }

    fn is_there(&self) {
        let was_away = self.known(|known| {
            known.was_reached = true;
            std::mem::take(&mut known.is_away)
        });
        if was_away {
            note("it is back");
        }
    }

    /// What must stand in the request beside the message.
    fn headers(&self, request: &Request, key: &str) -> HeaderMap {
        let version = request.version.clone().or_else(|| self.known(|known| known.version.clone()));
        let is_hello = request.method == "initialize";
        let named = [
            ("mcp-protocol-version", version.filter(|_| !is_hello)),
            ("mcp-method", Some(request.method.clone())),
            ("mcp-name", request.name.clone()),
            ("idempotency-key", Some(key.to_owned())),
        ];
        let named = named.into_iter().filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(&value?).ok()?))
        });
        named.collect()
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
