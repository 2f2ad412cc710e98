//! The log as a stream of server-sent events (HTML Standard, section 9.2).
//!
//! Each event's `id` is its cursor, and a heartbeat carries one as well: whoever comes back with `Last-Event-ID` goes on
//! where it stopped, also where a filter let nothing through for long. What goes out is read for each stream by itself,
//! from memory while it is close behind and else from the log, so that a slow reader holds up nobody and misses nothing.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use task_inbox_domain::cursor::LogCursor;

use crate::app::events::{self, After};
use crate::app::{App, AppError, Principal, keys};
use crate::realtime::{Listener, Wanted};
use crate::store::log::{EventFilter, Page};

/// Where it is.
pub(super) const PATH: &str = "/api/v1/events";

const MEDIA_TYPE: &str = "text/event-stream";

/// How often a reader hears that it is still connected: more often than proxies drop who is silent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often it is seen whether a reader's key has ended.
const CHECK: Duration = Duration::from_secs(1);

/// When a browser comes back after the connection broke, in milliseconds.
const RETRY: u32 = 1000;

/// Whether a stream is asked for: `Accept` names it.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let ranges =
        headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    ranges
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .any(|r| r.eq_ignore_ascii_case(MEDIA_TYPE))
}

struct Reader {
    app: App,
    who: Principal,
    filter: EventFilter,
    limit: u64,
    cursor: i64,
    listener: Listener,
    /// What is sent first.
    first: Option<Bytes>,
}

/// Answers with the stream.
///
/// # Errors
///
/// What keeps the first page from being read.
pub(super) async fn answer(
    app: &App,
    who: Principal,
    after: After,
    filter: EventFilter,
    limit: u64,
) -> Result<Response, AppError> {
    // Before the first look, so that nothing falls between the two.
    let listener = app.tail.listen(Wanted::Growth).await?;
    let page = events::list(app, &who, after, filter.clone(), limit).await?;
    let mut first = format!("retry: {RETRY}\n");
    write(&mut first, &page);
    let reader = Reader {
        app: app.clone(),
        who,
        filter,
        limit,
        cursor: page.seen,
        listener,
        first: Some(first.into()),
    };
    let body = stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        Some((Ok::<_, Infallible>(bytes), reader))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    // nginx would collect it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Reader {
    /// What to send next; none at the end: the server stops, the key has ended, or the log can't be read on from
    /// here. Whoever comes back hears why.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if self.app.tail.is_ending() {
                return None;
            }
            self.who = keys::again(&self.app, &self.who).ok()?;
            let page =
                events::follow(&self.app, &self.who, self.cursor, self.filter.clone(), self.limit).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(?error, "a stream of events ends");
                    return None;
                }
            };
            let moved = page.seen > self.cursor;
            self.cursor = page.seen;
            if !page.events.is_empty() {
                let mut text = String::new();
                write(&mut text, &page);
                return Some(text.into());
            }
            if !moved && let Some(ended) = self.rest().await {
                return ended;
            }
        }
    }

    /// Waits until there may be more. What to send for want of it is a heartbeat, or the end.
    async fn rest(&mut self) -> Option<Option<Bytes>> {
        let begun = Instant::now();
        while begun.elapsed() < HEARTBEAT {
            match tokio::time::timeout(CHECK, self.listener.changed()).await {
                Ok(true) => return None,
                Ok(false) => return Some(None),
                Err(_) if keys::again(&self.app, &self.who).is_err() => return Some(None),
                Err(_) => {}
            }
        }
        let cursor = LogCursor(self.cursor).encode();
        Some(Some(format!(": still here\nid: {cursor}\n\n").into()))
    }
}

/// A page's events, and where it ends.
fn write(text: &mut String, page: &Page) {
    use std::fmt::Write;
    for logged in &page.events {
        let cursor = LogCursor(logged.seq).encode();
        let _ = writeln!(text, "id: {cursor}\nevent: {}", logged.event.kind.as_str());
        // A document stands as it was sent, which may be on several lines.
        for line in logged.event.envelope(logged.seq).split(['\n', '\r']) {
            let _ = writeln!(text, "data: {line}");
        }
        text.push('\n');
    }
    if page.events.last().is_none_or(|last| last.seq < page.seen) {
        // No data: the reader's position moves, and nothing is told.
        let _ = write!(text, "id: {}\n\n", LogCursor(page.seen).encode());
    }
}
