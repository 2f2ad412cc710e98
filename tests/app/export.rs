//! The export to a real NATS server with JetStream: every event is in the stream once and in order, whatever happened
//! to the stream, to the server and to those who export.

use std::time::{Duration, Instant};

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self, Context};
use serde_json::Value;
use task_inbox::app::events::{self, After};
use task_inbox::app::{App, Principal, tasks};
use task_inbox::export;
use task_inbox::store::log::EventFilter;
use task_inbox::store::{Engine, log};
use task_inbox_domain::cursor::LogCursor;
use task_inbox_testkit::Broker;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fixture::{Fixture, refund};
use crate::on_both_engines;

/// Far more than anything here takes.
const SOON: Duration = Duration::from_mins(1);
const TRY: Duration = Duration::from_millis(20);

on_both_engines!(
    exports_what_was_there_and_what_comes,
    goes_on_where_it_stopped,
    leaves_an_operators_stream_as_it_is,
    adds_nothing_to_another_logs_stream,
    passes_over_what_was_trimmed,
);

fn export(app: &App, nats: &Broker) -> DropGuard {
    let stop = CancellationToken::new();
    export::start(app.db.clone(), app.tail.clone(), nats.url(), stop.clone());
    stop.drop_guard()
}

async fn nats() -> Broker {
    Broker::jetstream().await.expect("a NATS server")
}

async fn context(nats: &Broker) -> Context {
    jetstream::new(async_nats::connect(nats.url()).await.expect("it connects"))
}

async fn post(app: &App, count: usize) {
    for number in 0..count {
        let task = refund(&format!(r#"{{"order":"{number}"}}"#), None);
        tasks::create(app, &Principal::cli(), task, None).await.expect("posted");
    }
}

/// Waits until the stream has this many messages in all, with those that are gone.
async fn until(context: &Context, messages: u64) -> jetstream::stream::Stream {
    let begun = Instant::now();
    loop {
        if let Ok(stream) = context.get_stream("TASK_INBOX").await
            && stream.cached_info().state.last_sequence >= messages
        {
            return stream;
        }
        assert!(begun.elapsed() < SOON, "the stream doesn't get to {messages}");
        tokio::time::sleep(TRY).await;
    }
}

/// Waits until this event is noted as the last one that was exported.
async fn until_noted(context: &Context, seq: i64) {
    let stream = context.get_stream("TASK_INBOX_EXPORT").await.expect("it is there");
    let begun = Instant::now();
    loop {
        let noted = stream.get_last_raw_message_by_subject("task-inbox-export.position").await;
        let noted = noted.ok().and_then(|noted| serde_json::from_slice::<Value>(&noted.payload).ok());
        if noted.as_ref().is_some_and(|noted| noted["seq"] == seq) {
            return;
        }
        assert!(begun.elapsed() < SOON, "{noted:?} is noted");
        tokio::time::sleep(TRY).await;
    }
}

async fn message(stream: &jetstream::stream::Stream, sequence: u64) -> StreamMessage {
    stream.get_raw_message(sequence).await.expect("it is there")
}

fn seq(message: &StreamMessage) -> i64 {
    message.headers.get("Task-Inbox-Seq").expect("a number").as_str().parse().expect("a number")
}

/// Waits until everything is exported; from this sequence on, where there is this event, the stream is the log.
async fn assert_exported(app: &App, context: &Context, from: u64, event: i64) {
    let head = log::head(&app.db).await.expect("read").seq;
    let last = from + (head - event) as u64;
    let stream = until(context, last).await;
    let after = After::Cursor(LogCursor(event - 1));
    let who = Principal::cli();
    let page = events::list(app, &who, after, EventFilter::default(), events::MAX_LIMIT);
    let page = page.await.expect("read");
    assert_eq!(page.seen, head);
    for (logged, sequence) in page.events.iter().zip(from..) {
        let message = message(&stream, sequence).await;
        assert_eq!(seq(&message), logged.seq);
        let id = message.headers.get("Nats-Msg-Id").expect("an id").as_str();
        assert_eq!(id, logged.event.id.to_string());
        assert_eq!(message.payload, logged.event.envelope(logged.seq).as_bytes());
        let schema = if logged.event.schema.is_empty() { "-" } else { &logged.event.schema };
        let ttype = logged.event.ttype.as_deref().unwrap_or("-");
        let kind = logged.event.kind.as_str().replace('.', "%2E");
        assert_eq!(message.subject.as_str(), format!("task-inbox.{schema}.{ttype}.{kind}"));
    }
    assert_eq!(stream.get_info().await.expect("told").state.last_sequence, last, "nothing is there twice");
}

async fn exports_what_was_there_and_what_comes(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut nats = nats().await;
    nats.kill().expect("killed");
    post(&fixture.app, 20).await;
    let other = fixture.another().await;
    let _exporting = (export(&fixture.app, &nats), export(&other, &nats));
    nats.start().await.expect("started");
    let context = context(&nats).await;
    assert_exported(&fixture.app, &context, 1, 1).await;
    post(&fixture.app, 600).await;
    assert_exported(&fixture.app, &context, 300, 300).await;
}

async fn goes_on_where_it_stopped(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (nats, app) = (nats().await, &fixture.app);
    let context = context(&nats).await;
    post(app, 10).await;
    {
        let _exporting = export(app, &nats);
        assert_exported(app, &context, 1, 1).await;
        // Its place is noted right after that, for when no message tells it.
        until_noted(&context, log::head(&app.db).await.expect("read").seq).await;
    }
    // The message is there that tells it.
    post(app, 3).await;
    let head = log::head(&app.db).await.expect("read").seq;
    {
        let _exporting = export(app, &nats);
        assert_exported(app, &context, 1, 1).await;
        until_noted(&context, head).await;
    }
    // None is there: a stream that keeps them for a time, and it is over.
    let stream = until(&context, head as u64).await;
    stream.purge().await.expect("purged");
    post(app, 3).await;
    let _exporting = export(app, &nats);
    assert_exported(app, &context, head as u64 + 1, head + 1).await;
}

async fn leaves_an_operators_stream_as_it_is(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let nats = nats().await;
    let context = context(&nats).await;
    let own = Config {
        name: "TASK_INBOX".to_owned(),
        subjects: vec!["task-inbox.*.*.*".to_owned(), "mine".to_owned()],
        max_age: Duration::from_hours(1),
        storage: StorageType::Memory,
        ..Config::default()
    };
    let stream = context.create_stream(own).await.expect("made");
    let config = stream.cached_info().config.clone();
    // What somebody else put there delays nothing for long, and is no event.
    context.publish("mine", "x".into()).await.expect("sent").await.expect("stored");
    let _exporting = export(&fixture.app, &nats);
    assert_exported(&fixture.app, &context, 2, 1).await;
    let head = log::head(&fixture.app.db).await.expect("read").seq;
    context.publish("mine", "x".into()).await.expect("sent").await.expect("stored");
    post(&fixture.app, 3).await;
    assert_exported(&fixture.app, &context, head as u64 + 3, head + 1).await;
    assert_eq!(until(&context, 1).await.cached_info().config, config);
}

async fn adds_nothing_to_another_logs_stream(engine: Engine) {
    let (one, other) = (Fixture::new(engine).await, Fixture::new(engine).await);
    let nats = nats().await;
    let context = context(&nats).await;
    post(&one.app, 3).await;
    post(&other.app, 20).await;
    {
        let _exporting = export(&one.app, &nats);
        assert_exported(&one.app, &context, 1, 1).await;
    }
    let _other = export(&other.app, &nats);
    {
        let _exporting = export(&one.app, &nats);
        post(&one.app, 30).await;
        assert_exported(&one.app, &context, 1, 1).await;
    }
    // Whose stream it is, is decided by deleting it.
    context.delete_stream("TASK_INBOX").await.expect("deleted");
    assert_exported(&other.app, &context, 1, 1).await;
}

async fn passes_over_what_was_trimmed(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let nats = nats().await;
    post(&fixture.app, 10).await;
    fixture.sql("UPDATE log_head SET floor_seq = 5").await;
    fixture.sql("DELETE FROM events WHERE seq <= 5").await;
    let _exporting = export(&fixture.app, &nats);
    assert_exported(&fixture.app, &context(&nats).await, 1, 6).await;
}
