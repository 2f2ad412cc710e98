//! The stream in NATS: where it ends, and adding to it.
//!
//! The stream itself is the truth about how far the export is: its last message names its event. Where that message is
//! gone (the stream keeps messages for a time, or until they were taken), a stream beside it knows.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, ContextBuilder, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, Stream as Named};
use async_nats::{ConnectOptions, Event, HeaderMap};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::error::ExportError;
use super::subject;
use crate::measure;
use crate::store::log::Logged;

/// The stream's name.
pub(super) const STREAM: &str = "TASK_INBOX";

/// The stream that holds one message, which says how far the export is; and its subject.
const NOTES: &str = "TASK_INBOX_EXPORT";
const POSITION: &str = "task-inbox-export.position";

/// The header that names an event's place in the log.
const SEQ: &str = "Task-Inbox-Seq";

/// How long the server may take to answer, or to say that a message is stored.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the stream. The client would connect again by itself, and not tell what became of what was on its
/// way: here, a connection that breaks is the end, and the next one begins with a look at the stream.
pub(super) struct Stream {
    context: Context,
    named: Named,
    notes: Named,
    broken: Arc<Notify>,
}

/// How far the export is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The number of the last exported event; 0 if there is none.
    pub(super) seq: i64,
    /// Its id, if there is one.
    pub(super) id: Option<Uuid>,
    /// The sequence of the stream's last message, whatever it is.
    pub(super) sequence: u64,
}

/// What is noted beside the stream.
#[derive(Serialize, Deserialize)]
struct Position {
    seq: i64,
    event_id: Uuid,
    stream_sequence: u64,
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// It is stored, as far as the end says; the rest has to be tried again.
    Stored,
    /// Somebody else has added to the stream.
    Overtaken,
}

impl Stream {
    /// Connects, and makes the stream if there is none. One that is there is left as it is.
    pub(super) async fn open(url: &str) -> Result<Self, ExportError> {
        let broken = Arc::new(Notify::new());
        let context = connect(url, &broken).await?;
        let stream = Config {
            name: STREAM.to_owned(),
            subjects: vec![subject::ALL.to_owned()],
            description: Some("Every event of the task inbox, once and in order".to_owned()),
            ..Config::default()
        };
        let named = context.get_or_create_stream(stream).await;
        let named = named.map_err(|e| ExportError::nats("the stream can't be made")(&e))?;
        let notes = Config {
            name: NOTES.to_owned(),
            subjects: vec![POSITION.to_owned()],
            description: Some(format!("How far the export to {STREAM} is")),
            max_messages_per_subject: 1,
            num_replicas: named.cached_info().config.num_replicas,
            ..Config::default()
        };
        let notes = context.get_or_create_stream(notes).await;
        let notes = notes.map_err(|e| ExportError::nats("the stream for the position can't be made")(&e))?;
        Ok(Self { context, named, notes, broken })
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) -> ExportError {
        self.broken.notified().await;
        ExportError::Lost
    }

    /// Where it ends now.
    pub(super) async fn end(&self) -> Result<End, ExportError> {
        let failed = ExportError::nats("the stream's end can't be read");
        let info = self.named.get_info().await.map_err(|e| failed(&e))?;
        let sequence = info.state.last_sequence;
        if sequence == 0 {
            return Ok(End { seq: 0, id: None, sequence });
        }
        let last = last_of(&self.named, subject::ALL).await?;
        let told = last.as_ref().and_then(exported);
        // Another one may have added to it since.
        let sequence = last.as_ref().map_or(sequence, |message| message.sequence.max(sequence));
        if last.is_some_and(|message| message.sequence == sequence)
            && let Some((seq, id)) = told
        {
            return Ok(End { seq, id: Some(id), sequence });
        }
        // The last messages are gone, or are not ours.
        let noted = self.noted().await?.filter(|noted| noted.stream_sequence <= sequence);
        let noted = noted.map(|noted| (noted.seq, noted.event_id));
        let furthest = told.into_iter().chain(noted).max_by_key(|(seq, _)| *seq);
        Ok(End { seq: furthest.map_or(0, |(seq, _)| seq), id: furthest.map(|(_, id)| id), sequence })
    }

    async fn noted(&self) -> Result<Option<Position>, ExportError> {
        let message = last_of(&self.notes, POSITION).await?;
        Ok(message.and_then(|message| serde_json::from_slice(&message.payload).ok()))
    }

    /// Adds events, the next ones after the end, and moves it. They are on their way together: each names the sequence
    /// that the stream must have before it, and the event. The sequence alone would let one in behind somebody else's
    /// message, which has the place of the event that was refused for it.
    pub(super) async fn publish(&self, events: &[Logged], end: &mut End) -> Result<Published, ExportError> {
        let before = end.id;
        let published = tokio::select! {
            published = self.publish_all(events, end) => published?,
            lost = self.lost() => return Err(lost),
        };
        if let Some(event_id) = end.id.filter(|id| before != Some(*id)) {
            let position = Position { seq: end.seq, event_id, stream_sequence: end.sequence };
            let position = serde_json::to_vec(&position).expect("three values");
            let failed = ExportError::nats("the position can't be noted");
            let noted = self.context.publish(POSITION, position.into()).await.map_err(|e| failed(&e))?;
            noted.await.map_err(|e| failed(&e))?;
        }
        Ok(published)
    }

    async fn publish_all(&self, events: &[Logged], end: &mut End) -> Result<Published, ExportError> {
        let failed = |kind, error: &dyn std::error::Error, seq| match kind {
            PublishErrorKind::MaxPayloadExceeded => ExportError::TooLarge { seq },
            _ => ExportError::nats("an event can't be published")(error),
        };
        let mut sent = Vec::with_capacity(events.len());
        let mut unsent = None;
        let mut previous = None;
        for (logged, before) in events.iter().zip(end.sequence..) {
            let message = message(logged, before, previous.replace(logged.event.id));
            match self.context.send_publish(subject::of(&logged.event), message).await {
                Ok(ack) => sent.push((logged, ack)),
                Err(error) => {
                    unsent = Some(failed(error.kind(), &error, logged.seq));
                    break;
                }
            }
        }
        let mut was_there = false;
        for (logged, ack) in sent {
            match ack.await {
                Ok(ack) if ack.stream != STREAM => {
                    return Err(ExportError::AnotherStream { stream: STREAM, got: ack.stream });
                }
                Ok(ack) => {
                    end.seq = logged.seq;
                    end.id = Some(logged.event.id);
                    end.sequence = end.sequence.max(ack.sequence);
                    // It was taken out of the stream since, and the position was lost.
                    was_there |= ack.duplicate;
                    measure::exported(u64::from(!ack.duplicate));
                }
                Err(error) if is_behind(error.kind()) => {
                    return Ok(if was_there { Published::Stored } else { Published::Overtaken });
                }
                Err(error) => return Err(failed(error.kind(), &error, logged.seq)),
            }
        }
        unsent.map_or(Ok(Published::Stored), Err)
    }
}

async fn connect(url: &str, broken: &Arc<Notify>) -> Result<Context, ExportError> {
    let broken = broken.clone();
    let options = ConnectOptions::new()
        .name("task-inbox exporter")
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed) {
                broken.notify_one();
            }
            std::future::ready(())
        });
    let client = options.connect(url).await.map_err(|e| ExportError::nats("NATS can't be reached")(&e))?;
    Ok(ContextBuilder::new().timeout(PATIENCE).build(client))
}

/// Whether there is a server with JetStream. The stream need not be there yet.
pub(super) async fn look(url: &str) -> Result<(), ExportError> {
    let context = connect(url, &Arc::default()).await?;
    let failed = ExportError::nats("JetStream does not answer (is it switched on?)");
    match context.get_stream(STREAM).await {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(told) if told.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(()),
            _ => Err(failed(&error)),
        },
    }
}

/// The last message of a stream under some subjects, if there is one.
async fn last_of(stream: &Named, subjects: &str) -> Result<Option<StreamMessage>, ExportError> {
    match stream.get_last_raw_message_by_subject(subjects).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(ExportError::nats("the stream's last message can't be read")(&error)),
    }
}

/// Whether a message was refused because the stream did not end as it should.
const fn is_behind(kind: PublishErrorKind) -> bool {
    matches!(kind, PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId)
}

/// An event as it is added behind a sequence, and behind another event.
fn message(logged: &Logged, sequence: u64, previous: Option<Uuid>) -> PublishMessage {
    let message = PublishMessage::build()
        .message_id(logged.event.id.to_string())
        .expected_last_sequence(sequence)
        .header(SEQ, logged.seq.to_string().as_str())
        .payload(logged.event.envelope(logged.seq).into());
    match previous {
        Some(id) => message.expected_last_message_id(id.to_string()),
        None => message,
    }
}

/// The number and id of the event that a message is, if it is one.
fn exported(message: &StreamMessage) -> Option<(i64, Uuid)> {
    let header = |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    let seq = header(&message.headers, SEQ)?.parse().ok()?;
    let id = header(&message.headers, async_nats::header::NATS_MESSAGE_ID.as_ref())?.parse().ok()?;
    Some((seq, id))
}
